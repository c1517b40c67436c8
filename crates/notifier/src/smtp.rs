//! Mails by SMTP (RFC 5321).
//!
//! Each mail uses a new connection. Mails are few, and a connection that was abandoned in the
//! middle of a mail cannot affect the next one, as it could in a pool.
//!
//! Port 465 uses TLS from the start (RFC 8314). On other ports the connection is encrypted if the
//! server offers STARTTLS (RFC 3207). A password is sent only to a server with a valid certificate,
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

use crate::error::Error;
use crate::mail::Mail;
use crate::mailer::Mailer;

/// Port with TLS from the start (RFC 8314, 7.3).
const IMPLICIT_TLS: u16 = 465;

/// Maximum time until the server is ready for a mail.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time for sending the mail itself. Servers check a mail before they confirm it. A client
/// that times out during that check often sends the mail twice, so the timeouts of RFC 5321,
/// 4.5.3.2 are minutes.
const SEND_TIMEOUT: Duration = Duration::from_mins(2);

/// Maximum time for closing the connection.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum time for sending a mail, with connecting and closing the connection.
pub const MAX_DURATION: Duration = Duration::from_secs(
    CONNECT_TIMEOUT.as_secs() + SEND_TIMEOUT.as_secs() + QUIT_TIMEOUT.as_secs(),
);

/// Address of a mail server and the login for it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Login, for a server that requires authentication.
    pub login: Option<Login>,
}

/// User name and password for a mail server.
#[derive(Debug, Clone)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: SecretString,
}

/// Sends mails to a server.
#[derive(Debug, Clone)]
pub struct SmtpMailer {
    server: Server,
    connect_timeout: Duration,
    send_timeout: Duration,
}

impl SmtpMailer {
    /// Mailer that sends all mails to `server`.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self { server, connect_timeout: CONNECT_TIMEOUT, send_timeout: SEND_TIMEOUT }
    }

    /// Connect, encrypt and log in. Errors are transient: the mail did not cause them.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let connect_error = |error: &dyn std::fmt::Display| {
            Error::transient(format!("cannot use {}: {error}", self.server))
        };
        let connected = timeout(self.connect_timeout, self.open()).await;
        connected
            .map_err(|_| {
                connect_error(&format!("it was not ready within {:?}", self.connect_timeout))
            })?
            .map_err(|error| connect_error(&error))
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, ConnectError> {
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
            // Without a password, mails are also sent unencrypted; encryption with any certificate
            // is better than that (RFC 7435).
            let accept_any = login.is_none();
            let tls = TlsParameters::builder(host.clone())
                .dangerous_accept_invalid_certs(accept_any)
                .build()?;
            connection.starttls(tls, &client).await?;
        }
        if let Some(Login { user, password }) = login {
            if !connection.is_encrypted() && !is_this_machine(host) {
                return Err(ConnectError::NoEncryption);
            }
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &Mail) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let bytes = mail.bytes();
        match timeout(self.send_timeout, connection.send(mail.envelope(), &bytes)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let permanent = is_permanent(&error);
                return Err(Error::new(
                    permanent,
                    format!("{} rejected the mail: {error}", self.server),
                ));
            }
            Err(_) => {
                return Err(Error::transient(format!(
                    "{} did not accept the mail within {:?}",
                    self.server, self.send_timeout
                )));
            }
        }
        // The server has accepted the mail; errors of closing the connection do not matter.
        let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
        Ok(())
    }

    async fn check(&self) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
        Ok(())
    }
}

/// Reason why a server cannot be used.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error(transparent)]
    Smtp(#[from] smtp::Error),
    #[error(
        "it offers no encryption, and the password is not sent unencrypted; use port 465, or leave \
         SMTP_USER and SMTP_PASSWORD empty"
    )]
    NoEncryption,
}

/// Whether the server would reject the same mail again. Authentication errors (codes 53x of
/// RFC 4954, 6) are not permanent: the operator can correct the settings.
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

#[cfg(test)]
pub(crate) use tests::server;
