//! Why a command line is refused.

use thiserror::Error;

/// Why a command line is refused, for the person who wrote it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// There is nothing in it.
    #[error("there is no command; for example: get pods -A")]
    Empty,
    /// It is longer than [`Command::MAX_LENGTH`](crate::Command::MAX_LENGTH).
    #[error("the command is longer than {} bytes", crate::Command::MAX_LENGTH)]
    TooLong,
    /// It holds something that no command line on one line holds.
    #[error("the command holds a line break or another control character")]
    ControlCharacter,
    /// A quote is not closed, or the line ends with a backslash.
    #[error("a quote is not closed, or the command ends with a backslash")]
    Unbalanced,
    /// The verb is not one that is allowed.
    #[error("{verb:?} is not allowed{}; allowed are: {allowed}", reason.map(|reason| format!(" ({reason})")).unwrap_or_default())]
    Verb {
        /// What was there instead.
        verb: String,
        /// Why it never is, where that is known.
        reason: Option<&'static str>,
        /// The verbs that are.
        allowed: String,
    },
    /// The verb changes the cluster, and that is not allowed here.
    #[error("{verb} changes the cluster, and only commands that read are allowed here")]
    Changes {
        /// The verb.
        verb: String,
    },
    /// A flag stands before the verb, where it would hide what is to be done.
    #[error("{flag:?} stands before the verb; begin with the verb")]
    FlagFirst {
        /// The flag.
        flag: String,
    },
    /// The verb has no such flag, or it is not allowed.
    #[error("{flag} is not allowed with {verb}{}; allowed are: {allowed}", reason.map(|reason| format!(" ({reason})")).unwrap_or_default())]
    Flag {
        /// The verb.
        verb: String,
        /// The flag.
        flag: String,
        /// Why it never is, where that is known.
        reason: Option<&'static str>,
        /// The flags that are.
        allowed: String,
    },
    /// A flag is given twice.
    #[error("{flag} is given twice")]
    Repeated {
        /// The flag.
        flag: String,
    },
    /// A flag needs a value, and there is none.
    #[error("{flag} needs a value: {expected}")]
    NoValue {
        /// The flag.
        flag: String,
        /// What it may be.
        expected: String,
    },
    /// A flag's value is none that it may have.
    #[error("{flag} must be {expected}")]
    Value {
        /// The flag.
        flag: String,
        /// What it may be.
        expected: String,
    },
    /// What stands beside the flags is not what the verb takes.
    #[error("{verb} takes {expected}{}", found.as_ref().map(|found| format!(", not {found:?}")).unwrap_or_default())]
    Operands {
        /// The verb.
        verb: String,
        /// What it takes.
        expected: &'static str,
        /// What was there instead; `None`: nothing.
        found: Option<String>,
    },
    /// It names Secrets.
    #[error("Secrets are not allowed here")]
    Secrets,
}
