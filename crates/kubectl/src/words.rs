//! From a line to its words.

use crate::{Command, Refused};

/// Splits a line as a shell does, without expanding anything.
pub(crate) fn split(line: &str) -> Result<Vec<String>, Refused> {
    if line.len() > Command::MAX_LENGTH {
        return Err(Refused::TooLong);
    }
    if line.chars().any(char::is_control) {
        return Err(Refused::ControlCharacter);
    }
    shlex::split(line).ok_or(Refused::Unbalanced)
}
