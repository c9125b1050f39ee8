//! One process, from its start to its end.

use std::{
    env,
    ffi::OsString,
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
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
pub(crate) fn clear_leftovers() {
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

/// Runs `program` with these arguments and nothing else of ours; kills it, with all that it has started, after `limit`.
pub(crate) async fn run(
    program: &Path,
    folder: &Folder,
    arguments: &[String],
    limit: Duration,
    max_output: usize,
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
    let stdout = tokio::spawn(read(child.stdout.take(), max_output));
    let stderr = tokio::spawn(read(child.stderr.take(), max_output));

    let ended = timeout(limit, child.wait()).await;
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
    let (output, output_cut) = rest(stdout).await;
    let (error, error_cut) = rest(stderr).await;
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

/// Reads to the end, so that whoever writes is never held up, and keeps the first `max` bytes; whether there were more.
async fn read(stream: Option<impl AsyncRead + Unpin>, max: usize) -> (Vec<u8>, bool) {
    let (mut kept, mut is_cut) = (Vec::new(), false);
    let Some(mut stream) = stream else { return (kept, is_cut) };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = max.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
        is_cut |= count > room;
    }
    (kept, is_cut)
}

async fn rest(reading: JoinHandle<(Vec<u8>, bool)>) -> (String, bool) {
    match timeout(REST_WITHIN, reading).await {
        Ok(Ok((kept, is_cut))) => (String::from_utf8_lossy(&kept).into_owned(), is_cut),
        Ok(Err(_)) | Err(_) => (String::new(), true),
    }
}
