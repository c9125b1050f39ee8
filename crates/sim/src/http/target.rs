//! What a request is about, read from its path as `apiserver/pkg/endpoints/request/requestinfo.go` does.

use percent_encoding::percent_decode_str;

use super::health;

/// What a path points at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/`.
    Root,
    /// `/readyz`, `/livez`, `/healthz`, and one check of them such as `/readyz/ping`.
    Health { endpoint: String, check: String },
    /// `/metrics`.
    Metrics,
    /// `/version`.
    Version,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/{group}`.
    Group(String),
    /// `/api/v1`, `/apis/{group}/{version}`.
    Resources { group: String, version: String },
    /// Objects, or one, or a part of one.
    Objects(ObjectPath),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApi,
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/{group}/{version}`.
    OpenApiOf { group: String, version: String },
    /// Nothing that is served.
    Unknown,
}

/// A path to objects; what is absent is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectPath {
    pub(super) group: String,
    pub(super) version: String,
    /// For the path of a namespace itself this is its own name.
    pub(super) namespace: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl Target {
    pub(super) fn of(path: &str) -> Target {
        let decoded: Result<Vec<String>, _> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_decode_str(part).decode_utf8().map(String::from))
            .collect();
        let Ok(parts) = decoded else {
            return Target::Unknown;
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [] => Target::Root,
            [endpoint] if health::ENDPOINTS.contains(endpoint) => Target::health(endpoint, ""),
            [endpoint, check] if health::ENDPOINTS.contains(endpoint) => Target::health(endpoint, check),
            ["metrics"] => Target::Metrics,
            ["version"] => Target::Version,
            ["openapi", "v2"] => Target::OpenApiV2,
            ["openapi", "v3"] => Target::OpenApi,
            ["openapi", "v3", "api", version] => Target::open_api("", version),
            ["openapi", "v3", "apis", group, version] => Target::open_api(group, version),
            ["api"] => Target::CoreVersions,
            ["apis"] => Target::Groups,
            ["apis", group] => Target::Group((*group).to_owned()),
            ["api", version] => Target::resources("", version),
            ["apis", group, version] => Target::resources(group, version),
            ["api", version, rest @ ..] => Target::objects("", version, rest),
            ["apis", group, version, rest @ ..] => Target::objects(group, version, rest),
            _ => Target::Unknown,
        }
    }

    fn health(endpoint: &str, check: &str) -> Target {
        Target::Health { endpoint: endpoint.to_owned(), check: check.to_owned() }
    }

    fn open_api(group: &str, version: &str) -> Target {
        Target::OpenApiOf { group: group.to_owned(), version: version.to_owned() }
    }

    fn resources(group: &str, version: &str) -> Target {
        Target::Resources { group: group.to_owned(), version: version.to_owned() }
    }

    fn objects(group: &str, version: &str, rest: &[&str]) -> Target {
        let (namespace, rest) = match rest {
            ["namespaces", name, "status" | "finalize"] | ["namespaces", name] => (*name, rest),
            ["namespaces", name, rest @ ..] => (*name, rest),
            _ => ("", rest),
        };
        let (plural, name, subresource) = match *rest {
            [plural] => (plural, "", ""),
            [plural, name] => (plural, name, ""),
            // What follows a proxy is for what stands behind it.
            [plural, name, "proxy", ..] => (plural, name, "proxy"),
            [plural, name, subresource] => (plural, name, subresource),
            _ => return Target::Unknown,
        };
        Target::Objects(ObjectPath {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            plural: plural.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(path: &str) -> [String; 6] {
        let Target::Objects(path) = Target::of(path) else { panic!("{path} is no path to objects") };
        [path.group, path.version, path.namespace, path.plural, path.name, path.subresource]
    }

    #[test]
    fn paths_to_objects() {
        for (path, expected) in [
            ("/api/v1/pods", ["", "v1", "", "pods", "", ""]),
            ("/api/v1/nodes/a.b", ["", "v1", "", "nodes", "a.b", ""]),
            ("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]),
            ("/api/v1/namespaces/x", ["", "v1", "x", "namespaces", "x", ""]),
            ("/api/v1/namespaces/x/status", ["", "v1", "x", "namespaces", "x", "status"]),
            ("/api/v1/namespaces/x/pods", ["", "v1", "x", "pods", "", ""]),
            ("/api/v1/namespaces/x/pods/p/log", ["", "v1", "x", "pods", "p", "log"]),
            ("/apis/apps/v1/namespaces/x/deployments/d", ["apps", "v1", "x", "deployments", "d", ""]),
            (
                "/apis/r.k8s.io/v1/clusterroles/system%3Anode",
                ["r.k8s.io", "v1", "", "clusterroles", "system:node", ""],
            ),
        ] {
            assert_eq!(objects(path), expected, "{path}");
        }
    }

    #[test]
    fn other_paths() {
        assert_eq!(Target::of("/"), Target::Root);
        assert_eq!(Target::of("/api/v1/a/b/c/d"), Target::Unknown);
        assert_eq!(Target::of("/api/v1/pods/%ff"), Target::Unknown);
        assert_eq!(Target::of("/livez"), Target::health("livez", ""));
        assert_eq!(Target::of("/readyz/ping"), Target::health("readyz", "ping"));
        assert_eq!(Target::of("/apis/apps"), Target::Group("apps".to_owned()));
    }
}
