//! Nobody gives rights that they do not have (`pkg/registry/rbac/{role,rolebinding}/policybased/storage.go`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::grants::role_of;
use super::rule::{covers_path, covers_resource, has, list, rules_of, strings};
use super::{Attempt, GROUP, decide, rules_for};
use crate::api::Api;
use crate::auth::{MASTERS, User};
use crate::kinds::Kind;
use crate::object;
use crate::status::ApiError;

/// One right: a verb on one resource of one group, or on one path.
/// More rights are not compared one by one. The real server has no such bound; its largest role has some thousands.
const MAX_RIGHTS: usize = 100_000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    target: Target,
    verb: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Path(String),
    /// The name is empty for all objects.
    Resource {
        group: String,
        resource: String,
        name: String,
    },
}

/// Refuses a role or a binding whose rights the user does not have, or may not give (`escalate`, `bind`). What
/// `present` has granted before is not asked about again.
pub(crate) fn check(
    api: &Api,
    user: &User,
    kind: &Kind,
    present: Option<&Value>,
    wanted: &Value,
) -> Result<(), ApiError> {
    if user.groups.iter().any(|group| group == MASTERS) {
        return Ok(());
    }
    let namespace = if kind.namespaced { object::namespace(wanted) } else { "" };
    let may = |verb: &str, resource: &str, name: &str| {
        let attempt = Attempt { verb, group: GROUP, resource, namespace, name, ..Attempt::default() };
        decide(api, user, &attempt).allowed
    };
    let name = object::name(wanted);
    let granted = match kind.plural {
        "roles" | "clusterroles" => {
            let fields = ["rules", "aggregationRule"];
            if present.is_some_and(|present| fields.iter().all(|field| present[field] == wanted[field]))
                || may("escalate", kind.plural, name)
            {
                return Ok(());
            }
            rules_of(wanted).to_vec()
        }
        "rolebindings" | "clusterrolebindings" => {
            let fields = ["subjects", "roleRef"];
            let role = object::field(wanted, "roleRef.name");
            let plural = if wanted["roleRef"]["kind"] == "Role" { "roles" } else { "clusterroles" };
            if present.is_some_and(|present| fields.iter().all(|field| present[field] == wanted[field]))
                || may("bind", plural, &role)
            {
                return Ok(());
            }
            rules_of(&*role_of(api, wanted)?).to_vec()
        }
        _ => return Ok(()),
    };
    if granted.iter().map(size).fold(0, usize::saturating_add) > MAX_RIGHTS {
        let why = format!("it grants more than {MAX_RIGHTS} rights, too many to compare with those held");
        return Err(ApiError::forbidden(GROUP, kind.plural, name, &why));
    }
    let (held, _) = rules_for(api, user, namespace);
    let missing: Vec<Right> =
        rights(&granted).filter(|right| !held.iter().any(|rule| covers(rule, right))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
    let why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        describe(missing)
    );
    Err(ApiError::forbidden(GROUP, kind.plural, name, &why))
}

/// How many single rights a rule adds up to.
fn size(rule: &Value) -> usize {
    let length = |field: &str| list(&rule[field]).len();
    let objects = length("apiGroups")
        .saturating_mul(length("resources"))
        .saturating_mul(length("resourceNames").max(1));
    objects.saturating_add(length("nonResourceURLs")).saturating_mul(length("verbs"))
}

/// The single rights that rules add up to (`BreakdownRule`).
fn rights(rules: &[Value]) -> impl Iterator<Item = Right> {
    rules.iter().flat_map(|rule| {
        let mut targets: Vec<Target> =
            strings(&rule["nonResourceURLs"]).map(|path| Target::Path(path.to_owned())).collect();
        let names: Vec<&str> = match list(&rule["resourceNames"]) {
            [] => vec![""],
            _ => strings(&rule["resourceNames"]).collect(),
        };
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                targets.extend(names.iter().map(|name| Target::Resource {
                    group: group.to_owned(),
                    resource: resource.to_owned(),
                    name: (*name).to_owned(),
                }));
            }
        }
        let verbs: Vec<String> = strings(&rule["verbs"]).map(str::to_owned).collect();
        targets.into_iter().flat_map(move |target| {
            verbs.clone().into_iter().map(move |verb| Right { target: target.clone(), verb })
        })
    })
}

/// Whether a rule that someone has covers a right (`ruleCovers`).
fn covers(rule: &Value, right: &Right) -> bool {
    let target = match &right.target {
        Target::Path(path) => strings(&rule["nonResourceURLs"]).any(|pattern| covers_path(pattern, path)),
        Target::Resource { group, resource, name } => {
            has(&rule["apiGroups"], &[group, "*"])
                && strings(&rule["resources"]).any(|pattern| covers_resource(pattern, resource))
                && (list(&rule["resourceNames"]).is_empty()
                    || (!name.is_empty() && has(&rule["resourceNames"], &[name])))
        }
    };
    target && has(&rule["verbs"], &[&right.verb, "*"])
}

/// The rights as rules, as `CompactString` prints them: the verbs of a resource together in the order of the rules, those
/// of paths one by one (`CompactRules` of `component-helpers/auth/rbac/validation`).
fn describe(rights: Vec<Right>) -> String {
    let mut verbs: BTreeMap<Target, Vec<String>> = BTreeMap::new();
    let mut rules: Vec<(Target, Vec<String>)> = Vec::new();
    for Right { target, verb } in rights {
        let verb = format!("{verb:?}");
        match target {
            Target::Path(_) => rules.push((target, vec![verb])),
            Target::Resource { .. } => verbs.entry(target).or_default().push(verb),
        }
    }
    rules.extend(verbs);
    let line = |(target, verbs): (Target, Vec<String>)| {
        let what = match target {
            Target::Path(path) => format!("NonResourceURLs:[{path:?}]"),
            Target::Resource { group, resource, name } if name.is_empty() => {
                format!("APIGroups:[{group:?}], Resources:[{resource:?}]")
            }
            Target::Resource { group, resource, name } => {
                format!("APIGroups:[{group:?}], Resources:[{resource:?}], ResourceNames:[{name:?}]")
            }
        };
        format!("{{{what}, Verbs:[{}]}}", verbs.join(" "))
    };
    let lines: BTreeSet<String> = rules.into_iter().map(line).collect();
    lines.into_iter().collect::<Vec<_>>().join("\n")
}
