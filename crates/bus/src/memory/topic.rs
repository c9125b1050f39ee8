//! Topic patterns, as AMQP 0-9-1 defines them: words between dots, `*` for one word, `#` for any number of words.

/// Whether a message with this key goes to a queue bound with this pattern.
pub(super) fn matches(pattern: &str, key: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let key: Vec<&str> = key.split('.').collect();
    words_match(&pattern, &key)
}

fn words_match(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], []) => true,
        (["#"], _) => true,
        (["#", rest @ ..], _) => (0..=key.len()).any(|skipped| words_match(rest, &key[skipped..])),
        (["*", rest @ ..], [_, tail @ ..]) => words_match(rest, tail),
        ([word, rest @ ..], [first, tail @ ..]) if word == first => words_match(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_rabbitmq_does() {
        for (pattern, key, expected) in [
            ("api_key.revoked", "api_key.revoked", true),
            ("api_key.*", "api_key.revoked", true),
            ("api_key.*", "api_key", false),
            ("#", "anything.at.all", true),
            ("cluster.#", "cluster", true),
            ("cluster.#.done", "cluster.a.b.done", true),
            ("*.revoked", "user.updated", false),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} and {key}");
        }
    }
}
