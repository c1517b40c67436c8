//! Origin of an archive, as its manifest states it.

use jobs::manifest::Engine;

use crate::av;

/// This program and the libraries it uses.
pub(crate) fn engine() -> Engine {
    Engine {
        name: "fiapx".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        libraries: av::versions().map(|(name, version)| (name.to_owned(), version)).into(),
    }
}
