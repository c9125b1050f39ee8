//! An error in one line.

use std::{error::Error, iter};

/// The error and its causes, since the outermost alone ("client error (Connect)") helps nobody; without what a cause only
/// repeats.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for text in iter::successors(Some(error), |&error| error.source()).map(ToString::to_string) {
        if !line.contains(&text) {
            let separator = if line.is_empty() { "" } else { ": " };
            line.extend([separator, &text]);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("{text}")]
    struct Because {
        text: &'static str,
        #[source]
        cause: Option<Box<dyn Error + Send + Sync>>,
    }

    fn because(text: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Because {
        Because { text, cause: Some(cause.into()) }
    }

    #[test]
    fn a_failure_is_told_with_its_causes_from_the_outermost_on() {
        let alone = Because { text: "PORT is in use", cause: None };
        assert_eq!(error_chain(&alone), "PORT is in use");
        let denied = io::Error::other("permission denied");
        let chained = because("cannot start", because("cannot open /data/users.db", denied));
        assert_eq!(error_chain(&chained), "cannot start: cannot open /data/users.db: permission denied");
    }

    #[test]
    fn what_a_cause_only_repeats_is_told_once() {
        let refused = io::Error::other("connection refused");
        let quoting = because("cannot connect: connection refused", refused);
        assert_eq!(error_chain(&quoting), "cannot connect: connection refused");
        let empty = because("cannot connect", Because { text: "", cause: None });
        assert_eq!(error_chain(&empty), "cannot connect");
    }
}
