//! A grammar for `kubectl` command lines that come from outside: what it does not allow is refused.
//!
//! A deny-list is fooled by the next synonym (`cp` beside `copy`, a flag before the verb), so there is none: for each verb the
//! [grammar](crate) knows the flags and what they may hold, and the arguments that `kubectl` is given are written anew from what was
//! understood. No text of the caller reaches `kubectl` as a flag that this crate has not named, and none reaches a shell.
//!
//! ```
//! use kubectl::{Command, Permissions};
//!
//! let command = Command::parse("get pods -Ao wide", &Permissions::default())?;
//! assert_eq!(command.arguments(), ["get", "pods", "--all-namespaces", "--output=wide"]);
//! # Ok::<(), kubectl::Refused>(())
//! ```

mod flags;
mod grammar;
mod parse;
mod refused;
mod resources;
mod values;
mod words;

pub use refused::Refused;

/// What a caller may do beyond reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Verbs that change the cluster.
    pub writes: bool,
    /// The resource `secrets`.
    pub secrets: bool,
}

/// A command line that the grammar allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    arguments: Vec<String>,
    recorded: String,
    changes: bool,
    is_json: bool,
}

impl Command {
    /// Longer ones are refused, in bytes.
    pub const MAX_LENGTH: usize = 4096;

    /// Understands a command line as a person types it, with or without `kubectl` before it.
    ///
    /// # Errors
    /// [`Refused`], which says what is wrong and what is allowed instead.
    pub fn parse(line: &str, permissions: &Permissions) -> Result<Self, Refused> {
        parse::parse(line, permissions)
    }

    /// The arguments for `kubectl`, in a form of their own: verb, operands, and flags as `--name=value`.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The command for a record that others read: as it was typed, but without the values that it gives to environment variables,
    /// annotations and Secrets, and without patches.
    pub fn recorded(&self) -> &str {
        &self.recorded
    }

    /// Whether it changes the cluster.
    pub fn changes(&self) -> bool {
        self.changes
    }

    /// Whether its output is JSON.
    pub fn is_json(&self) -> bool {
        self.is_json
    }
}
