//! Where a database is, as its URL says.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf, absolute},
};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{Backend, StoreError};

/// What is kept in files is for their owner alone.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Where a service's database is.
pub(crate) enum Location {
    /// The service's own file.
    Sqlite(PathBuf),
    /// The server's URL; it may hold a password.
    Postgres(SecretString),
}

impl Location {
    pub(crate) fn parse(url: &SecretString, service: &str) -> Result<Self, StoreError> {
        let text = url.expose_secret();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.clone()));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) => sqlite_file(path, service).map(Self::Sqlite),
            None => Err(invalid("it begins with neither")),
        }
    }

    pub(crate) fn backend(&self) -> Backend {
        match self {
            Self::Sqlite(_) => Backend::Sqlite,
            Self::Postgres(_) => Backend::Postgres,
        }
    }

    /// The file that it is, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(file) => Some(file),
            Self::Postgres(_) => None,
        }
    }

    /// The URL by which sqlx connects. A missing SQLite file is made first, with its directory.
    pub(crate) fn connect_url(&self) -> Result<Url, StoreError> {
        match self {
            Self::Sqlite(file) => {
                let file = create_private(file).map_err(|error| {
                    StoreError::Configuration(format!(
                        "DATABASE_URL: cannot create {}: {error}",
                        file.display()
                    ))
                })?;
                let escaped = Url::from_file_path(&file).map_err(|()| invalid("its path is not usable"))?;
                Url::parse(&format!("sqlite://{}?mode=rw", escaped.path()))
                    .map_err(|_| invalid("its path is not usable"))
            }
            // The parser's error says what is wrong without repeating the text.
            Self::Postgres(url) => {
                Url::parse(url.expose_secret()).map_err(|error| invalid(&error.to_string()))
            }
        }
    }
}

fn sqlite_file(path: &str, service: &str) -> Result<PathBuf, StoreError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains([':', '?', '\0']) {
        return Err(invalid("sqlite: takes the path of a file or a directory and nothing else"));
    }
    Ok(if path.ends_with('/') || Path::new(path).is_dir() {
        Path::new(path).join(format!("{service}.db"))
    } else {
        PathBuf::from(path)
    })
}

/// Makes the file and the directories above it where they are missing; answers its absolute path.
fn create_private(file: &Path) -> io::Result<PathBuf> {
    let file = absolute(file)?;
    if let Some(directory) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    }
    // SQLite gives its journal the mode of the file.
    fs::OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(&file)?;
    Ok(file)
}

fn invalid(why: &str) -> StoreError {
    StoreError::Configuration(format!(
        "DATABASE_URL must be postgres://user:password@host/database or sqlite:path, the path of a file or of a directory: {why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Location, StoreError> {
        Location::parse(&url.into(), "user-auth")
    }

    fn file(url: &str) -> PathBuf {
        match parse(url) {
            Ok(Location::Sqlite(file)) => file,
            _ => panic!("{url} is a file"),
        }
    }

    #[test]
    fn a_directory_holds_one_file_a_service() {
        assert_eq!(file("sqlite:data/"), Path::new("data/user-auth.db"));
        assert_eq!(file("sqlite:///not/there/"), Path::new("/not/there/user-auth.db"));
        assert_eq!(file("sqlite:/"), Path::new("/user-auth.db"));
        assert_eq!(file("sqlite:src"), Path::new("src/user-auth.db"));
        assert_eq!(file("sqlite:data/other.db"), Path::new("data/other.db"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_the_settings_name() {
        for url in ["", "mysql://h/d", "sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro"] {
            let error = parse(url).err().expect(url).to_string();
            assert!(error.starts_with("DATABASE_URL must be"), "{error}");
        }
    }

    #[test]
    fn an_error_does_not_hold_the_password() {
        let location = parse("postgres://user:hunter2@host:port/db").unwrap();
        let error = location.connect_url().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
