//! The directory in which an all-in-one process keeps what is to be there the next time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;
use thiserror::Error;

/// A data directory that this process alone uses.
pub(crate) struct DataDir {
    path: PathBuf,
    /// Held for as long as the process uses the directory.
    _lock: File,
}

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub(crate) enum DataDirError {
    #[error("cannot write to the data directory {}: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("another kubesage uses the data directory {}; choose another with --data-dir", path.display())]
    InUse { path: PathBuf },
}

impl DataDir {
    /// Makes the directory, for its owner alone, if it is missing, and takes it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |source| DataDirError::Unusable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let path = fs::canonicalize(path).map_err(unusable)?;
        let unusable = |source| DataDirError::Unusable { path: path.clone(), source };
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"));
        let lock = lock.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(DataDirError::Unusable { path, source }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds; `None` when there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, DataDirError> {
        match fs::read_to_string(self.path.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataDirError::Unusable { path: self.path.join(name), source }),
        }
    }

    /// Writes a file that only its owner can read, all of it or nothing, and answers where it is.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, DataDirError> {
        let path = self.path.join(name);
        write_private(&path, text).map_err(|source| DataDirError::Unusable { path: path.clone(), source })?;
        Ok(path)
    }
}

/// Writes a file that only its owner can read, all of it or nothing.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file is its owner's alone (0600) and takes the place of the other in one step.
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
