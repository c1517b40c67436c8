//! `fiapx remote login` and `logout`: create and delete the stored key.

use anyhow::{Context, Result};
use remote::{Client, CreatedKey, Session, StoredKey};
use secrecy::SecretString;
use serde_json::json;

use super::super::console::{print, print_error};
use super::context::{chosen_server, credentials};
use super::failures::NotLoggedIn;
use super::prompt;
use crate::cli::{LoginArguments, RemoteArguments};

/// Service of a first login, unless another one is named: that of `make run`.
const DEFAULT_SERVER: &str = "http://localhost:8000";

/// Create a key, and store it.
pub(super) async fn log_in(arguments: &RemoteArguments, login: &LoginArguments) -> Result<()> {
    let mut credentials = credentials()?;
    let server = match chosen_server(arguments)?.or_else(|| credentials.current()) {
        Some(server) => server,
        None => DEFAULT_SERVER.parse()?,
    };
    if server.is_exposed() {
        print_error(&format!(
            "fiapx: warning: {server} is not encrypted: others on the network can read the \
             password and the key; use https:// if the service offers it"
        ));
    }
    let client = Client::new(server.clone())?;
    let email = match &login.email {
        Some(email) => email.clone(),
        None => prompt::text(&format!("E-mail address at {server}")).await?,
    };
    let password = prompt::secret("Password").await?;
    let (session, has_code) = open_session(&client, &email, &password).await?;
    let user = client.with_key(&session.access_token)?;
    let created = create_key(&user, &password, has_code).await;
    let previous = credentials.key(&server).map(|key| key.id.clone());
    if let (Ok(_), Some(previous)) = (&created, previous) {
        // It may be deleted already, and nothing uses it any more.
        let _ = user.delete_key(&previous).await;
    }
    // The session ends by itself, too.
    let _ = client.log_out(&session).await;
    let CreatedKey { id, key } = created?;
    credentials.store(&server, StoredKey { id: id.clone(), key })?;
    let path = credentials.path().display();
    print(&if arguments.json {
        json!({ "server": server.to_string(), "key_id": id, "file": path.to_string() }).to_string()
    } else {
        format!("logged in at {server}; the key is in {path}")
    })
}

/// Open a session, and return whether a code of the second factor was needed.
async fn open_session(
    client: &Client,
    email: &str,
    password: &SecretString,
) -> Result<(Session, bool)> {
    match client.log_in(email, password, None).await {
        Err(error) if error.code() == Some("SECOND_FACTOR_REQUIRED") => {
            let code = prompt::text("Code of the second factor, or a recovery code").await?;
            Ok((client.log_in(email, password, Some(&code)).await?, true))
        }
        opened => Ok((opened?, false)),
    }
}

/// Create a key. A user with a second factor needs another code for it.
async fn create_key(user: &Client, password: &SecretString, has_code: bool) -> Result<CreatedKey> {
    let name = format!("fiapx remote on {}", host_name());
    let code = if has_code {
        Some(prompt::text("Next code, or another recovery code (each can be used once)").await?)
    } else {
        None
    };
    Ok(user.create_key(&name, password, code.as_deref()).await?)
}

/// Name of this machine, by which the user recognizes the key.
fn host_name() -> String {
    const MAX_CHARACTERS: usize = 64;
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = read.trim().chars().filter(|char| !char.is_control()).collect();
    if name.is_empty() {
        return "an unknown host".to_owned();
    }
    name.chars().take(MAX_CHARACTERS).collect()
}

/// Delete the stored key of the service.
pub(super) async fn log_out(arguments: &RemoteArguments) -> Result<()> {
    let mut credentials = credentials()?;
    let server = chosen_server(arguments)?.or_else(|| credentials.current());
    let server = server.ok_or(NotLoggedIn(None))?;
    let stored = credentials.key(&server).ok_or_else(|| NotLoggedIn(Some(server.clone())))?;
    let client = Client::new(server.clone())?.with_key(&stored.key)?;
    let deleted = client.delete_key(&stored.id).await;
    // One that is not valid any more needs no deletion.
    if let Err(error) = deleted
        && !error.is_of_credentials()
        && error.code() != Some("KEY_NOT_FOUND")
    {
        let path = credentials.path().display();
        return Err(error).with_context(|| format!("the key is still stored in {path}"));
    }
    credentials.remove(&server)?;
    print(&if arguments.json {
        json!({ "server": server.to_string() }).to_string()
    } else {
        format!("logged out at {server}")
    })
}
