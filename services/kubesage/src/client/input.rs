//! What a person gives beside the command line.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::Path,
};

use secrecy::SecretString;

use super::{ClientError, output};

/// Nothing that Kubesage takes is longer, in bytes.
const MAX_LENGTH: usize = 1 << 20;

/// A secret is never an argument: those can be seen by other processes. A terminal asks for it; else it is read from standard input.
pub(crate) fn secret(prompt: &str) -> Result<SecretString, ClientError> {
    let text = if io::stdin().is_terminal() {
        rpassword::prompt_password(prompt)?
    } else {
        text(io::stdin().lock())?
    };
    Ok(text.trim().into())
}

/// What a file holds; `-` is standard input.
pub(crate) fn file(path: &Path) -> Result<String, ClientError> {
    let read =
        if path == Path::new("-") { text(io::stdin().lock()) } else { File::open(path).and_then(text) };
    read.map_err(|error| ClientError::Usage(format!("{}: {error}", path.display())))
}

/// Whether a person agrees.
pub(crate) fn confirmed(question: &str) -> Result<bool, ClientError> {
    if !io::stdin().is_terminal() {
        return Err(ClientError::Usage(
            "nobody can be asked whether that is meant; say it with --yes".to_owned(),
        ));
    }
    output::tell_as_is(&format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn text(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let length = source.take(MAX_LENGTH as u64 + 1).read_to_string(&mut text)?;
    if length > MAX_LENGTH {
        return Err(io::Error::other(format!("is longer than {} KiB", MAX_LENGTH / 1024)));
    }
    Ok(text)
}
