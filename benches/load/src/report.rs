//! What a run came to: the account of every upload, throughput, and times.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::Trouble;
use crate::drive::{Fate, Outcome, Upload};

/// Complaints that are told one by one.
const TOLD: usize = 20;

/// The account.
pub struct Report {
    planned: usize,
    accepted: usize,
    done: usize,
    unfetched: usize,
    failed: usize,
    unanswered: usize,
    unheard: usize,
    /// Refusals by status, of uploads, of downloads, and of lists.
    refused: [BTreeMap<u16, u64>; 3],
    /// What went wrong with which job.
    wrong: Vec<String>,
    lost: Vec<String>,
    unknown: usize,
    took: f64,
    rates: [(&'static str, f64); 4],
    times: [(&'static str, Histogram<u64>); 4],
}

impl Report {
    /// Add up a run.
    pub fn of(outcome: &Outcome) -> Self {
        let uploads = &outcome.uploads;
        let named = |wanted: fn(&Fate) -> Option<&String>| -> Vec<String> {
            let told = |upload: &Upload| {
                Some(format!(
                    "{} ({}) {}",
                    upload.job.as_deref()?,
                    upload.name,
                    wanted(&upload.fate)?
                ))
            };
            uploads.iter().filter_map(told).collect()
        };
        let lost = named(|fate| if let Fate::Lost(why) = fate { Some(why) } else { None });
        let wrong = named(|fate| if let Fate::Wrong(why) = fate { Some(why) } else { None });
        let count = |wanted: fn(&Fate) -> bool| {
            uploads.iter().filter(|upload| wanted(&upload.fate)).count()
        };
        let refused_uploads = uploads.iter().filter_map(|upload| {
            if let Fate::Refused(status, _) = upload.fate { Some(status) } else { None }
        });
        let refused_lists = outcome.listings.iter().filter_map(|listed| {
            if let Err(Trouble::Refused(status, ..)) = listed { Some(*status) } else { None }
        });
        let refused_fetches =
            uploads.iter().flat_map(|upload| upload.fetches_refused.iter().copied());
        let accepted: Vec<_> = uploads.iter().filter(|upload| upload.job.is_some()).collect();
        let (took, done) = (
            outcome.took.as_secs_f64(),
            count(|fate| matches!(fate, Fate::Done | Fate::DoneUnfetched)),
        );
        let last = |times: Vec<Option<Duration>>| {
            times.into_iter().flatten().max().map_or(f64::INFINITY, |last| last.as_secs_f64())
        };
        let last_accepted = last(accepted.iter().map(|upload| upload.accepted_at).collect());
        let last_done = last(accepted.iter().map(|upload| upload.done_at).collect());
        let sum = |bytes: Vec<u64>| bytes.into_iter().sum::<u64>() as f64 / 1e6;
        Self {
            planned: uploads.len(),
            accepted: accepted.len(),
            done,
            unfetched: count(|fate| *fate == Fate::DoneUnfetched),
            failed: count(|fate| *fate == Fate::Failed),
            unanswered: count(|fate| matches!(fate, Fate::Unanswered(_))),
            unheard: outcome.unheard,
            refused: [
                by_status(refused_uploads),
                by_status(refused_fetches),
                by_status(refused_lists),
            ],
            wrong,
            lost,
            unknown: outcome.unknown,
            took,
            rates: [
                ("uploads accepted a second", accepted.len() as f64 / last_accepted),
                ("videos done an hour", done as f64 / last_done * 3600.0),
                (
                    "MB/s in",
                    sum(accepted.iter().map(|upload| upload.size).collect()) / last_accepted,
                ),
                ("MB/s out", sum(accepted.iter().map(|upload| upload.fetched).collect()) / took),
            ],
            times: [
                (
                    "upload: planned moment to 202",
                    histogram(accepted.iter().filter_map(|upload| upload.accepting)),
                ),
                (
                    "waiting: 202 to DONE",
                    histogram(accepted.iter().filter_map(|upload| upload.waiting)),
                ),
                (
                    "GET /videos: planned moment to answer",
                    histogram(outcome.listings.iter().flatten().copied()),
                ),
                (
                    "download: asking for the link to last byte",
                    histogram(accepted.iter().filter_map(|upload| upload.fetching)),
                ),
            ],
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = String::new();
        let [uploads, downloads, lists] = self.refused.each_ref().map(|refused| {
            let told: Vec<String> =
                refused.iter().map(|(status, count)| format!("{count} with {status}")).collect();
            if told.is_empty() { "none".to_owned() } else { told.join(", ") }
        });
        let Self { planned, accepted, done, failed, unanswered, unheard, unfetched, .. } = self;
        let (lost, wrong) = (self.lost.len(), self.wrong.len());
        // Writing to a text cannot fail.
        let _ = writeln!(
            table,
            "{planned} uploads in {:.1} s: {accepted} accepted = {done} done + {failed} failed as they had to + {lost} lost + {wrong} wrong\n\
             refused uploads: {uploads}; downloads, tried again: {downloads}; lists: {lists}\n\
             unanswered uploads: {unanswered}, of which {unheard} became jobs; done and not fetched in time: {unfetched}\n",
            self.took
        );
        for (name, rate) in &self.rates {
            let _ = writeln!(table, "{rate:12.2}  {name}");
        }
        let _ = writeln!(
            table,
            "\n{:44}{:>8}{:>10}{:>10}{:>10}{:>10}",
            "milliseconds", "count", "p50", "p90", "p99", "max"
        );
        for (name, times) in &self.times {
            let [p50, p90, p99, max] = percentiles(times);
            let _ = writeln!(
                table,
                "{name:44}{:8}{p50:10.1}{p90:10.1}{p99:10.1}{max:10.1}",
                times.len()
            );
        }
        table.trim_end().to_owned()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let [uploads, downloads, lists] = &self.refused;
        let times = self.times.iter().map(|(name, times)| {
            let [p50, p90, p99, max] = percentiles(times);
            let name = name.split(':').next().unwrap_or_default();
            (name.to_owned(), json!({ "count": times.len(), "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": max }))
        });
        json!({
            "planned": self.planned, "accepted": self.accepted, "done": self.done, "failed_as_expected": self.failed,
            "lost": self.lost, "wrong": self.wrong, "done_not_fetched": self.unfetched, "unknown_jobs": self.unknown,
            "unanswered": self.unanswered, "unanswered_that_became_jobs": self.unheard, "seconds": self.took,
            "refused": { "uploads": uploads, "downloads": downloads, "lists": lists },
            "rates": self.rates.iter().map(|(name, rate)| ((*name).to_owned(), json!(rate))).collect::<serde_json::Map<_, _>>(),
            "times": times.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// What must not be: empty if every video is accounted for.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = Vec::new();
        for (jobs, what) in [(&self.lost, "lost"), (&self.wrong, "wrong")] {
            complaints.extend(jobs.iter().take(TOLD).map(|job| format!("{what}: {job}")));
            if jobs.len() > TOLD {
                complaints.push(format!("{what}: and {} more", jobs.len() - TOLD));
            }
        }
        if self.unknown > 0 {
            complaints.push(format!("the service has {} jobs that nobody sent", self.unknown));
        }
        if self.accepted == 0 {
            complaints.push("no upload was accepted".to_owned());
        }
        if self.accepted != self.done + self.failed + self.lost.len() + self.wrong.len() {
            complaints.push("the account does not come out".to_owned());
        }
        complaints
    }
}

fn by_status(refused: impl Iterator<Item = StatusCode>) -> BTreeMap<u16, u64> {
    refused.fold(BTreeMap::new(), |mut counts, status| {
        *counts.entry(status.as_u16()).or_default() += 1;
        counts
    })
}

/// Microseconds, to three digits.
fn histogram(times: impl Iterator<Item = Duration>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits are possible");
    for time in times {
        histogram.record(time.as_micros() as u64).expect("it grows as it needs");
    }
    histogram
}

/// The 50th, 90th and 99th, and the longest, in milliseconds.
fn percentiles(times: &Histogram<u64>) -> [f64; 4] {
    [0.5, 0.9, 0.99, 1.0].map(|quantile| times.value_at_quantile(quantile) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times() {
        let times = histogram((1..=1000).map(Duration::from_millis));
        for (percentile, expected) in
            percentiles(&times).into_iter().zip([500.0, 900.0, 990.0, 1000.0])
        {
            assert!(
                (percentile / expected - 1.0).abs() < 0.002,
                "{percentile} instead of {expected}"
            );
        }
    }
}
