//! Which program this is.

use std::sync::LazyLock;

/// Version of the project.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that the program was built from, as the build was told by `FIAPX_COMMIT`.
pub const COMMIT: &str = match option_env!("FIAPX_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Version, commit, and the libraries that decode, in words.
pub static WORDS: LazyLock<String> = LazyLock::new(|| {
    let libraries =
        frames::libav_versions().map(|(name, version)| format!("{name} {version}")).join(", ");
    format!("{VERSION} (commit {COMMIT})\n{libraries}")
});
