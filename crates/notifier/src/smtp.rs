//! Mails by SMTP (RFC 5321).
//!
//! Each mail has a connection of its own. There are few, and a connection that was given up in the
//! middle of a mail cannot come back to spoil the next one, as it could from a pool.
//!
//! Port 465 speaks TLS from the beginning (RFC 8314). Elsewhere the connection is encrypted if the
//! server offers STARTTLS (RFC 3207). A password is sent only to a server that has proved its name,
//! or to this machine.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Category;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::{Error, Mail, Mailer};

/// The port on which TLS begins at once (RFC 8314, 7.3).
const IMPLICIT_TLS: u16 = 465;

/// Longest time until the server is ready for a mail.
const REACH: Duration = Duration::from_secs(30);

/// Longest time for a mail itself. Servers examine a mail before they answer for it; who gives up
/// then has often sent it nevertheless and sends it twice, so RFC 5321, 4.5.3.2, counts in minutes.
const SEND: Duration = Duration::from_mins(2);

/// Longest time for taking leave.
const QUIT: Duration = Duration::from_secs(5);

/// The longest that sending a mail takes.
pub const LONGEST: Duration =
    Duration::from_secs(REACH.as_secs() + SEND.as_secs() + QUIT.as_secs());

/// A mail server, and who is known there.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user and the password; none for a server that takes mails from anyone.
    pub login: Option<(String, SecretString)>,
}

/// Sends mails to a server.
#[derive(Debug, Clone)]
pub struct Smtp {
    server: Server,
    reach: Duration,
    send: Duration,
}

impl Smtp {
    /// A mailer that sends everything to this server.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self { server, reach: REACH, send: SEND }
    }

    /// Connect, encrypt and log in. Whatever goes wrong here is not the mail's fault.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::transient(format!("{} cannot be used: {error}", self.server))
        };
        let connected = timeout(self.reach, self.open()).await;
        connected
            .map_err(|_| failed(&format!("it was not ready within {:?}", self.reach)))?
            .map_err(|error| failed(&error))
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, Refused> {
        let Server { host, port, login } = &self.server;
        let client = ClientId::default();
        let implicit =
            (*port == IMPLICIT_TLS).then(|| TlsParameters::new(host.clone())).transpose()?;
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            (host.as_str(), *port),
            None,
            &client,
            implicit,
            None,
        )
        .await?;
        if connection.can_starttls() {
            // Who needs no password would be spoken to without encryption as well: any certificate
            // is better than that (RFC 7435).
            let any = login.is_none();
            let tls =
                TlsParameters::builder(host.clone()).dangerous_accept_invalid_certs(any).build()?;
            connection.starttls(tls, &client).await?;
        }
        if let Some((user, password)) = login {
            if !connection.is_encrypted() && !is_this_machine(host) {
                return Err(Refused::Plain);
            }
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &Mail) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let bytes = mail.bytes();
        match timeout(self.send, connection.send(mail.envelope(), &bytes)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let permanent = is_permanent(&error);
                return Err(Error::new(
                    permanent,
                    format!("{} did not take the mail: {error}", self.server),
                ));
            }
            Err(_) => {
                return Err(Error::transient(format!(
                    "{} did not take the mail within {:?}",
                    self.server, self.send
                )));
            }
        }
        // The mail is the server's by now, however the parting goes.
        let _ = timeout(QUIT, connection.quit()).await;
        Ok(())
    }

    async fn check(&self) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let _ = timeout(QUIT, connection.quit()).await;
        Ok(())
    }
}

/// Why a server is of no use.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Smtp(#[from] smtp::Error),
    #[error(
        "it offers no encryption, without which no password is sent: use port 465, or leave SMTP_USER and SMTP_PASSWORD empty"
    )]
    Plain,
}

/// Whether the server would refuse the same mail again. What it says of the client's rights (codes
/// 53x of RFC 4954, 6) is a matter of settings, which can be mended.
fn is_permanent(error: &smtp::Error) -> bool {
    error.is_permanent()
        && error.status().is_none_or(|code| code.category != Category::Unspecified3)
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl std::fmt::Display for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the mail server {}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests;
