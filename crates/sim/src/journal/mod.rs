//! What lets a cluster outlive its process: a file to which every change is written before anybody hears of it.
//!
//! The file begins with everything that there is, followed by what has changed since, a line each. When that has become the larger part
//! the file is written anew beside itself and renamed, as it is at every start. A line is with the operating system before the change is
//! answered: what kills the process does not take it back. Nothing is synced to the disk: a machine that loses power may lose the last
//! moments, or be told that the file is damaged.

mod line;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio_util::sync::CancellationToken;

use self::line::{HEADER, Line};
pub(crate) use self::read::Found;
use crate::object::Object;
use crate::store::Change;

const FILE: &str = "cluster.log";
/// The file before it takes the other's place.
const NEW: &str = "cluster.log.new";
const LOCK: &str = "lock";
/// So many bytes may follow what was there at first, however little that was.
const SHORT: u64 = 4 * 1024 * 1024;

/// Why a cluster's state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operating system refuses it.
    #[error("the state of the simulated cluster cannot be kept in {}: {source}", path.display())]
    Unusable {
        /// What it was about.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another simulator is at work there.
    #[error("another simulated cluster keeps its state in {}", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// What is there was not written by this version, or not as it is now.
    #[error("{} cannot be read: {why}; delete the directory {} to begin with a new cluster", path.display(), directory.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The directory that it is in.
        directory: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The file that a running cluster writes.
pub(crate) struct Journal {
    directory: PathBuf,
    writer: Mutex<Writer>,
    /// Whether a change was made that could not be written.
    is_behind: AtomicBool,
    /// The simulator, which ends with its journal.
    end: CancellationToken,
    _lock: File,
}

struct Writer {
    /// Absent before everything is there.
    file: Option<File>,
    /// What there is besides objects, by its name.
    kept: BTreeMap<String, Box<RawValue>>,
    /// How long the file was when it was new, and how much was added since.
    first: u64,
    added: u64,
}

impl Journal {
    /// Takes a directory for this process, and reads what an earlier one has left there.
    pub(crate) fn open(
        directory: &Path,
        end: CancellationToken,
    ) -> Result<(Journal, Option<Found>), StateError> {
        let unusable = |source| StateError::Unusable { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
        let lock = private().truncate(false).open(directory.join(LOCK));
        let lock = lock.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateError::InUse { directory: directory.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let found = Found::read(directory, FILE)?;
        let kept = found.as_ref().map(|found| found.kept.clone()).unwrap_or_default();
        let journal = Journal {
            directory: directory.to_owned(),
            writer: Mutex::new(Writer { file: None, kept, first: 0, added: 0 }),
            is_behind: AtomicBool::new(false),
            end,
            _lock: lock,
        };
        Ok((journal, found))
    }

    /// Writes the whole file anew, and from now on every change.
    pub(crate) fn begin<'a>(
        &self,
        revision: u64,
        objects: impl Iterator<Item = &'a Object>,
    ) -> Result<(), StateError> {
        let mut writer = self.lock();
        let written = self.write_all(&mut writer, revision, objects);
        written.map_err(|source| StateError::Unusable { path: self.directory.join(NEW), source })
    }

    /// The same while the cluster works.
    pub(crate) fn begin_anew<'a>(&self, revision: u64, objects: impl Iterator<Item = &'a Object>) {
        let mut writer = self.lock();
        let written = self.write_all(&mut writer, revision, objects);
        self.check(&mut writer, written);
    }

    /// Writes the change of an object; whether it is time to begin anew.
    pub(crate) fn note(&self, change: &Change) -> bool {
        let line = match change.deleted {
            false => Line::Put(&change.object),
            true => Line::Removed { plural: change.kind.plural, key: &change.key, revision: change.revision },
        };
        let mut writer = self.lock();
        self.append(&mut writer, &line);
        writer.added > SHORT.max(writer.first)
    }

    /// Writes what there is under a name, unless it is what was written last.
    pub(crate) fn keep(&self, name: &str, value: &impl Serialize) {
        let value = to_raw_value(value).expect("what is kept is JSON");
        let mut writer = self.lock();
        if writer.kept.get(name).is_some_and(|before| before.get() == value.get()) {
            return;
        }
        self.append(&mut writer, &Line::Kept { name, value: &value });
        writer.kept.insert(name.to_owned(), value);
    }

    /// Whether a change was made that could not be written: nobody may be answered any more.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::SeqCst)
    }

    fn write_all<'a>(
        &self,
        writer: &mut Writer,
        revision: u64,
        objects: impl Iterator<Item = &'a Object>,
    ) -> io::Result<()> {
        let path = self.directory.join(NEW);
        let mut file = BufWriter::new(private().truncate(true).open(&path)?);
        file.write_all(HEADER.as_bytes())?;
        for (name, value) in &writer.kept {
            file.write_all(&Line::Kept { name, value }.encode())?;
        }
        for object in objects {
            file.write_all(&Line::Put(object).encode())?;
        }
        file.write_all(&Line::Revision(revision).encode())?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&path, self.directory.join(FILE))?;
        (writer.first, writer.added) = (file.metadata()?.len(), 0);
        writer.file = Some(file);
        Ok(())
    }

    fn append(&self, writer: &mut Writer, line: &Line<'_>) {
        let Some(file) = &mut writer.file else { return };
        let line = line.encode();
        let written = file.write_all(&line);
        writer.added += line.len() as u64;
        self.check(writer, written);
    }

    /// As etcd, the cluster ends when it cannot write. A line of which a part was written stays the last.
    fn check(&self, writer: &mut Writer, written: io::Result<()>) {
        let Err(error) = written else { return };
        tracing::error!(%error, directory = %self.directory.display(), "the simulated cluster cannot be kept and ends");
        writer.file = None;
        self.is_behind.store(true, Ordering::SeqCst);
        self.end.cancel();
    }

    /// Whatever is behind the lock is good at all times.
    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept has secrets in it.
impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// A file that only its owner reads.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).write(true).mode(0o600);
    options
}
