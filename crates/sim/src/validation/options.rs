//! The options of writes: `apimachinery/pkg/apis/meta/v1/validation/validation.go`.

use serde_json::Value;

use super::errors::Errors;
use crate::schema::Path;
use crate::status::ApiError;

/// The group of options.
const META: &str = "meta.k8s.io";
/// `FieldManagerMaxLength`.
const LONGEST_MANAGER: usize = 128;

/// What a creation, an update or a patch is asked to do.
#[derive(Debug)]
pub(crate) struct WriteRequest<'a> {
    /// `CreateOptions`, `UpdateOptions` or `PatchOptions`.
    pub(crate) kind: &'static str,
    pub(crate) field_manager: &'a str,
    pub(crate) dry_run: &'a str,
    pub(crate) field_validation: &'a str,
    pub(crate) force: Option<bool>,
    /// Whether it is a server-side apply.
    pub(crate) applies: bool,
}

/// Refuses options of a creation, an update or a patch.
pub(crate) fn write(request: &WriteRequest<'_>) -> Result<(), ApiError> {
    let (root, mut errors) = (Path::ROOT, Errors::default());
    let manager = root.field("fieldManager");
    if request.kind == "PatchOptions" {
        if !request.applies && request.force.is_some() {
            errors.forbidden(&root.field("force"), "may not be specified for non-apply patch");
        }
        if request.applies && request.field_manager.is_empty() {
            errors.required(&manager, "is required for apply patch");
        }
    }
    if request.field_manager.len() > LONGEST_MANAGER {
        errors.too_long(&manager, LONGEST_MANAGER);
    }
    let unprintable = |c: &char| c.is_control() || (c.is_whitespace() && *c != ' ');
    for (at, c) in request.field_manager.char_indices().filter(|(_, c)| unprintable(c)) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.invalid(&manager, request.field_manager, &why);
    }
    let stages: Vec<Value> = Some(request.dry_run.into()).filter(|stage| *stage != "").into_iter().collect();
    dry_run(&mut errors, &Value::Array(stages), &root);
    let validation = request.field_validation;
    let known = ["", "Ignore", "Strict", "Warn"];
    if !known.contains(&validation) {
        errors.unsupported(&root.field("fieldValidation"), validation, &known);
    }
    errors.into_result_for(META, request.kind, "")
}

/// Refuses the options of a deletion.
pub(crate) fn delete(options: &Value) -> Result<(), ApiError> {
    let (root, mut errors) = (Path::ROOT, Errors::default());
    let path = root.field("propagationPolicy");
    if let Some(policy) = options["propagationPolicy"].as_str() {
        if !options["orphanDependents"].is_null() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.invalid(&path, policy, why);
        }
        let known = ["Foreground", "Background", "Orphan", "nil"];
        if !known[..3].contains(&policy) {
            errors.unsupported(&path, policy, &known);
        }
    }
    dry_run(&mut errors, &options["dryRun"], &root);
    errors.into_result_for(META, "DeleteOptions", "")
}

fn dry_run(errors: &mut Errors, stages: &Value, root: &Path<'_>) {
    if stages.as_array().is_some_and(|stages| stages.iter().any(|stage| stage != "All")) {
        errors.unsupported(&root.field("dryRun"), stages, &["All"]);
    }
}
