//! Pauses between tries to deliver to a webhook.

use std::time::{Duration, SystemTime};

use jobs::Time;

/// Pauses after the first failure, the second, and so on (Standard Webhooks, "Deliverability and
/// reliability"). After the last one, no further try follows.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
];

/// Longest pause that a receiver can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Pause after a failure that follows `failures` others: at least that of the schedule, at most a
/// fifth longer, which spreads tries that failed at the same moment, and not shorter than the
/// receiver asks for. `None` if no further try follows. `random` is uniformly distributed.
pub(crate) fn pause(failures: u32, asked: Option<Duration>, random: u32) -> Option<Duration> {
    let pause = *PAUSES.get(usize::try_from(failures).ok()?)?;
    let spread = pause / 5 * (random >> 16) / (u32::MAX >> 16);
    Some((pause + spread).max(asked.unwrap_or_default().min(MAX_RETRY_AFTER)))
}

/// Duration that a value of `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(value: &str, now: Time) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::from(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_fourteen_hours_and_end() {
        let pauses = |random| (0..9).map_while(move |failures| pause(failures, None, random));
        let seconds: Vec<u64> = pauses(0).map(|pause| pause.as_secs()).collect();
        assert_eq!(seconds, [5, 300, 1800, 7200, 18_000, 36_000, 50_400]);
        let longest: Vec<u64> = pauses(u32::MAX).map(|pause| pause.as_secs()).collect();
        assert_eq!(longest, [6, 360, 2160, 8640, 21_600, 43_200, 60_480]);
        assert_eq!(pause(u32::MAX, None, 0), None);
    }

    #[test]
    fn receivers_may_ask_for_longer_pauses() {
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(pause(0, asked(60), 0), asked(60));
        assert_eq!(pause(1, asked(60), 0), asked(300), "the schedule is not shortened");
        assert_eq!(pause(0, asked(u64::MAX), 0), Some(MAX_RETRY_AFTER));
        assert_eq!(pause(7, asked(60), 0), None, "the last try is the last");
    }

    #[test]
    fn values_are_seconds_or_dates() {
        let now: Time = "1994-11-06T08:49:00Z".parse().expect("a time");
        for (value, seconds) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
