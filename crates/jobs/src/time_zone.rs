//! Time zones, in which mails state times.

use chrono::{DateTime, FixedOffset};
use chrono_tz::Tz;

use crate::clock::Time;

/// Time zone of the IANA database, such as `America/Sao_Paulo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeZone(Tz);

impl TimeZone {
    /// Time zone with this name; `None` if there is none, or this program was built before it was
    /// named.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// Name in the IANA database.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Local time and its difference to UTC.
    #[must_use]
    pub fn local(self, time: Time) -> DateTime<FixedOffset> {
        time.with_timezone(&self.0).fixed_offset()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_daylight_saving_time() {
        let local = |zone: &str, time: &str| {
            let zone = TimeZone::from_name(zone).expect("a time zone");
            zone.local(time.parse().expect("a time")).to_rfc3339()
        };
        // Brazil has had none since 2019.
        assert_eq!(local("America/Sao_Paulo", "2026-12-01T14:05:59Z"), "2026-12-01T11:05:59-03:00");
        assert_eq!(local("Europe/Lisbon", "2026-07-01T00:00:00Z"), "2026-07-01T01:00:00+01:00");
        assert_eq!(local("Europe/Lisbon", "2026-12-01T00:00:00Z"), "2026-12-01T00:00:00+00:00");
        // Browsers may use earlier names.
        assert_eq!(local("Asia/Calcutta", "2026-12-01T00:00:00Z"), "2026-12-01T05:30:00+05:30");
    }

    #[test]
    fn other_names_are_none() {
        for name in ["", "america/sao_paulo", "Brasilia", "UTC-3", "America/Sao_Paulo\n"] {
            assert_eq!(TimeZone::from_name(name), None, "{name}");
        }
    }
}
