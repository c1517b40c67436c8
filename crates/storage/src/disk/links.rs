//! Signed links, with which anyone can download one object for a limited time.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jobs::Clock;
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

use crate::error::Error;
use crate::key::Key;
use crate::percent::percent_encode;

/// Prefix of the path of every link. The object's key follows.
pub const LINK_PREFIX: &str = "/files/";

/// Minimum length of a signing key in bytes: the length of the hash (RFC 2104, 3).
pub const MIN_SIGNING_KEY_LENGTH: usize = 32;

/// First line of the signed text, which separates links from anything else that the same key may
/// sign.
const SIGNATURE_CONTEXT: &str = "fiapx link 1";

/// Reason for rejecting a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The link has expired.
    #[error("the link has expired")]
    Expired,
    /// The link was not signed with this key, or was modified.
    #[error("the link is not valid")]
    Invalid,
}

/// Signs and verifies links.
#[derive(Debug)]
pub(super) struct Links {
    mac: Hmac<Sha256>,
    clock: Clock,
}

impl Links {
    pub(super) fn new(key: &SecretSlice<u8>, clock: Clock) -> Result<Self, Error> {
        let key = key.expose_secret();
        let weak = Error::WeakSigningKey { length: key.len(), minimum: MIN_SIGNING_KEY_LENGTH };
        if key.len() < MIN_SIGNING_KEY_LENGTH {
            return Err(weak);
        }
        Ok(Self { mac: Hmac::new_from_slice(key).map_err(|_| weak)?, clock })
    }

    /// Return a link that is valid for `valid_for` and up to a second more, because expiry times
    /// are in whole seconds.
    pub(super) fn sign(&self, key: &Key, filename: &str, valid_for: Duration) -> String {
        let seconds = i64::try_from(valid_for.as_secs()).unwrap_or(i64::MAX);
        let expires = self.clock.now().timestamp().saturating_add(seconds).saturating_add(1);
        self.link(key, expires, filename)
    }

    pub(super) fn verify(
        &self,
        key: &str,
        expires: i64,
        filename: &str,
        signature: &str,
    ) -> Result<Key, LinkError> {
        let key = key.parse().map_err(|_| LinkError::Invalid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| LinkError::Invalid)?;
        // Compares in constant time.
        self.mac_of(&key, expires, filename)
            .verify_slice(&signature)
            .map_err(|_| LinkError::Invalid)?;
        if self.clock.now().timestamp() >= expires {
            return Err(LinkError::Expired);
        }
        Ok(key)
    }

    fn link(&self, key: &Key, expires: i64, filename: &str) -> String {
        let signature =
            URL_SAFE_NO_PAD.encode(self.mac_of(key, expires, filename).finalize().into_bytes());
        let filename = percent_encode(filename);
        format!("{LINK_PREFIX}{key}?expires={expires}&filename={filename}&signature={signature}")
    }

    /// The file name is last because it alone may contain a line break, so that no two links
    /// have the same signed text.
    fn mac_of(&self, key: &Key, expires: i64, filename: &str) -> Hmac<Sha256> {
        self.mac.clone().chain_update(format!("{SIGNATURE_CONTEXT}\n{key}\n{expires}\n{filename}"))
    }
}

#[cfg(test)]
mod tests {
    use jobs::{JobId, UserId, VideoFormat};
    use percent_encoding::percent_decode_str;

    use super::*;

    const NAME: &str = "férias & \"sol\" 100%\n?#.zip";

    fn links(clock: Clock) -> Links {
        links_with_key(7, clock)
    }

    fn links_with_key(byte: u8, clock: Clock) -> Links {
        Links::new(&SecretSlice::from(vec![byte; MIN_SIGNING_KEY_LENGTH]), clock)
            .expect("the key is long enough")
    }

    fn new_key() -> Key {
        Key::archive(UserId::generate(), JobId::generate(), 1)
    }

    /// A link as a server reads it from a URL.
    struct ParsedLink {
        key: String,
        expires: i64,
        filename: String,
        signature: String,
    }

    impl ParsedLink {
        fn parse(link: &str) -> Self {
            let (path, query) = link.split_once('?').expect("the link has a query");
            let mut pairs = query.split('&');
            let mut parameter = |name: &str| {
                let pair = pairs.next().expect("the query has three parameters");
                let (found, value) = pair.split_once('=').expect("the parameter has a value");
                assert_eq!(found, name);
                percent_decode_str(value).decode_utf8().expect("values are UTF-8").into_owned()
            };
            Self {
                key: path.strip_prefix(LINK_PREFIX).expect("the path has the prefix").to_owned(),
                expires: parameter("expires").parse().expect("a number of seconds"),
                filename: parameter("filename"),
                signature: parameter("signature"),
            }
        }

        fn verify(&self, links: &Links) -> Result<Key, LinkError> {
            links.verify(&self.key, self.expires, &self.filename, &self.signature)
        }
    }

    #[test]
    fn accepts_a_link_until_it_expires() {
        let (clock, key) = (Clock::default(), new_key());
        let links = links(clock.clone());
        let text = links.sign(&key, NAME, Duration::from_mins(15));
        let is_safe = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'#';
        assert!(text.bytes().all(is_safe), "{text}");
        let link = ParsedLink::parse(&text);
        assert_eq!((link.key.as_str(), link.filename.as_str()), (key.as_str(), NAME));
        assert_eq!(link.verify(&links), Ok(key));
        clock.advance(Duration::from_mins(14));
        assert!(link.verify(&links).is_ok());
        clock.advance(Duration::from_secs(61));
        assert_eq!(link.verify(&links), Err(LinkError::Expired));
    }

    #[test]
    fn rejects_a_link_in_the_second_of_its_expiry() {
        let clock = Clock::default();
        let links = links(clock.clone());
        let link = ParsedLink::parse(&links.link(&new_key(), clock.now().timestamp(), NAME));
        assert_eq!(link.verify(&links), Err(LinkError::Expired));
    }

    #[test]
    fn rejects_every_modified_link() {
        let key = new_key();
        let ours = links(Clock::default());
        let link = ParsedLink::parse(&ours.sign(&key, NAME, Duration::from_mins(15)));
        let ParsedLink { key: text, expires, filename, signature } = &link;
        let (user, job) = (key.user_id(), key.job_id());
        let other_keys = [
            Key::archive(user, job, 11).to_string(),
            Key::input(user, job, VideoFormat::Mp4).to_string(),
            Key::archive(UserId::generate(), job, 1).to_string(),
            String::new(),
            "../../etc/passwd".to_owned(),
            format!("{text}\n{expires}"),
        ];
        for other in &other_keys {
            let result = ours.verify(other, *expires, filename, signature);
            assert_eq!(result, Err(LinkError::Invalid), "{other}");
        }
        for other in [expires + 1, expires - 1, -expires, i64::MAX, i64::MIN] {
            let result = ours.verify(text, other, filename, signature);
            assert_eq!(result, Err(LinkError::Invalid), "{other}");
        }
        for other in ["", "film.exe", &NAME.to_uppercase(), &NAME[1..]] {
            let result = ours.verify(text, *expires, other, signature);
            assert_eq!(result, Err(LinkError::Invalid), "{other}");
        }
        let first = if signature.starts_with('A') { "B" } else { "A" };
        let other_signatures = [
            "",
            "A",
            "*",
            &signature[..signature.len() - 4],
            &format!("{first}{}", &signature[1..]),
            &format!("{signature}="),
        ];
        for other in other_signatures {
            let result = ours.verify(text, *expires, filename, other);
            assert_eq!(result, Err(LinkError::Invalid), "{other}");
        }
        let theirs = links_with_key(8, Clock::default());
        assert_eq!(link.verify(&theirs), Err(LinkError::Invalid));
    }

    #[test]
    fn rejects_a_short_signing_key() {
        for short in [0, MIN_SIGNING_KEY_LENGTH - 1] {
            let result = Links::new(&SecretSlice::from(vec![7; short]), Clock::default());
            assert!(matches!(result, Err(Error::WeakSigningKey { length, .. }) if length == short));
        }
    }

    #[test]
    fn saturates_the_expiry_time() {
        let key = new_key();
        let links = links(Clock::default());
        let link = ParsedLink::parse(&links.sign(&key, NAME, Duration::MAX));
        assert_eq!(link.expires, i64::MAX);
        assert_eq!(link.verify(&links), Ok(key));
    }
}
