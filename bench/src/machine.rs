//! What the figures were measured on.

use std::{fs, process::Command, time::Duration};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Prints machine, date, broker and commit.
pub(crate) async fn print() -> Result<()> {
    let cores = std::thread::available_parallelism()?;
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory: f64 = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok())
        .unwrap_or_default();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    println!("machine   {cores} cores, {model}, {:.0} GiB", memory / 1048576.0);
    println!("date      {now}");
    println!("RabbitMQ  {}", broker().await?);
    println!("commit    {}\n", commit());
    Ok(())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The version that the broker says in its first frame, before anybody logs in.
async fn broker() -> Result<String> {
    const FIELD: &[u8] = b"\x07versionS";
    let mut stream = TcpStream::connect(testkit::amqp_address()?).await?;
    stream.write_all(b"AMQP\0\0\x09\x01").await?;
    let mut start = vec![0; 4096];
    let read = timeout(Duration::from_secs(5), stream.read(&mut start)).await??;
    let version = start[..read].windows(FIELD.len()).position(|bytes| bytes == FIELD).and_then(|place| {
        let (length, rest) = start[place + FIELD.len()..read].split_first_chunk()?;
        rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
    });
    Ok(version.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(text).into_owned()))
}

/// What is checked out, and whether it was changed.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).output().ok().filter(|done| done.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let is_changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    if is_changed { format!("{commit}, with changes") } else { commit }
}
