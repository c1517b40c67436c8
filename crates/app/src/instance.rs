//! Name of this process, for leases and traces.

/// Name of this process, unique among all processes of the service: `PID@HOSTNAME`.
pub(crate) fn name() -> String {
    format!("{}@{}", std::process::id(), hostname())
}

/// Host name as reported by the kernel.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
