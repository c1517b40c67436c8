//! Keys that are stored for later commands: a JSON file that only its user can read.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::error::Error;
use crate::server::Server;

/// Stored keys, and the service that commands use by default.
#[derive(Debug)]
pub struct Credentials {
    path: PathBuf,
    stored: Stored,
}

/// Content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    /// URL of the service that was logged in to last.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    /// Keys by the URLs of their services.
    #[serde(default)]
    services: BTreeMap<String, StoredKey>,
}

/// API key of a service.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredKey {
    /// Id of the key.
    pub id: String,
    /// The key.
    #[serde(serialize_with = "expose")]
    pub key: SecretString,
}

/// The file is where the key is to be.
fn expose<S: Serializer>(key: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose_secret())
}

impl Credentials {
    /// Default file: `fiapx/remote.json` in `$XDG_CONFIG_HOME`, else in `~/.config` (XDG Base
    /// Directory Specification). Relative paths are ignored, as it demands. `None` without a home
    /// directory.
    #[must_use]
    pub fn default_path(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
        let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
        let directory =
            absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
        Some(directory.join("fiapx/remote.json"))
    }

    /// Read a file. One that does not exist has no keys.
    ///
    /// # Errors
    /// The file cannot be read, or another program wrote it.
    pub fn load(path: PathBuf) -> Result<Self, Error> {
        let stored = match fs::read(&path) {
            Ok(content) => serde_json::from_slice(&content).map_err(|error| {
                let reason = format!("it is not a file of keys ({error}): delete it and log in");
                Error::file(&path, reason)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored::default(),
            Err(error) => return Err(Error::file(&path, error)),
        };
        Ok(Self { path, stored })
    }

    /// File of the keys.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Service that was logged in to last.
    #[must_use]
    pub fn current(&self) -> Option<Server> {
        self.stored.current.as_ref()?.parse().ok()
    }

    /// Key of a service. A key is never sent to another service.
    #[must_use]
    pub fn key(&self, server: &Server) -> Option<&StoredKey> {
        self.stored.services.get(&server.to_string())
    }

    /// Store the key of a service, and use this service by default.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&mut self, server: &Server, key: StoredKey) -> Result<(), Error> {
        let url = server.to_string();
        self.stored.services.insert(url.clone(), key);
        self.stored.current = Some(url);
        self.save()
    }

    /// Forget the key of a service.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove(&mut self, server: &Server) -> Result<(), Error> {
        let url = server.to_string();
        self.stored.services.remove(&url);
        if self.stored.current.as_ref() == Some(&url) {
            self.stored.current = None;
        }
        self.save()
    }

    /// Replace the file in one step. Others can read neither it nor its directory.
    fn save(&self) -> Result<(), Error> {
        let failed = |error: io::Error| Error::file(&self.path, format!("cannot write: {error}"));
        let directory = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory)
            .map_err(failed)?;
        let content = serde_json::to_vec_pretty(&self.stored).map_err(io::Error::from);
        content.and_then(|content| file.write_all(&content)).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> StoredKey {
        StoredKey { id: format!("id of {text}"), key: SecretString::from(text) }
    }

    #[test]
    fn the_file_is_below_the_configuration_of_the_user() {
        let variables = |config: &str| {
            let config = config.to_owned();
            move |name: &str| match name {
                "XDG_CONFIG_HOME" => Some(PathBuf::from(config.clone())),
                _ => Some(PathBuf::from("/home/ana")),
            }
        };
        let path = |config| Credentials::default_path(variables(config)).expect("there is a home");
        assert_eq!(path("/etc/x"), Path::new("/etc/x/fiapx/remote.json"));
        assert_eq!(path("relative"), Path::new("/home/ana/.config/fiapx/remote.json"));
        assert_eq!(Credentials::default_path(|_| None), None);
    }

    #[test]
    fn keys_are_kept_by_service_in_a_private_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("new/remote.json");
        let [one, other] =
            ["https://one.example", "https://other.example"].map(|url| url.parse().expect("valid"));
        let mut credentials = Credentials::load(path.clone()).expect("a missing file is empty");
        assert!(credentials.current().is_none() && credentials.key(&one).is_none());
        credentials.store(&one, key("fx_1")).expect("it is written");
        credentials.store(&other, key("fx_2")).expect("it is written");
        let mode = |path: &Path| path.metadata().expect("it exists").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&directory.path().join("new"))), (0o600, 0o700));

        let mut credentials = Credentials::load(path.clone()).expect("it can be read");
        assert_eq!(credentials.current(), Some(other.clone()));
        let text = |key: Option<&StoredKey>| key.map(|key| key.key.expose_secret().to_owned());
        assert_eq!(text(credentials.key(&one)), Some("fx_1".to_owned()));
        credentials.remove(&other).expect("it is written");
        let credentials = Credentials::load(path.clone()).expect("it can be read");
        assert!(credentials.current().is_none() && credentials.key(&other).is_none());
        assert_eq!(text(credentials.key(&one)), Some("fx_1".to_owned()));

        fs::write(&path, "[]").expect("it can be written");
        let error = Credentials::load(path).expect_err("it is no file of keys").to_string();
        assert!(error.contains("delete it and log in"), "{error}");
    }
}
