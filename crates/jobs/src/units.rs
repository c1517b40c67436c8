//! Units of sizes in settings and messages.

/// Bytes per megabyte (MB).
pub const MEGABYTE: u64 = 1_000_000;
