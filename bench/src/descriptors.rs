//! Open files: a connection is one on each side.

use anyhow::{Context, Result, ensure};
use rlimit::Resource;

/// For what is open beside sessions.
const SPARE: u64 = 1_000;

/// Raises the limit for this process and those that it starts, so that each can hold so many connections.
pub(crate) fn allow(connections: usize) -> Result<()> {
    let needed = u64::try_from(connections)? + SPARE;
    let (soft, hard) = Resource::NOFILE.get().context("the limit of open files cannot be read")?;
    ensure!(
        needed <= hard,
        "{connections} sessions need {needed} open files a process, and at most {hard} are allowed: raise \
         the hard limit (`ulimit -Hn`), or ask for fewer with --sessions"
    );
    if soft < needed {
        Resource::NOFILE.set(needed, hard).context("the limit of open files cannot be raised")?;
    }
    Ok(())
}
