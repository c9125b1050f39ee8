//! The registry: which kinds of object the server serves, as data.

use serde_json::Value;

/// One kind of object and how the API server treats it. There is one of each: two are the same when they are at the
/// same place.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version within the group, such as `v1`.
    pub version: &'static str,
    /// Plural name, as it stands in paths: `pods`.
    pub plural: &'static str,
    /// Name of the type: `Pod`.
    pub kind: &'static str,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Short names for command lines: `po`.
    pub short_names: &'static [&'static str],
    /// Groups of kinds that command lines know by one word: `all`.
    pub categories: &'static [&'static str],
    /// Verbs that discovery announces.
    pub verbs: &'static [&'static str],
    /// Field selectors beyond `metadata.name` and `metadata.namespace`.
    pub fields: &'static [&'static str],
    /// Subresources that are served.
    pub subresources: &'static [Subresource],
    /// What a name must look like.
    pub names: NameRule,
    /// Whether `metadata.generation` counts the changes of `spec`.
    pub generation: bool,
    /// Whether a deletion leaves time to stop: the object is marked as terminating first.
    pub graceful: bool,
    /// Whether a deletion is answered with the object, not with a `Status` (`ReturnDeletedObject`).
    pub returns_deleted: bool,
    /// Whether an update of an object that is not there creates it (`AllowCreateOnUpdate`).
    pub create_on_update: bool,
}

/// A subresource as discovery announces it.
#[derive(Debug)]
pub struct Subresource {
    /// Last part of the path: `log`.
    pub name: &'static str,
    /// Verbs that discovery announces.
    pub verbs: &'static [&'static str],
    /// The type that it speaks where that is another than the resource's own.
    pub speaks: Option<TypeName>,
}

/// A type by group, version and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeName {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version within the group.
    pub version: &'static str,
    /// Name of the type: `Scale`.
    pub kind: &'static str,
}

/// The rule that names of a kind follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 label: no dots, at most 63 characters.
    Label,
    /// RFC 1123 subdomain: labels joined by dots, at most 253 characters.
    Subdomain,
    /// Anything that can stand as one segment of a path, as RBAC names do.
    PathSegment,
}

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Namespaces go one by one.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];

const STATUS: Subresource = Subresource { name: "status", verbs: &["get", "patch", "update"], speaks: None };
const SCALE: Subresource = Subresource {
    name: "scale",
    verbs: &["get", "patch", "update"],
    speaks: Some(TypeName { group: "autoscaling", version: "v1", kind: "Scale" }),
};
const WITH_STATUS: &[Subresource] = &[STATUS];
const WITH_SCALE: &[Subresource] = &[SCALE, STATUS];
const POD_SUBRESOURCES: &[Subresource] = &[
    Subresource {
        name: "binding",
        verbs: CREATE,
        speaks: Some(TypeName { group: "", version: "v1", kind: "Binding" }),
    },
    Subresource {
        name: "eviction",
        verbs: CREATE,
        speaks: Some(TypeName { group: "policy", version: "v1", kind: "Eviction" }),
    },
    Subresource { name: "log", verbs: &["get"], speaks: None },
    STATUS,
];
const NAMESPACE_SUBRESOURCES: &[Subresource] =
    &[Subresource { name: "finalize", verbs: &["update"], speaks: None }, STATUS];
const TOKEN: &[Subresource] = &[Subresource {
    name: "token",
    verbs: CREATE,
    speaks: Some(TypeName { group: AUTHENTICATION, version: "v1", kind: "TokenRequest" }),
}];

/// What `kubectl get all` shows.
const ALL: &[&str] = &["all"];
/// What can change how the API server answers.
const API_EXTENSIONS: &[&str] = &["api-extensions"];

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

impl Kind {
    const fn cluster(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
    ) -> Kind {
        Kind {
            group,
            version,
            plural,
            kind,
            namespaced: false,
            short_names: &[],
            categories: &[],
            verbs: VERBS,
            fields: &[],
            subresources: &[],
            names: NameRule::Subdomain,
            generation: false,
            graceful: false,
            returns_deleted: false,
            create_on_update: false,
        }
    }

    const fn namespaced(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
    ) -> Kind {
        Kind { namespaced: true, ..Kind::cluster(group, version, plural, kind) }
    }

    const fn short(self, short_names: &'static [&'static str]) -> Kind {
        Kind { short_names, ..self }
    }

    const fn categories(self, categories: &'static [&'static str]) -> Kind {
        Kind { categories, ..self }
    }

    const fn with(self, subresources: &'static [Subresource]) -> Kind {
        Kind { subresources, ..self }
    }

    /// A kind that is only ever asked: it is answered at once and never stored.
    const fn review(self) -> Kind {
        Kind { verbs: CREATE, ..self }
    }

    const fn fields(self, fields: &'static [&'static str]) -> Kind {
        Kind { fields, ..self }
    }

    const fn names(self, names: NameRule) -> Kind {
        Kind { names, ..self }
    }

    const fn generation(self) -> Kind {
        Kind { generation: true, ..self }
    }

    const fn returns_deleted(self) -> Kind {
        Kind { returns_deleted: true, ..self }
    }

    const fn create_on_update(self) -> Kind {
        Kind { create_on_update: true, ..self }
    }

    /// Whether its status is written at an endpoint of its own.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresources.iter().any(|subresource| subresource.name == "status")
    }

    /// `group/version`, or the version alone for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        group_version(self.group, self.version)
    }

    /// Name of one object: the type's name in lower case.
    #[must_use]
    pub fn singular(&self) -> String {
        self.kind.to_lowercase()
    }

    /// `plural.group`, or the plural alone for the core group: how messages name the resource.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// Joins a group and a version as `apiVersion` does.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

macro_rules! well_known {
    ($($name:ident = $plural:literal;)*) => {
        $(
            #[doc = concat!("The kind of `", $plural, "`.")]
            pub static $name: &Kind = known($plural);
        )*
    };
}

well_known! {
    NAMESPACES = "namespaces";
    NODES = "nodes";
    PODS = "pods";
    SERVICES = "services";
    SERVICE_ACCOUNTS = "serviceaccounts";
    CONFIG_MAPS = "configmaps";
    SECRETS = "secrets";
    EVENTS = "events";
    PERSISTENT_VOLUME_CLAIMS = "persistentvolumeclaims";
    PERSISTENT_VOLUMES = "persistentvolumes";
    DAEMON_SETS = "daemonsets";
    DEPLOYMENTS = "deployments";
    REPLICA_SETS = "replicasets";
    REPLICATION_CONTROLLERS = "replicationcontrollers";
    STATEFUL_SETS = "statefulsets";
    CONTROLLER_REVISIONS = "controllerrevisions";
    JOBS = "jobs";
    CRON_JOBS = "cronjobs";
    LEASES = "leases";
    ENDPOINT_SLICES = "endpointslices";
    POD_DISRUPTION_BUDGETS = "poddisruptionbudgets";
    PRIORITY_CLASSES = "priorityclasses";
    CLUSTER_ROLES = "clusterroles";
    CLUSTER_ROLE_BINDINGS = "clusterrolebindings";
    ROLES = "roles";
    ROLE_BINDINGS = "rolebindings";
    RESOURCE_QUOTAS = "resourcequotas";
}

/// Looks a kind up while compiling: a name that is not in [`KINDS`] does not compile.
const fn known(plural: &str) -> &'static Kind {
    let mut index = 0;
    while index < KINDS.len() {
        if is_same(KINDS[index].plural.as_bytes(), plural.as_bytes()) {
            return &KINDS[index];
        }
        index += 1;
    }
    panic!("no such kind")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// Every kind that the server serves, in the order of discovery.
pub static KINDS: &[Kind] = &[
    Kind::namespaced("", "v1", "configmaps", "ConfigMap").short(&["cm"]),
    Kind::namespaced("", "v1", "endpoints", "Endpoints").create_on_update().short(&["ep"]),
    Kind::namespaced("", "v1", "events", "Event").create_on_update().short(&["ev"]).fields(&[
        "involvedObject.apiVersion",
        "involvedObject.fieldPath",
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.resourceVersion",
        "involvedObject.uid",
        "reason",
        "reportingComponent",
        "type",
    ]),
    Kind::namespaced("", "v1", "limitranges", "LimitRange").create_on_update().short(&["limits"]),
    Kind { verbs: NAMESPACE_VERBS, ..Kind::cluster("", "v1", "namespaces", "Namespace") }
        .with(NAMESPACE_SUBRESOURCES)
        .short(&["ns"])
        .fields(&["status.phase"])
        .names(NameRule::Label),
    Kind::cluster("", "v1", "nodes", "Node").short(&["no"]).with(WITH_STATUS).fields(&["spec.unschedulable"]),
    Kind::namespaced("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
        .returns_deleted()
        .short(&["pvc"])
        .with(WITH_STATUS),
    Kind::cluster("", "v1", "persistentvolumes", "PersistentVolume")
        .returns_deleted()
        .short(&["pv"])
        .with(WITH_STATUS),
    Kind {
        subresources: POD_SUBRESOURCES,
        graceful: true,
        ..Kind::namespaced("", "v1", "pods", "Pod").returns_deleted().generation()
    }
    .short(&["po"])
    .categories(ALL)
    .fields(&[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ]),
    Kind::namespaced("", "v1", "podtemplates", "PodTemplate").generation(),
    Kind::namespaced("", "v1", "replicationcontrollers", "ReplicationController")
        .short(&["rc"])
        .categories(ALL)
        .with(WITH_SCALE)
        .generation(),
    Kind::namespaced("", "v1", "resourcequotas", "ResourceQuota")
        .returns_deleted()
        .short(&["quota"])
        .with(WITH_STATUS),
    Kind::namespaced("", "v1", "secrets", "Secret").fields(&["type"]),
    Kind::namespaced("", "v1", "serviceaccounts", "ServiceAccount")
        .returns_deleted()
        .short(&["sa"])
        .with(TOKEN),
    Kind::namespaced("", "v1", "services", "Service")
        .returns_deleted()
        .create_on_update()
        .short(&["svc"])
        .categories(ALL)
        .with(WITH_STATUS)
        .fields(&["spec.clusterIP", "spec.type"])
        .names(NameRule::Label),
    Kind::cluster(ADMISSION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration")
        .categories(API_EXTENSIONS)
        .generation(),
    Kind::cluster(ADMISSION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration")
        .categories(API_EXTENSIONS)
        .generation(),
    Kind::namespaced("apps", "v1", "controllerrevisions", "ControllerRevision"),
    Kind::namespaced("apps", "v1", "daemonsets", "DaemonSet")
        .short(&["ds"])
        .categories(ALL)
        .with(WITH_STATUS)
        .generation(),
    Kind::namespaced("apps", "v1", "deployments", "Deployment")
        .short(&["deploy"])
        .categories(ALL)
        .with(WITH_SCALE)
        .generation(),
    Kind::namespaced("apps", "v1", "replicasets", "ReplicaSet")
        .short(&["rs"])
        .categories(ALL)
        .with(WITH_SCALE)
        .generation(),
    Kind::namespaced("apps", "v1", "statefulsets", "StatefulSet")
        .short(&["sts"])
        .categories(ALL)
        .with(WITH_SCALE)
        .generation(),
    autoscaler("v2"),
    Kind::namespaced("batch", "v1", "cronjobs", "CronJob")
        .short(&["cj"])
        .categories(ALL)
        .with(WITH_STATUS)
        .generation(),
    Kind::namespaced("batch", "v1", "jobs", "Job").categories(ALL).with(WITH_STATUS).generation(),
    Kind::namespaced("coordination.k8s.io", "v1", "leases", "Lease").create_on_update(),
    Kind::namespaced("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice").generation(),
    Kind::cluster(NETWORKING, "v1", "ingressclasses", "IngressClass").generation(),
    Kind::namespaced(NETWORKING, "v1", "ingresses", "Ingress").short(&["ing"]).with(WITH_STATUS).generation(),
    Kind::namespaced(NETWORKING, "v1", "networkpolicies", "NetworkPolicy").short(&["netpol"]).generation(),
    Kind::namespaced("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
        .short(&["pdb"])
        .with(WITH_STATUS)
        .generation(),
    Kind::cluster(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding")
        .create_on_update()
        .names(NameRule::PathSegment),
    Kind::cluster(RBAC, "v1", "clusterroles", "ClusterRole").create_on_update().names(NameRule::PathSegment),
    Kind::namespaced(RBAC, "v1", "rolebindings", "RoleBinding")
        .create_on_update()
        .names(NameRule::PathSegment),
    Kind::namespaced(RBAC, "v1", "roles", "Role").create_on_update().names(NameRule::PathSegment),
    Kind::cluster("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass").short(&["pc"]).generation(),
    Kind::cluster("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass"),
    Kind::cluster(STORAGE, "v1", "csidrivers", "CSIDriver").generation(),
    Kind::cluster(STORAGE, "v1", "csinodes", "CSINode"),
    Kind::cluster(STORAGE, "v1", "storageclasses", "StorageClass").returns_deleted().short(&["sc"]),
    Kind::cluster(STORAGE, "v1", "volumeattachments", "VolumeAttachment").returns_deleted().with(WITH_STATUS),
];

/// Further versions of kinds, served beside those of [`KINDS`] and stored as they are (`crate::conversion`).
pub static CONVERTED: &[Kind] = &[
    autoscaler("v1"),
    Kind::namespaced("events.k8s.io", "v1", "events", "Event").create_on_update().short(&["ev"]).fields(&[
        "reason",
        "regarding.apiVersion",
        "regarding.fieldPath",
        "regarding.kind",
        "regarding.name",
        "regarding.namespace",
        "regarding.resourceVersion",
        "regarding.uid",
        "reportingController",
        "type",
    ]),
];

const fn autoscaler(version: &'static str) -> Kind {
    Kind::namespaced("autoscaling", version, "horizontalpodautoscalers", "HorizontalPodAutoscaler")
        .short(&["hpa"])
        .categories(ALL)
        .with(WITH_STATUS)
}

/// Kinds that a client only creates, to be told something; nothing of them is stored.
pub static REVIEWS: &[Kind] = &[
    Kind::cluster(AUTHENTICATION, "v1", "selfsubjectreviews", "SelfSubjectReview").review(),
    Kind::cluster(AUTHENTICATION, "v1", "tokenreviews", "TokenReview").review(),
    Kind::namespaced(AUTHORIZATION, "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview").review(),
    Kind::cluster(AUTHORIZATION, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview").review(),
    Kind::cluster(AUTHORIZATION, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview").review(),
    Kind::cluster(AUTHORIZATION, "v1", "subjectaccessreviews", "SubjectAccessReview").review(),
];

/// The kind behind a path, in the version that the path says, or `None` where nothing is served there.
#[must_use]
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    let mut kinds = KINDS.iter().chain(CONVERTED);
    kinds.find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// The review behind a path.
#[must_use]
pub fn review(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    REVIEWS.iter().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// The kind with this plural name, whatever its group; plural names are unique in [`KINDS`].
#[must_use]
pub fn by_plural(plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.plural == plural)
}

/// The kind that an object says it is, by its `apiVersion` and `kind`.
#[must_use]
pub fn of(object: &Value) -> Option<&'static Kind> {
    named(object["apiVersion"].as_str()?, object["kind"].as_str()?)
}

/// The kind with this `apiVersion` and type.
#[must_use]
pub fn named(api_version: &str, name: &str) -> Option<&'static Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    KINDS.iter().find(|kind| kind.kind == name && kind.group == group && kind.version == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plural_names_are_unique() {
        for kind in KINDS {
            assert!(std::ptr::eq(by_plural(kind.plural).unwrap(), kind), "{}", kind.plural);
            assert!(std::ptr::eq(find(kind.group, kind.version, kind.plural).unwrap(), kind));
        }
    }
}
