//! Version information of this program.

use std::sync::LazyLock;

use frames::LibavBuild;

/// Version of the project.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit that the program was built from: the value of `FIAPX_COMMIT` at build time.
pub const COMMIT: &str = match option_env!("FIAPX_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Output of `fiapx --version`: version, commit, and the linked libav with the versions of its
/// libraries.
pub static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let libraries =
        frames::libav_versions().map(|(name, version)| format!("{name} {version}")).join(", ");
    format!("{VERSION} (commit {COMMIT})\nlibav {}\n{libraries}", libav())
});

/// Version of the linked libav, and its origin.
#[must_use]
pub fn libav() -> String {
    let LibavBuild { version, built } = frames::libav_build();
    match built {
        Some(date) => format!("{version}, static, built on {date}"),
        None => format!("{version} of the system"),
    }
}
