//! What the system says of processes and of the loopback, where it says it: on Linux.

use std::fs;

/// Ticks of a second in what the kernel tells processes: the same on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Processor time, in seconds.
    pub cpu_s: Option<f64>,
    /// Resident memory, in MiB.
    pub memory_mb: Option<f64>,
}

impl Usage {
    /// That of a process.
    pub(super) fn of(id: u32) -> Self {
        let read = |name| fs::read_to_string(format!("/proc/{id}/{name}")).ok();
        Self {
            cpu_s: read("stat").and_then(|stat| cpu_s(&stat)),
            memory_mb: read("status").and_then(|status| memory_mb(&status)),
        }
    }
}

/// User and system time: the 14th and 15th field, counted behind the name in parentheses.
fn cpu_s(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn memory_mb(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes / 1_024.0)
}

/// Bytes that have been sent over the loopback.
pub(super) fn loopback_bytes() -> Option<u64> {
    sent_bytes(&fs::read_to_string("/proc/net/dev").ok()?)
}

/// The ninth number of the loopback's line.
fn sent_bytes(devices: &str) -> Option<u64> {
    let mut lines = devices.lines().map(str::trim_start);
    let line = lines.find_map(|line| line.strip_prefix("lo:"))?;
    line.split_whitespace().nth(8)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_where_the_kernel_writes_them() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 90 0 0 0 250 50 0 0 20 0 9 0 123 456";
        assert_eq!(cpu_s(stat), Some(3.0));
        let status = "Name:\tx\nVmHWM:\t  9 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(memory_mb(status), Some(2.0));
        let devices = "h |\n    lo: 1 2 0 0 0 0 0 0 77 2 0\n  eth0: 5 5 0 0 0 0 0 0 9 9\n";
        assert_eq!(sent_bytes(devices), Some(77));
        assert_eq!(cpu_s("nonsense"), None);
    }
}
