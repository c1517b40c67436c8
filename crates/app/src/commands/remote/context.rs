//! Service, key and output of a command.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use remote::{Client, Credentials, Server, UploadRecords};
use secrecy::SecretString;
use serde::Serialize;

use super::bars::Bars;
use super::failures::NotLoggedIn;
use crate::cli::{RemoteArguments, UsageError};

/// What commands for videos need.
pub(super) struct Context {
    /// Client with the key.
    pub client: Client,
    /// Whether results are lines of JSON.
    pub json: bool,
    /// Progress bars.
    pub bars: Bars,
}

impl Context {
    /// Find the service and the key.
    pub fn new(arguments: &RemoteArguments) -> Result<Self> {
        let (given, chosen) = (variable("FIAPX_API_KEY"), chosen_server(arguments)?);
        let (server, key) = match (chosen, given) {
            // No home directory is needed.
            (Some(server), Some(key)) => (server, SecretString::from(key)),
            (chosen, given) => {
                let credentials = credentials()?;
                let server = chosen.or_else(|| credentials.current()).ok_or(NotLoggedIn(None))?;
                let stored = || credentials.key(&server).map(|stored| stored.key.clone());
                let key = given.map(SecretString::from).or_else(stored);
                let key = key.ok_or_else(|| NotLoggedIn(Some(server.clone())))?;
                (server, key)
            }
        };
        let client = Client::new(server)?.with_key(&key)?;
        Ok(Self { client, json: arguments.json, bars: Bars::new(arguments.progress) })
    }

    /// Print a result: as JSON, or as a line.
    pub fn print(&self, value: &impl Serialize, line: impl FnOnce() -> String) -> Result<()> {
        self.bars.print(&if self.json { serde_json::to_string(value)? } else { line() })
    }
}

/// Value of an environment variable; `None` if it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Service that the arguments or the environment name.
pub(super) fn chosen_server(arguments: &RemoteArguments) -> Result<Option<Server>> {
    if let Some(server) = &arguments.server {
        return Ok(Some(server.clone()));
    }
    let parse = |text: String| text.parse::<Server>();
    let parsed = variable("FIAPX_URL").map(parse).transpose();
    parsed.map_err(|error| UsageError::new(format!("FIAPX_URL: {error}")).into())
}

/// Records of uploads that can be continued.
pub(super) fn upload_records() -> UploadRecords {
    UploadRecords::of_user(|name| std::env::var_os(name).map(PathBuf::from))
}

/// Stored keys.
pub(super) fn credentials() -> Result<Credentials> {
    let path = Credentials::default_path(|name| std::env::var_os(name).map(PathBuf::from));
    let path = path.context("there is no place for keys: set HOME or XDG_CONFIG_HOME")?;
    Ok(Credentials::load(path)?)
}
