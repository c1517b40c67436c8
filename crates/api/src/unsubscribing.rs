//! End of mails about jobs by the link in their headers (RFC 8058). Mail programs and the servers
//! of mails use it without a session, so it is no operation of the OpenAPI document.

use std::sync::Arc;

use poem::http::{StatusCode, header};
use poem::web::{Data, Query};
use poem::{Response, RouteMethod, get, handler};
use serde::Deserialize;
use serde_json::json;
use tracing::info;

use crate::problem::Problem;
use crate::service::Service;

/// Path of the link. Its secret is in the query, which no log of this service contains; those of
/// proxies may.
pub const PATH: &str = "/mails/unsubscribe";

/// Query of the link.
#[derive(Deserialize)]
struct Link {
    /// Secret of the user, which permits nothing else.
    secret: String,
}

/// Endpoint of the link.
pub fn route() -> RouteMethod {
    get(show_choice).post(end_mails)
}

/// Lead to the choice of mails on the page. A GET changes nothing, because filters of mails open
/// the links in them (RFC 8058, 1).
#[handler]
fn show_choice() -> Response {
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::LOCATION, "/#/account")
        .finish()
}

/// End mails. The body, `List-Unsubscribe=One-Click`, is the same for every link, and is not read.
#[handler]
async fn end_mails(service: Data<&Arc<Service>>, link: Query<Link>) -> poem::Result<Response> {
    let ended = service.database().unsubscribe(&link.secret).await.map_err(Problem::from)?;
    let Some(user) = ended else {
        let detail = "The link belongs to no account. Choose your mails on the page.";
        let code = "UNSUBSCRIBE_LINK_INVALID";
        return Err(Problem::new(StatusCode::NOT_FOUND, code, detail).into());
    };
    info!(user_id = %user, "a user has ended mails about jobs by a link");
    let body = json!({ "mails": "none" }).to_string();
    Ok(Response::builder().content_type("application/json").body(body))
}
