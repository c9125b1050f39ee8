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

/// A reference without its tag and its digest.
pub(crate) fn repository(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    name[path..].find(':').map_or(name, |colon| &name[..path + colon])
}

/// Refuses a text that can be the name of no image, in the words of `ParseNormalizedNamed` in
/// `github.com/distribution/reference`.
pub(crate) fn check(reference: &str) -> Result<(), String> {
    let invalid = || "invalid reference format".to_owned();
    let (domain, rest) = match reference.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first != first.to_lowercase() =>
        {
            (Some(first), rest)
        }
        Some(_) | None => (None, reference),
    };
    let (tagged, digest) = match rest.split_once('@') {
        Some((tagged, digest)) => (tagged, Some(digest)),
        None => (rest, None),
    };
    let (path, tag) = match tagged.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (tagged, None),
    };
    if path != path.to_lowercase() {
        let library = if domain.is_none() && !path.contains('/') { "library/" } else { "" };
        return Err(format!("invalid reference format: repository name ({library}{path}) must be lowercase"));
    }
    let is_valid = domain.is_none_or(is_domain)
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    if is_valid { Ok(()) } else { Err(invalid()) }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(is_label)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Runs of letters and digits between `.`, `_`, `__` and any number of `-`.
fn is_component(component: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = component.split(is_alphanumeric).filter(|separator| !separator.is_empty());
    component.starts_with(is_alphanumeric)
        && component.ends_with(is_alphanumeric)
        && separators.all(|text| [".", "_", "__"].contains(&text) || text.bytes().all(|byte| byte == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
            && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte))
            && hex.len() >= 32
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::{check, default_pull_policy, repository};

    #[test]
    fn what_can_be_the_name_of_an_image() {
        let digest = format!("app@sha256:{}", "0a".repeat(32));
        for image in ["nginx", "nginx:1.27", "r.example:5000/team/app_x--y:V1", "localhost/a", &digest] {
            assert_eq!(check(image), Ok(()), "{image}");
        }
        for image in ["", "nginx:", "a//b", "nginx:1:2", "a b", "-a", "r.example:x/app", "app@sha256:0a", "é"]
        {
            assert_eq!(check(image).unwrap_err(), "invalid reference format", "{image}");
        }
        assert_eq!(
            check("Nginx:1").unwrap_err(),
            "invalid reference format: repository name (library/Nginx) must be lowercase"
        );
    }

    #[test]
    fn a_repository_has_neither_tag_nor_digest() {
        for image in [
            "r:5000/team/app",
            "r:5000/team/app:1",
            "r:5000/team/app@sha256:0a",
            "r:5000/team/app:1@sha256:0a",
        ] {
            assert_eq!(repository(image), "r:5000/team/app", "{image}");
        }
        assert_eq!(repository("agent:1.0.0"), "agent");
    }

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
