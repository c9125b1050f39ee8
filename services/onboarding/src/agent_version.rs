//! Which agents are too old.

use semver::Version;

/// The oldest version of an agent that is supported.
#[derive(Clone, Debug)]
pub(crate) struct OldestAgent(pub(crate) Version);

impl OldestAgent {
    /// Whether an agent of this version is too old. Of one that is not written as versions are, nobody knows.
    pub(crate) fn is_older(&self, version: &str) -> bool {
        Version::parse(version.trim_start_matches('v')).is_ok_and(|version| version < self.0)
    }

    /// What its operator is told, where it is too old.
    pub(crate) fn notice(&self, version: &str) -> Option<String> {
        let too_old = || {
            format!(
                "this agent (version {version}) is older than {}, the oldest that is supported: upgrade it",
                self.0
            )
        };
        self.is_older(version).then(too_old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_is_by_number_and_strange_versions_are_let_be() {
        let oldest = OldestAgent(Version::new(1, 10, 0));
        for (version, is_older) in [
            ("1.9.0", true),
            ("v1.9.9", true),
            ("1.10.0-rc.1", true),
            ("1.10.0", false),
            ("2.0.0", false),
            ("dev", false),
        ] {
            assert_eq!(oldest.is_older(version), is_older, "{version}");
        }
        assert!(oldest.notice("1.9.0").unwrap().contains("upgrade"));
    }
}
