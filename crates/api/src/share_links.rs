//! Signed links to the archive of a shared job: browsers download by addresses, and send no
//! `Authorization` with them. They name the link by its id, so each download checks that the link
//! is valid still, and the links of the file store, which contain the id of the owner, stay secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;
use storage::disk::LinkError;
use uuid::Uuid;

use crate::problem::Problem;
use crate::service::Service;

/// First line of the signed text, which separates these links from anything else that the same key
/// signs.
const SIGNATURE_CONTEXT: &str = "fiapx shared archive 1";

/// Path and query of a download by a link to a job. It is valid for the lifetime of download links.
pub fn sign(service: &Service, share: Uuid) -> Result<String, Problem> {
    let seconds = i64::try_from(service.settings.link_lifetime.as_secs()).unwrap_or(i64::MAX);
    let expires = service.database().clock().now().timestamp().saturating_add(seconds);
    let signature = mac(service, share, expires)?.finalize().into_bytes();
    let signature = URL_SAFE_NO_PAD.encode(signature);
    Ok(format!("/files/shared/{share}?expires={expires}&signature={signature}"))
}

/// Verify a signed link.
pub fn verify(
    service: &Service,
    share: Uuid,
    expires: i64,
    signature: &str,
) -> Result<Result<(), LinkError>, Problem> {
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return Ok(Err(LinkError::Invalid));
    };
    // Compares in constant time.
    if mac(service, share, expires)?.verify_slice(&signature).is_err() {
        return Ok(Err(LinkError::Invalid));
    }
    let is_expired = service.database().clock().now().timestamp() >= expires;
    Ok(if is_expired { Err(LinkError::Expired) } else { Ok(()) })
}

fn mac(service: &Service, share: Uuid, expires: i64) -> Result<Hmac<Sha256>, Problem> {
    let key = service.settings.jwt_secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| Problem::internal(&error))?;
    mac.update(format!("{SIGNATURE_CONTEXT}\n{share}\n{expires}").as_bytes());
    Ok(mac)
}
