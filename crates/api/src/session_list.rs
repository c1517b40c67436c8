//! Open sessions of a user: list and end them.

use std::sync::Arc;

use database::sessions::Session as OpenSession;
use jobs::Time;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tracing::info;
use uuid::{Uuid, uuid};

use crate::examples;
use crate::operation_error::{OperationError, problem_responses};
use crate::problem::Problem;
use crate::service::Service;
use crate::sessions::CurrentSession;
use crate::tags::Tag;

/// Maximum number of sessions in the list.
const MAX_LISTED: u64 = 100;

/// Open session of a user.
#[derive(Object)]
#[oai(example)]
struct SessionView {
    /// Id of the session.
    id: Uuid,
    /// Time of the login.
    created_at: Time,
    /// Time of the last refresh, or of the login. Access tokens can be used later without a
    /// refresh, until they expire.
    last_used_at: Time,
    /// Time at which the session ends if it is not refreshed.
    expires_at: Time,
    /// Network address of the last refresh, or of the login, if it is known.
    #[oai(skip_serializing_if_is_none)]
    address: Option<String>,
    /// Browser and system of the same request, such as `Firefox, Linux`, if they are known.
    #[oai(skip_serializing_if_is_none)]
    browser: Option<String>,
    /// Whether this request belongs to the session.
    current: bool,
}

impl SessionView {
    fn new(session: OpenSession, current: Option<Uuid>) -> Self {
        let OpenSession { id, started_at, refreshed_at, expires_at, address, browser } = session;
        Self {
            id,
            created_at: started_at,
            last_used_at: refreshed_at,
            expires_at,
            address,
            browser,
            current: current == Some(id),
        }
    }
}

impl Example for SessionView {
    fn example() -> Self {
        Self {
            id: uuid!("0190a000-0000-7000-8000-0000000000cc"),
            created_at: examples::time(-3600),
            last_used_at: examples::time(-60),
            expires_at: examples::time(7 * 24 * 3600 - 60),
            address: Some("203.0.113.7".to_owned()),
            browser: Some("Firefox, Linux".to_owned()),
            current: true,
        }
    }
}

#[derive(ApiResponse)]
enum ListResponse {
    /// Open sessions, most recently used first, at most 100.
    #[oai(status = 200)]
    Sessions(Json<Vec<SessionView>>),
}

#[derive(ApiResponse)]
enum EndResponse {
    /// The session is closed.
    #[oai(status = 204)]
    Ended,
}

#[derive(ApiResponse)]
enum EndOthersResponse {
    /// All other sessions are closed.
    #[oai(status = 204)]
    Ended,
}

problem_responses! {
    SessionsProblems {
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
    EndProblems {
        400: "The id is malformed.", INVALID_PARAMETER;
        401: "The access token is missing, invalid or expired.",
            NOT_LOGGED_IN TOKEN_INVALID TOKEN_EXPIRED;
        403: "API keys are refused.", KEY_NOT_ALLOWED;
        404: "The user has no open session with this id.", SESSION_NOT_FOUND;
        500: "Internal error.", INTERNAL_ERROR;
        503: "The database is unavailable.", UNAVAILABLE;
    }
}

/// Operations on the sessions of a user.
pub struct Sessions;

#[OpenApi(tag = "Tag::Accounts")]
impl Sessions {
    /// List sessions
    ///
    /// Returns the open sessions of the user.
    #[oai(path = "/auth/sessions", method = "get", operation_id = "listSessions")]
    async fn list(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
    ) -> Result<ListResponse, OperationError<SessionsProblems>> {
        let token = session.0.token;
        let sessions = service.database().sessions(token.user, MAX_LISTED).await?;
        let view = |session| SessionView::new(session, token.session);
        Ok(ListResponse::Sessions(Json(sessions.into_iter().map(view).collect())))
    }

    /// End a session
    ///
    /// Closes a session of the user. Its tokens are invalid at once.
    #[oai(path = "/auth/sessions/:session_id", method = "delete", operation_id = "endSession")]
    async fn end(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
        /// Id of the session.
        session_id: Path<Uuid>,
    ) -> Result<EndResponse, OperationError<EndProblems>> {
        let user = session.0.token.user;
        if !service.database().end_session(user, session_id.0).await? {
            let detail = "The session does not exist, or has ended.";
            return Err(Problem::new(StatusCode::NOT_FOUND, "SESSION_NOT_FOUND", detail).into());
        }
        info!(security_event = "session_ended", user_id = %user, "a user ended a session");
        Ok(EndResponse::Ended)
    }

    /// End all other sessions
    ///
    /// Closes all sessions of the user except the one of this request. Their tokens are invalid at
    /// once.
    #[oai(path = "/auth/sessions", method = "delete", operation_id = "endOtherSessions")]
    async fn end_others(
        &self,
        service: Data<&Arc<Service>>,
        session: CurrentSession,
    ) -> Result<EndOthersResponse, OperationError<SessionsProblems>> {
        let token = session.0.token;
        if service.database().end_other_sessions(token.user, token.session).await? {
            let event = "other_sessions_ended";
            info!(security_event = event, user_id = %token.user, "a user ended other sessions");
        }
        Ok(EndOthersResponse::Ended)
    }
}
