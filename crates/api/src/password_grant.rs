//! Log-ins of OAuth 2.0: the password grant (RFC 6749, 4.3), by which Swagger UI and other clients
//! get an access token for an e-mail address and a password.
//!
//! No clients are registered, so a client's own credentials are ignored. Tokens have no scopes.

use std::collections::HashMap;

use poem::http::StatusCode;
use poem::{Request, RequestBody};
use poem_openapi::payload::{Form, ParsePayload, Payload};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use url::form_urlencoded;

use crate::input;
use crate::problem::Problem;

/// The only grant type.
const GRANT_TYPE: &str = "password";

/// Log-in of a client of OAuth 2.0 (RFC 6749, 4.3.2). Other parameters are ignored.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub struct PasswordGrant {
    /// E-mail address.
    pub username: String,
    /// Password.
    pub password: String,
    /// Code of the second factor, if the user has one.
    pub code: Option<String>,
}

impl PasswordGrant {
    /// Read a form.
    ///
    /// # Errors
    /// 400 (`INVALID_BODY`), with an error code of OAuth 2.0.
    fn parse(form: &[u8]) -> Result<Self, Problem> {
        let invalid = |error, detail: String| {
            Problem::new(StatusCode::BAD_REQUEST, "INVALID_BODY", detail).oauth_error(error)
        };
        let mut parameters = HashMap::new();
        // Parameters without a value count as omitted (RFC 6749, 3.2).
        for (name, value) in form_urlencoded::parse(form).filter(|(_, value)| !value.is_empty()) {
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                let detail = "A parameter occurs more than once.".to_owned();
                return Err(invalid("invalid_request", detail));
            }
        }
        let mut required = |name: &str| {
            let missing =
                || invalid("invalid_request", format!("The parameter {name} is missing."));
            parameters.remove(name).ok_or_else(missing)
        };
        let grant_type = required("grant_type")?;
        if grant_type != GRANT_TYPE {
            let detail = format!("The grant type has to be {GRANT_TYPE}.");
            return Err(invalid("unsupported_grant_type", detail));
        }
        let (username, password) = (required("username")?, required("password")?);
        if parameters.contains_key("scope") {
            let detail = "Access tokens have no scopes: leave the parameter scope out.".to_owned();
            return Err(invalid("invalid_scope", detail));
        }
        Ok(Self { username, password, code: parameters.remove("code") })
    }
}

/// Form with a [`PasswordGrant`]. The OpenAPI document states it by the security scheme, and not
/// as a body of the operation: RFC 6749 defines the form, and generators of clients take a body of
/// two media types for an optional one.
pub struct PasswordForm(pub PasswordGrant);

impl Payload for PasswordForm {
    const CONTENT_TYPE: &'static str = "application/x-www-form-urlencoded";

    fn check_content_type(content_type: &str) -> bool {
        Form::<String>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("object")))
    }
}

impl ParsePayload for PasswordForm {
    const IS_REQUIRED: bool = true;

    async fn from_request(_request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let form = input::bytes_of(body).await?;
        Ok(Self(PasswordGrant::parse(&form)?))
    }
}

/// Problem of a log-in for a client of OAuth 2.0, for which refused credentials are an invalid
/// grant (RFC 6749, 5.2).
pub fn oauth_problem(problem: Problem) -> Problem {
    let problem = match problem.code() {
        "WRONG_CREDENTIALS" | "SECOND_FACTOR_WRONG" | "ACCOUNT_DISABLED" => problem,
        "SECOND_FACTOR_REQUIRED" => problem.with_detail(
            "The account has a second factor. Send a code of it as the parameter code. A client \
             that cannot do so needs an access token of POST /auth/login, or an API key.",
        ),
        _ => return problem,
    };
    problem.with_status(StatusCode::BAD_REQUEST).oauth_error("invalid_grant")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forms_of_clients() {
        let ana = PasswordGrant {
            username: "ana@example.com".to_owned(),
            password: "Praia#2026".to_owned(),
            code: None,
        };
        let parsed = |form: &str| PasswordGrant::parse(form.as_bytes()).expect("a valid form");
        let form = "grant_type=password&username=ana%40example.com&password=Praia%232026";
        assert_eq!(parsed(form), ana);
        // Swagger UI sends an empty scope. Unknown parameters are ignored.
        let others = format!("{form}&scope=&client_id=a&client_secret=b&audience=c");
        assert_eq!(parsed(&others), ana);
        let spaces = parsed("password=a+b%20c%2B&username=a&grant_type=password&code=123456");
        assert_eq!((spaces.password.as_str(), spaces.code.as_deref()), ("a b c+", Some("123456")));
    }

    #[test]
    fn states_what_is_wrong_with_a_form() {
        for (form, error) in [
            ("", "invalid_request"),
            ("grant_type=password&username=a", "invalid_request"),
            ("grant_type=password&username=a&password=", "invalid_request"),
            ("grant_type=password&username=a&password=b&password=b", "invalid_request"),
            ("username=a&password=b", "invalid_request"),
            ("grant_type=client_credentials&username=a&password=b", "unsupported_grant_type"),
            ("grant_type=password&username=a&password=b&scope=all", "invalid_scope"),
            ("{\"email\": \"a\"}", "invalid_request"),
        ] {
            let problem = PasswordGrant::parse(form.as_bytes()).expect_err(form);
            let expected = (StatusCode::BAD_REQUEST, "INVALID_BODY", Some(error));
            assert_eq!((problem.status(), problem.code(), problem.oauth()), expected, "{form}");
        }
    }

    #[test]
    fn refused_credentials_are_an_invalid_grant() {
        let answer = |status, code| {
            let problem = oauth_problem(Problem::new(status, code, "No."));
            (problem.status(), problem.oauth())
        };
        let invalid = (StatusCode::BAD_REQUEST, Some("invalid_grant"));
        for code in ["WRONG_CREDENTIALS", "SECOND_FACTOR_REQUIRED", "SECOND_FACTOR_WRONG"] {
            assert_eq!(answer(StatusCode::UNAUTHORIZED, code), invalid, "{code}");
        }
        assert_eq!(answer(StatusCode::FORBIDDEN, "ACCOUNT_DISABLED"), invalid);
        let limited = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(answer(limited, "TOO_MANY_ATTEMPTS"), (limited, None));
    }
}
