//! Addresses that open one object to anybody for a while.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jobs::Clock;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

use crate::{Error, Key};

/// What the path of every link begins with. The object's key follows.
pub const LINKS: &str = "/files/";

/// Fewest bytes of a key that signs links: as many as the hash has (RFC 2104, 3).
pub const SHORTEST_SIGNING_KEY: usize = 32;

/// What is signed says first what it is, so that no signature can stand for another thing that the
/// same key may sign.
const FORM: &str = "fiapx link 1";

/// All but the unreserved characters (RFC 3986, 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a link does not open anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Its time is over.
    #[error("the link has expired")]
    Expired,
    /// It was not signed here, or something in it was changed.
    #[error("the link is not valid")]
    Wrong,
}

/// Signs links and knows its own again.
#[derive(Debug)]
pub(super) struct Links {
    mac: Hmac<Sha256>,
    clock: Clock,
}

impl Links {
    pub(super) fn new(key: &SecretSlice<u8>, clock: Clock) -> Result<Self, Error> {
        let key = key.expose_secret();
        let weak = Error::WeakSigningKey { length: key.len() };
        if key.len() < SHORTEST_SIGNING_KEY {
            return Err(weak);
        }
        Ok(Self { mac: Hmac::new_from_slice(key).map_err(|_| weak)?, clock })
    }

    /// A link to an object that is valid for so long, and up to a second more: links count in full
    /// ones.
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
        let key = key.parse().map_err(|_| LinkError::Wrong)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| LinkError::Wrong)?;
        // Takes the same time whichever bytes differ.
        self.mac_of(&key, expires, filename)
            .verify_slice(&signature)
            .map_err(|_| LinkError::Wrong)?;
        if self.clock.now().timestamp() >= expires {
            return Err(LinkError::Expired);
        }
        Ok(key)
    }

    fn link(&self, key: &Key, expires: i64, filename: &str) -> String {
        let signature =
            URL_SAFE_NO_PAD.encode(self.mac_of(key, expires, filename).finalize().into_bytes());
        let filename = utf8_percent_encode(filename, ESCAPED);
        format!("{LINKS}{key}?expires={expires}&filename={filename}&signature={signature}")
    }

    /// The file name is last: it is the only part that may hold a line break, so no two links are
    /// signed alike.
    fn mac_of(&self, key: &Key, expires: i64, filename: &str) -> Hmac<Sha256> {
        self.mac.clone().chain_update(format!("{FORM}\n{key}\n{expires}\n{filename}"))
    }
}

#[cfg(test)]
mod tests {
    use jobs::{JobId, UserId, VideoFormat};
    use percent_encoding::percent_decode_str;

    use super::*;

    const NAME: &str = "férias & \"sol\" 100%\n?#.zip";

    fn links(clock: Clock) -> Links {
        Links::new(&SecretSlice::from(vec![7; SHORTEST_SIGNING_KEY]), clock)
            .expect("the key is long enough")
    }

    /// Key, expiry, file name and signature, as a server reads them from a URL.
    fn parts(link: &str) -> (String, i64, String, String) {
        let (path, query) = link.split_once('?').expect("there is a query");
        let values: Vec<String> = ["expires", "filename", "signature"]
            .into_iter()
            .zip(query.split('&'))
            .map(|(name, pair)| {
                let value = pair
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix('='))
                    .expect("the parameter stands here");
                percent_decode_str(value).decode_utf8().expect("values are UTF-8").into_owned()
            })
            .collect();
        let [expires, filename, signature] = values.try_into().expect("there are three parameters");
        let key = path.strip_prefix(LINKS).expect("the path begins as all do");
        (key.to_owned(), expires.parse().expect("a number of seconds"), filename, signature)
    }

    #[test]
    fn a_link_opens_its_object_until_its_time_is_over() {
        let (clock, key) =
            (Clock::default(), Key::archive(UserId::generate(), JobId::generate(), 1));
        let links = links(clock.clone());
        let link = links.sign(&key, NAME, Duration::from_mins(15));
        assert!(
            link.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'#'),
            "{link}"
        );
        let (text, expires, filename, signature) = parts(&link);
        assert_eq!((text.as_str(), filename.as_str()), (key.as_str(), NAME));
        let verify = || links.verify(&text, expires, &filename, &signature);
        assert_eq!(verify(), Ok(key));
        clock.advance(Duration::from_mins(14));
        assert!(verify().is_ok());
        clock.advance(Duration::from_secs(61));
        assert_eq!(verify(), Err(LinkError::Expired));
    }

    #[test]
    fn the_second_of_expiry_is_over() {
        let (clock, key) =
            (Clock::default(), Key::archive(UserId::generate(), JobId::generate(), 1));
        let links = links(clock.clone());
        let (text, expires, filename, signature) =
            parts(&links.link(&key, clock.now().timestamp(), NAME));
        assert_eq!(links.verify(&text, expires, &filename, &signature), Err(LinkError::Expired));
    }

    #[test]
    fn a_link_opens_nothing_else() {
        let (user, job) = (UserId::generate(), JobId::generate());
        let key = Key::archive(user, job, 1);
        let ours = links(Clock::default());
        let (text, expires, filename, signature) =
            parts(&ours.sign(&key, NAME, Duration::from_mins(15)));
        let others = [
            Key::archive(user, job, 11),
            Key::input(user, job, VideoFormat::Mp4),
            Key::archive(UserId::generate(), job, 1),
        ];
        for other in others.iter().map(Key::as_str).chain([
            "",
            "../../etc/passwd",
            &format!("{text}\n{expires}"),
        ]) {
            assert_eq!(
                ours.verify(other, expires, &filename, &signature),
                Err(LinkError::Wrong),
                "{other}"
            );
        }
        for other in [expires + 1, expires - 1, -expires, i64::MAX, i64::MIN] {
            assert_eq!(
                ours.verify(&text, other, &filename, &signature),
                Err(LinkError::Wrong),
                "{other}"
            );
        }
        for other in ["", "film.exe", &NAME.to_uppercase(), &NAME[1..]] {
            assert_eq!(
                ours.verify(&text, expires, other, &signature),
                Err(LinkError::Wrong),
                "{other}"
            );
        }
        let first = if signature.starts_with('A') { "B" } else { "A" };
        for other in [
            "",
            "A",
            "*",
            &signature[..signature.len() - 4],
            &format!("{first}{}", &signature[1..]),
            &format!("{signature}="),
        ] {
            assert_eq!(
                ours.verify(&text, expires, &filename, other),
                Err(LinkError::Wrong),
                "{other}"
            );
        }
        let theirs =
            Links::new(&SecretSlice::from(vec![8; SHORTEST_SIGNING_KEY]), Clock::default())
                .expect("long enough");
        assert_eq!(theirs.verify(&text, expires, &filename, &signature), Err(LinkError::Wrong));
    }

    #[test]
    fn a_key_that_can_be_guessed_signs_nothing() {
        for length in [0, SHORTEST_SIGNING_KEY - 1] {
            let refused = Links::new(&SecretSlice::from(vec![7; length]), Clock::default());
            assert!(
                matches!(refused, Err(Error::WeakSigningKey { length: told }) if told == length)
            );
        }
    }

    #[test]
    fn no_time_is_too_long() {
        let key = Key::archive(UserId::generate(), JobId::generate(), 1);
        let ours = links(Clock::default());
        let (text, expires, filename, signature) = parts(&ours.sign(&key, NAME, Duration::MAX));
        assert_eq!(expires, i64::MAX);
        assert_eq!(ours.verify(&text, expires, &filename, &signature), Ok(key));
    }
}
