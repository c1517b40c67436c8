//! Codes of a second factor, as an app shows them.

use jobs::Clock;
use totp_rs::{Builder, Secret, Totp};

/// App with the secret of a second factor, whose clock is that of the service.
pub struct App<'a> {
    clock: &'a Clock,
    totp: Totp,
}

impl<'a> App<'a> {
    /// App with a secret in base32.
    pub fn new(secret: &str, clock: &'a Clock) -> Self {
        let secret = Secret::try_from_base32(secret).expect("base32");
        let totp = Builder::new().with_secret(secret).build().expect("a valid secret");
        Self { clock, totp }
    }

    /// Code that the app shows now.
    pub fn code(&self) -> String {
        self.totp.generate(self.seconds()).to_string()
    }

    /// A code that is not valid now.
    pub fn wrong_code(&self) -> String {
        let now = self.seconds();
        let valid = [now - 30, now, now + 30].map(|time| self.totp.generate(time).to_string());
        let mut codes = (0..4).map(|number| format!("{number:06}"));
        codes.find(|code| !valid.contains(code)).expect("at most three are valid")
    }

    fn seconds(&self) -> u64 {
        self.clock.now().timestamp() as u64
    }
}
