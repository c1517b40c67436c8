//! Settings of an operator. `settings.default.toml` documents them and holds the defaults. A file,
//! the environment and flags override them, in this order.

mod values;
mod needs;
mod model;
mod layers;
mod environment;
mod secret;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use layers::Layers;

pub use model::{
    Accounts, Broker, Confirm, DEFAULTS, Database, Isolation, Limits, Log, LogFormat, Mail,
    Metrics, Server, Settings, Storage, Telemetry, Upload, VideosByUrl, Worker,
};
pub use needs::Needs;
pub use secret::{jwt_secret, link_key};

/// Values of flags, which override all other sources.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Value for `server.listen`.
    pub listen: Option<SocketAddr>,
    /// Value for `data_dir`.
    pub data_dir: Option<PathBuf>,
}

/// Load all settings from the defaults, the file `config`, the `environment` and the flags.
///
/// # Errors
/// One line with the name and source of the first setting that is invalid, unknown or missing.
pub fn load(
    config: Option<&Path>,
    environment: impl Fn(&str) -> Option<String>,
    overrides: Overrides,
) -> Result<Settings> {
    load_for(Needs::ALL, config, environment, overrides)
}

/// Load the settings of a process that needs some of the secrets only.
///
/// # Errors
/// See [`load`].
pub fn load_for(
    needs: Needs,
    config: Option<&Path>,
    environment: impl Fn(&str) -> Option<String>,
    overrides: Overrides,
) -> Result<Settings> {
    let mut layers = Layers::new()?;
    let default_level = layers.settings().log.level.clone();
    if let Some(file) = config {
        layers.add_file(file)?;
    }
    environment::add(&mut layers, environment, needs)?;
    let mut settings = layers.into_settings();
    settings.restrict(needs);
    if let Some(listen) = overrides.listen {
        settings.server.listen = listen;
    }
    if let Some(data_dir) = overrides.data_dir {
        settings.data_dir = data_dir;
    }
    if settings.server.debug && settings.log.level == default_level {
        "debug".clone_into(&mut settings.log.level);
    }
    settings.check_combinations(needs)?;
    Ok(settings)
}
