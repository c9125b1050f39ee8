//! References to container images.

/// `parsers.ParseImageName` and `SetDefaults_Container`: an image at the tag `latest`, or with neither tag nor
/// digest, is always pulled.
pub(crate) fn default_pull_policy(reference: &str) -> &'static str {
    let (name, has_digest) = reference.split_once('@').map_or((reference, false), |(name, _)| (name, true));
    // A colon before the last slash belongs to the port of the registry.
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = last.split_once(':').map(|(_, tag)| tag);
    match tag {
        Some("latest") => "Always",
        None if !has_digest => "Always",
        Some(_) | None => "IfNotPresent",
    }
}

#[cfg(test)]
mod tests {
    use super::default_pull_policy;

    #[test]
    fn only_the_newest_is_pulled_every_time() {
        for image in ["worker", "nginx:latest", "registry:5000/team/app", "r:5000/app:latest"] {
            assert_eq!(default_pull_policy(image), "Always", "{image}");
        }
        for image in ["nginx:1.27", "r:5000/app:1", "app@sha256:0a1b", "app:1@sha256:0a1b"] {
            assert_eq!(default_pull_policy(image), "IfNotPresent", "{image}");
        }
    }
}
