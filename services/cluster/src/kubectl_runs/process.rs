//! One process, from its start to its end.

use std::{
    env,
    ffi::OsString,
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{self, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    task::JoinHandle,
    time::{Instant, timeout},
};

/// How folders are called, before the number of the process that made them.
const FOLDERS: &str = "kubesage-kubectl-";
/// After the process has ended, what it has written is there within this; a child of its own that still holds the pipe is not
/// waited for.
const REST_WITHIN: Duration = Duration::from_secs(1);

/// What a command has printed, and how it ended.
pub(crate) struct Output {
    pub(crate) output: String,
    pub(crate) error: String,
    /// `None`: it was killed.
    pub(crate) exit_code: Option<i32>,
    pub(crate) duration_ms: u64,
    /// More was printed than is kept.
    pub(crate) truncated: bool,
    /// It was killed because it took too long.
    pub(crate) timed_out: bool,
}

/// A folder for one process: its kubeconfig, its home, its cache. Only its owner can read it, and it is gone when it is dropped.
pub(crate) struct Folder {
    folder: TempDir,
    kubeconfig: PathBuf,
}

impl Folder {
    pub(crate) fn new(kubeconfig: &str) -> io::Result<Self> {
        let private = Permissions::from_mode(0o700);
        let prefix = format!("{FOLDERS}{}-", process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).permissions(private).tempdir()?;
        let path = folder.path().join("kubeconfig");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(kubeconfig.as_bytes())?;
        Ok(Self { folder, kubeconfig: path })
    }
}

/// Removes what processes have left that were killed: their folders have credentials in them. A folder's name holds the process; in a
/// container the one before had the same number.
pub fn clear_leftovers() {
    let entries = fs::read_dir(env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(FOLDERS)?.split_once('-'));
        let Some(owner) = owner.and_then(|(owner, _)| owner.parse::<u32>().ok()) else { continue };
        let is_alive = owner != process::id() && Path::new(&format!("/proc/{owner}")).exists();
        if !is_alive && let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(folder = %entry.path().display(), %error, "a folder of a dead process is left");
        }
    }
}

/// Runs `program` with these arguments and nothing else of ours; kills it, with all that it has started, when it takes too long.
pub(crate) async fn run(
    program: &Path,
    folder: &Folder,
    arguments: &[String],
    bounds: &Bounds,
) -> io::Result<Output> {
    let started = Instant::now();
    let home = folder.folder.path();
    let mut child = Command::new(program)
        .arg(flag("--kubeconfig=", &folder.kubeconfig))
        .arg(flag("--cache-dir=", &home.join("cache")))
        .args(arguments)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        // Aliases and defaults of a user's own: <https://kubernetes.io/docs/reference/kubectl/kuberc/>
        .env("KUBERC", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = group {
        bound(pid, bounds.max_memory)?;
    }
    let stdout = Reading::of(child.stdout.take(), bounds.max_output);
    let stderr = Reading::of(child.stderr.take(), bounds.max_output);

    let ended = timeout(bounds.timeout, child.wait()).await;
    let timed_out = ended.is_err();
    let status = match ended {
        Ok(status) => status?,
        Err(_) => {
            // Its leader was not waited for, so the group is still its own.
            if let Some(group) = group {
                kill_process_group(group, Signal::KILL)?;
            }
            child.wait().await?
        }
    };
    let (output, output_cut) = stdout.finish().await;
    let (error, error_cut) = stderr.finish().await;
    Ok(Output {
        output,
        error,
        exit_code: status.code(),
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        truncated: output_cut || error_cut,
        timed_out,
    })
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(path);
    flag
}

/// What a process may take: whoever plays a cluster can answer without end.
pub(crate) struct Bounds {
    /// After so long it is killed.
    pub(crate) timeout: Duration,
    /// More of its output is not kept, in bytes.
    pub(crate) max_output: usize,
    /// More memory it does not get, in bytes.
    pub(crate) max_memory: u64,
}

/// The files of its cache are not larger, in bytes.
const MAX_FILE: u64 = 16 << 20;

fn bound(pid: Pid, max_memory: u64) -> io::Result<()> {
    for (resource, most) in [(Resource::Data, max_memory), (Resource::Fsize, MAX_FILE)] {
        let bounded = prlimit(Some(pid), resource, Rlimit { current: Some(most), maximum: Some(most) });
        match bounded {
            // It has ended already.
            Ok(_) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What a process writes, read to the end so that it is never held up, of which the first bytes are kept.
struct Reading {
    /// And whether there were more.
    kept: Arc<Mutex<(Vec<u8>, bool)>>,
    reader: JoinHandle<()>,
}

impl Reading {
    fn of(stream: Option<impl AsyncRead + Unpin + Send + 'static>, max: usize) -> Self {
        let kept: Arc<Mutex<(Vec<u8>, bool)>> = Arc::default();
        let keeping = Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let Some(mut stream) = stream else { return };
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let mut kept = keeping.lock().unwrap_or_else(PoisonError::into_inner);
                let room = max.saturating_sub(kept.0.len());
                kept.0.extend_from_slice(&buffer[..count.min(room)]);
                kept.1 |= count > room;
            }
        });
        Self { kept, reader }
    }

    /// What is there of it soon; whoever still holds the pipe is not waited for.
    async fn finish(mut self) -> (String, bool) {
        let is_whole = timeout(REST_WITHIN, &mut self.reader).await.is_ok();
        self.reader.abort();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (String::from_utf8_lossy(&kept.0).into_owned(), kept.1 || !is_whole)
    }
}
