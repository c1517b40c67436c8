//! Logins and API keys.

use hyper::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Client, empty, with_json};
use crate::error::Error;

/// Open session of a user.
#[derive(Debug, Deserialize)]
pub struct Session {
    /// Token that is sent in place of a key.
    pub access_token: SecretString,
    /// Token that ends the session.
    refresh_token: SecretString,
}

/// Key that was created.
#[derive(Debug, Deserialize)]
pub struct CreatedKey {
    /// Id of the key.
    pub id: String,
    /// The key.
    pub key: SecretString,
}

/// Fields of a request that proves who the user is.
fn with_code(mut fields: Value, password: &SecretString, code: Option<&str>) -> Value {
    fields["password"] = password.expose_secret().into();
    if let Some(code) = code {
        fields["code"] = code.into();
    }
    fields
}

impl Client {
    /// Open a session.
    ///
    /// # Errors
    /// `SECOND_FACTOR_REQUIRED` if the account has a second factor and there is no code, among
    /// others.
    pub async fn log_in(
        &self,
        email: &str,
        password: &SecretString,
        code: Option<&str>,
    ) -> Result<Session, Error> {
        let fields = with_code(json!({ "email": email }), password, code);
        self.json(with_json(self.request(Method::POST, "/auth/login"), &fields)?).await
    }

    /// Close a session.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn log_out(&self, session: &Session) -> Result<(), Error> {
        let fields = json!({ "refresh_token": session.refresh_token.expose_secret() });
        let request = with_json(self.request(Method::POST, "/auth/logout"), &fields)?;
        self.send(request).await.map(drop)
    }

    /// Create a key with which videos can be read and written. This client has the access token of
    /// a session.
    ///
    /// # Errors
    /// The field `code` has the error `SECOND_FACTOR_WRONG` if the code is that of the login,
    /// because each can be used once, among others.
    pub async fn create_key(
        &self,
        name: &str,
        password: &SecretString,
        code: Option<&str>,
    ) -> Result<CreatedKey, Error> {
        let fields = json!({ "name": name, "scopes": ["videos:read", "videos:write"] });
        let fields = with_code(fields, password, code);
        self.json(with_json(self.request(Method::POST, "/keys"), &fields)?).await
    }

    /// Delete a key. This client has the key itself, or the access token of its user.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_key(&self, id: &str) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &format!("/keys/{id}"));
        self.send(empty(request)?).await.map(drop)
    }
}
