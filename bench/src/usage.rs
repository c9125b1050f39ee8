//! What processes use, as Linux tells in `/proc`.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Linux tells processor time in hundredths of a second on every platform (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// A process that is watched.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl Watched {
    pub(crate) fn new(name: impl Into<String>, pid: u32) -> Self {
        Self { name: name.into(), pid }
    }

    /// The broker, if it runs on this machine.
    pub(crate) fn broker() -> Option<Self> {
        let is_broker = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains("rabbit"))
                && fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "beam.smp")
        };
        let entries = fs::read_dir("/proc").ok()?;
        let mut pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.find(is_broker).map(|pid| Self::new("RabbitMQ", pid))
    }

    /// Processor time so far, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(&self.pid.to_string())
    }

    /// Resident memory, in KiB.
    pub(crate) fn rss_kib(&self) -> Result<u64> {
        status(&self.pid.to_string(), "VmRSS:")
    }

    /// The most resident memory since [`reset_peak`](Self::reset_peak), in KiB.
    pub(crate) fn peak_kib(&self) -> Result<u64> {
        status(&self.pid.to_string(), "VmHWM:")
    }

    /// Begins a new peak. What belongs to another user cannot be reset; it is no error.
    pub(crate) fn reset_peak(&self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }
}

/// Processor time of this process so far.
pub(crate) fn own_cpu() -> Result<Duration> {
    cpu_of("self")
}

/// Resident memory of this process, in KiB.
pub(crate) fn own_rss_kib() -> Result<u64> {
    status("self", "VmRSS:")
}

fn cpu_of(process: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))
        .with_context(|| format!("process {process} has ended"))?;
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').context("no process status")?;
    let ticks: Vec<u32> =
        fields.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(TICK * ticks.iter().sum::<u32>())
}

fn status(process: &str, field: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))
        .with_context(|| format!("process {process} has ended"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = Watched::new("own", std::process::id());
        assert!(own.rss_kib().unwrap() > 100 && own.peak_kib().unwrap() > 100);
        assert!(own.cpu().unwrap() < Duration::from_secs(3600));
    }
}
