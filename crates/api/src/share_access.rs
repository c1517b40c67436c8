//! Access by a link to a job, without an account.
//!
//! The token is sent as `Authorization: Bearer`, never in a path or a query: proxies, logs and
//! traces record addresses, and treat this header as a secret.

use database::Job;
use database::shares::Share;
use poem::http::StatusCode;
use poem::{Request, RequestBody};
use poem_openapi::auth::{Bearer, BearerAuthorization};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use tracing::{Span, field, warn};

use crate::attempts;
use crate::client::{ClientAddress, Network};
use crate::concurrency::Caller;
use crate::problem::Problem;
use crate::sessions::service_of;
use crate::share_tokens::ShareToken;

/// Name of the security scheme of tokens of links.
pub const SCHEME: &str = "shareToken";

/// Valid link, with the job that it leads to.
pub struct SharedAccess {
    /// The link.
    pub share: Share,
    /// The job, which is done.
    pub job: Job,
    /// Network of the client, for limits.
    pub network: Network,
}

impl SharedAccess {
    /// Caller whose work is limited: the network, because nobody is logged in.
    pub fn caller(&self) -> Caller {
        Caller::Network(self.network)
    }
}

impl<'a> ApiExtractor<'a> for SharedAccess {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let token = MetaSecurityScheme {
            ty: "http",
            description: Some("Token of a link to a job, from `POST /jobs/{id}/shares`."),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: Some("fxs_"),
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(SCHEME, token);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let service = service_of(request)?;
        let client = request.data::<ClientAddress>().copied();
        let client = client.ok_or_else(|| Problem::internal(&"the request has no address"))?;
        let sent = Bearer::from_request(request).ok();
        let token = sent.and_then(|Bearer { token }| ShareToken::parse(&token));
        let found = match token {
            Some(token) => {
                service.database().find_share(&token.hash()).await.map_err(Problem::from)?
            }
            None => None,
        };
        let Some((share, job)) = found else {
            warn!(security_event = "share_refused", "an invalid link to a job was used");
            attempts::count_invalid_link(service, client).await?;
            return Err(invalid().into());
        };
        // The user of the job is not the one who sends the request.
        Span::current().record("share_id", field::display(share.id));
        Ok(Self { share, job, network: client.network() })
    }
}

/// Problem of a link that is unknown or has ended. It does not state which, so that nobody learns
/// whether a link existed.
pub fn invalid() -> Problem {
    let detail = "The link is invalid, was revoked or has expired. Ask for another one.";
    Problem::new(StatusCode::UNAUTHORIZED, "SHARE_INVALID", detail)
}

/// Problem of an archive that is read by a link. One that was deleted meanwhile ends the link.
pub fn as_invalid(problem: Problem) -> Problem {
    if problem.code() == "ARCHIVE_EXPIRED" { invalid() } else { problem }
}
