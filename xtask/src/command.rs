//! Other programs, run in the workspace's folder.

use std::{
    env,
    ffi::OsStr,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

use crate::workspace;

/// A program with its arguments.
pub(crate) fn command(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace());
    command
}

/// Cargo, as it is when a person calls it.
///
/// Variables such as `CARGO_MANIFEST_DIR`, which `cargo run` set for this process, are taken away: build scripts that
/// ask to be run again when they change (ring's does) would be, and all that depends on them.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(cargo, arguments);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs it on this terminal.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let text = display(command);
    println!("$ {text}");
    let status = command.status().with_context(|| format!("cannot run {text}"))?;
    ensure!(status.success(), "{text}: {status}");
    Ok(())
}

/// Whether it can be run and succeeds; nothing of it is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Program and arguments, without the variables, which may hold passwords.
fn display(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_not_told_of_the_package_that_calls_it() {
        // Cargo sets it for tests as it does for `cargo run`.
        let variable = "CARGO_MANIFEST_DIR";
        assert!(env::var_os(variable).is_some());
        let cargo = cargo(&["--version"]);
        assert!(cargo.get_envs().any(|(name, value)| name == variable && value.is_none()));
    }

    #[test]
    fn a_program_that_fails_or_is_not_there_does_not_succeed() {
        assert!(succeeds(&mut command("true", &[])));
        assert!(!succeeds(&mut command("false", &[])));
        assert!(!succeeds(&mut command("no-such-program", &[])));
        assert!(run(&mut command("false", &[])).is_err());
    }
}
