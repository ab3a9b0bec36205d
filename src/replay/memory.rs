//! What the system says about this process: memory and processor time.
//!
//! Both are read from Linux' `/proc`; elsewhere they are unknown.

use std::fs;

/// Resident memory in MiB.
pub(crate) fn resident_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

/// The most resident memory so far, in MiB.
pub(crate) fn peak_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

fn status_mib(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Time that this thread has run on a processor, in ns. The kernel brings it up to date when the
/// thread gives way, so it does that first.
pub(crate) fn thread_time_ns() -> Option<u64> {
    std::thread::yield_now();
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    statistics.split_whitespace().next()?.parse().ok()
}
