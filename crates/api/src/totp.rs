//! Codes of a second factor: time-based ones (TOTP, RFC 6238) and recovery codes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jobs::Time;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use totp_rs::{Algorithm, Builder, Secret};

use crate::problem::Problem;

/// Digits of a time-based code. Apps support six and, some of them, eight.
const DIGITS: u8 = 6;
/// Duration of a time step, in seconds (RFC 6238, 5.2).
const STEP_SECONDS: u64 = 30;
/// Number of steps before and after the current one whose codes are accepted, because clocks differ
/// and typing takes time (RFC 6238, 5.2).
const SKEW: u16 = 1;
/// Size of a secret, in bytes (RFC 4226, 4: 160 bits are recommended).
const SECRET_BYTES: usize = 20;
/// Name of the service in apps.
const ISSUER: &str = "FIAP X";
/// Number of recovery codes.
pub const RECOVERY_CODES: usize = 10;
/// Size of a recovery code, in bytes: 120 bits cannot be guessed, even from their fast hash, for
/// which OWASP ASVS 5.0.0, 6.5.2 requires 112.
const RECOVERY_BYTES: usize = 15;
/// Number of characters of a recovery code in base32.
const RECOVERY_CHARACTERS: usize = RECOVERY_BYTES * 8 / 5;

/// Code that a user has entered.
#[derive(Debug, PartialEq, Eq)]
pub enum Code {
    /// Digits of a time-based code.
    TimeBased(String),
    /// Hash of a recovery code, as it is stored.
    Recovery(String),
    /// Neither of the two.
    Malformed,
}

impl Code {
    /// Parse a code. Spaces, hyphens and case do not matter.
    pub fn parse(text: &str) -> Self {
        let characters = text.chars().filter(|char| !char.is_whitespace() && *char != '-');
        // Bounds the memory of a code.
        let code: String = characters.take(RECOVERY_CHARACTERS + 1).collect();
        if code.len() == usize::from(DIGITS) && code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::TimeBased(code);
        }
        let code = code.to_ascii_uppercase();
        let is_base32 = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
        if code.len() == RECOVERY_CHARACTERS && code.bytes().all(is_base32) {
            return Self::Recovery(hash(&code));
        }
        Self::Malformed
    }
}

/// Generate a secret in base32.
pub fn new_secret() -> String {
    base32(&rand::random::<[u8; SECRET_BYTES]>())
}

/// URI of a secret for apps ("Key URI Format" of Google Authenticator).
pub fn uri(secret: &str, email: &str) -> String {
    let [issuer, email] =
        [ISSUER, email].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
    format!(
        "otpauth://totp/{issuer}:{email}?secret={secret}&issuer={issuer}&algorithm=SHA1\
         &digits={DIGITS}&period={STEP_SECONDS}"
    )
}

/// Return the time step around `now` that a time-based code belongs to.
pub fn step_of(secret: &str, code: &str, now: Time) -> Result<Option<i64>, Problem> {
    let secret = Secret::try_from_base32(secret)
        .map_err(|error| Problem::internal(&format!("a second factor is damaged: {error}")))?;
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(DIGITS)
        .with_step_duration(STEP_SECONDS)
        .with_skew(SKEW)
        .with_secret(secret)
        .build()
        .map_err(|error| Problem::internal(&format!("a second factor is damaged: {error}")))?;
    let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
    Ok(totp.check(code, seconds).and_then(|step| i64::try_from(step).ok()))
}

/// Recovery code, as the user gets it, and its hash.
pub struct RecoveryCode {
    /// Groups of four characters.
    pub text: String,
    /// Hash, as it is stored.
    pub hash: String,
}

/// Generate recovery codes.
pub fn new_recovery_codes() -> [RecoveryCode; RECOVERY_CODES] {
    std::array::from_fn(|_| {
        let code = base32(&rand::random::<[u8; RECOVERY_BYTES]>());
        let groups: Vec<&str> =
            (0..code.len()).step_by(4).filter_map(|start| code.get(start..start + 4)).collect();
        RecoveryCode { text: groups.join("-"), hash: hash(&code) }
    })
}

fn hash(code: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(code))
}

/// Encode bytes in base32 (RFC 4648, 6) without padding.
fn base32(bytes: &[u8]) -> String {
    Secret::new(bytes.into()).to_base32()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    /// Secret of the test vectors for SHA-1 (RFC 6238, appendix B).
    const SECRET: &[u8] = b"12345678901234567890";

    fn step(code: &str, seconds: i64) -> Option<i64> {
        let time = DateTime::from_timestamp(seconds, 0).expect("a valid time");
        step_of(&base32(SECRET), code, time).unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    #[test]
    fn matches_the_test_vectors() {
        // The last six of the eight digits in the RFC.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step(code, seconds), Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn accepts_the_steps_before_and_after() {
        let steps = [-60, -30, 0, 29, 30, 60].map(|offset| step("050471", 1_111_111_110 + offset));
        let found = Some(1_111_111_110 / 30);
        assert_eq!(steps, [None, found, found, found, found, None]);
        assert_eq!(step("050472", 1_111_111_110), None);
    }

    #[test]
    fn parses_codes_as_people_type_them() {
        assert_eq!(Code::parse(" 050 471"), Code::TimeBased("050471".to_owned()));
        for text in ["", "05047", "0504711", "٠٥٠٤٧١", "ABCD-EFGH-IJKL-MNO1", &"A".repeat(10_000)]
        {
            assert_eq!(Code::parse(text), Code::Malformed, "{text}");
        }
        let codes = new_recovery_codes();
        for RecoveryCode { text, hash } in &codes {
            assert_eq!(text.len(), 29);
            for typed in [text.clone(), text.to_lowercase(), text.replace('-', " ")] {
                assert_eq!(Code::parse(&typed), Code::Recovery(hash.clone()), "{typed}");
            }
        }
        assert_ne!(codes[0].text, codes[1].text);
    }

    #[test]
    fn writes_the_uri_of_a_secret() {
        assert_eq!(
            uri("GEZDGNBVGY3TQOJQ", "ana+x@example.com"),
            "otpauth://totp/FIAP%20X:ana%2Bx%40example%2Ecom?secret=GEZDGNBVGY3TQOJQ\
             &issuer=FIAP%20X&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(new_secret().len(), 32);
    }
}
