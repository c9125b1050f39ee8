//! The types that stand on their own: those of objects, and of what clients send to subresources.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::Resource;
use k8s_openapi::api::{
    admissionregistration::v1 as admissionregistration, apps::v1 as apps,
    authentication::v1 as authentication, authorization::v1 as authorization,
    autoscaling::v1 as autoscaling_v1, autoscaling::v2 as autoscaling, batch::v1 as batch,
    certificates::v1 as certificates, coordination::v1 as coordination, core::v1 as core,
    discovery::v1 as discovery, events::v1 as events, flowcontrol::v1 as flowcontrol,
    networking::v1 as networking, node::v1 as node, policy::v1 as policy, rbac::v1 as rbac,
    scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::{JsonSchema, SchemaGenerator};

use super::{Type, load};
use crate::kinds::{self, Kind};

/// A type with the `apiVersion` and `kind` that its objects bear.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) ty: &'static Type,
}

type Key = (&'static str, &'static str, &'static str);

struct Roots {
    all: Vec<Root>,
    types: BTreeMap<&'static str, &'static Type>,
}

static ROOTS: LazyLock<Roots> = LazyLock::new(|| {
    let mut generator = SchemaGenerator::default();
    let names = register(&mut generator);
    let types = load::types(generator.definitions());
    let root = |((group, version, kind), name): (Key, String)| {
        let ty = types.get(name.as_str())?;
        Some(Root { group, version, kind, ty })
    };
    Roots { all: names.into_iter().filter_map(root).collect(), types }
});

impl Root {
    pub(crate) fn of(kind: &Kind) -> Option<&'static Root> {
        Root::find(kind.group, kind.version, kind.kind)
    }

    pub(crate) fn find(group: &str, version: &str, kind: &str) -> Option<&'static Root> {
        Root::all().find(|root| root.kind == kind && root.group == group && root.version == version)
    }

    /// The type with this `apiVersion` and `kind`.
    pub(crate) fn named(api_version: &str, kind: &str) -> Option<&'static Root> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Root::find(group, version, kind)
    }

    pub(crate) fn api_version(&self) -> String {
        kinds::group_version(self.group, self.version)
    }

    /// Whether bodies of the type may bear this `apiVersion`: `DeleteOptions` are of every group, and evictions are
    /// accepted in a version that nothing else is served in (`EvictionREST.AcceptsGroupVersion`).
    pub(crate) fn is_read_in(&self, api_version: &str) -> bool {
        match (self.kind, api_version) {
            ("DeleteOptions", _) | ("Eviction", "policy/v1beta1") => true,
            (_, api_version) => api_version == self.api_version(),
        }
    }

    /// Why what says that it is an `api_version` and `name` cannot be read as this type (texts of
    /// `apimachinery/pkg/runtime`).
    pub(crate) fn unconvertible(&self, api_version: &str, name: &str) -> String {
        match Root::named(api_version, name) {
            Some(found) => {
                // The package of Kubernetes in which a group's own types stand.
                let package =
                    self.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
                format!(
                    "converting ({}.{name}) to ({package}.{}): unknown conversion",
                    found.version, self.kind
                )
            }
            None => format!(
                "no kind \"{name}\" is registered for version \"{api_version}\" in scheme \
                 \"pkg/api/legacyscheme/scheme.go:30\""
            ),
        }
    }

    pub(crate) fn all() -> impl Iterator<Item = &'static Root> {
        ROOTS.all.iter()
    }
}

impl Type {
    /// A type by its full name.
    pub(crate) fn named(name: &str) -> Option<&'static Type> {
        ROOTS.types.get(name).copied()
    }
}

/// Makes the schemas of all roots known to the generator; answers with the names of their definitions.
fn register(generator: &mut SchemaGenerator) -> Vec<(Key, String)> {
    let mut names = Vec::new();
    macro_rules! register {
        ($($module:ident: $($ty:ident)*;)*) => {
            $($(names.push(resource::<$module::$ty>(generator));)*)*
        };
    }
    register! {
        core: Binding ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim
            Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount;
        admissionregistration: MutatingWebhookConfiguration ValidatingAdmissionPolicy
            ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration;
        apps: ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet;
        authentication: SelfSubjectReview TokenRequest TokenReview;
        authorization: LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview
            SubjectAccessReview;
        autoscaling: HorizontalPodAutoscaler;
        autoscaling_v1: HorizontalPodAutoscaler Scale;
        batch: CronJob Job;
        certificates: CertificateSigningRequest;
        coordination: Lease;
        discovery: EndpointSlice;
        events: Event;
        flowcontrol: FlowSchema PriorityLevelConfiguration;
        networking: Ingress IngressClass NetworkPolicy;
        node: RuntimeClass;
        policy: Eviction PodDisruptionBudget;
        rbac: ClusterRole ClusterRoleBinding Role RoleBinding;
        scheduling: PriorityClass;
        storage: CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment;
    }
    generator.subschema_for::<meta::DeleteOptions>();
    generator.subschema_for::<meta::ListMeta>();
    generator.subschema_for::<meta::Status>();
    names.push((("", "v1", "DeleteOptions"), meta::DeleteOptions::schema_name().into_owned()));
    names
}

fn resource<T: Resource + JsonSchema>(generator: &mut SchemaGenerator) -> (Key, String) {
    generator.subschema_for::<T>();
    ((T::GROUP, T::VERSION, T::KIND), T::schema_name().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::KINDS;

    #[test]
    fn every_kind_has_a_type() {
        for kind in KINDS {
            let root = Root::of(kind).unwrap_or_else(|| panic!("{} has no type", kind.kind));
            assert_eq!(root.ty.short_name(), kind.kind);
            assert!(root.ty.fields.contains_key("metadata"), "{}", kind.kind);
        }
    }
}
