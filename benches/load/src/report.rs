//! Report of a run: number of uploads by result, throughput and times.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::client::RequestError;
use crate::run::RunResults;
use crate::upload::{Upload, UploadResult, UploadTimes};

/// Maximum number of problems of one kind that are listed one by one.
const MAX_LISTED: usize = 20;

/// Report of a run.
pub struct Report {
    planned: usize,
    accepted: usize,
    done: usize,
    not_downloaded: usize,
    failed: usize,
    without_response: usize,
    jobs_without_response: usize,
    unknown_jobs: usize,
    rejections: Rejections,
    /// Jobs with another outcome than expected, each with the reason.
    wrong: Vec<String>,
    /// Lost jobs, each with the reason.
    lost: Vec<String>,
    seconds: f64,
    rates: [Rate; 4],
    times: [Times; 4],
}

/// Number of rejected requests by status.
struct Rejections {
    uploads: BTreeMap<u16, u64>,
    downloads: BTreeMap<u16, u64>,
    lists: BTreeMap<u16, u64>,
}

/// A rate.
struct Rate {
    name: &'static str,
    value: f64,
}

/// Times of one kind of request, in microseconds.
struct Times {
    name: &'static str,
    /// Start and end of the times.
    range: &'static str,
    histogram: Histogram<u64>,
}

/// Percentiles of times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Report {
    /// Create the report of a run.
    pub fn new(results: &RunResults) -> Self {
        let uploads = &results.uploads;
        let count = |matches: fn(&UploadResult) -> bool| {
            uploads.iter().filter(|upload| matches(&upload.result)).count()
        };
        let done = count(|it| matches!(it, UploadResult::Completed | UploadResult::NotDownloaded));
        let accepted: Vec<&Upload> = uploads.iter().filter(|it| it.job.is_some()).collect();
        Self {
            planned: uploads.len(),
            accepted: accepted.len(),
            done,
            not_downloaded: count(|it| *it == UploadResult::NotDownloaded),
            failed: count(|it| *it == UploadResult::FailedAsExpected),
            without_response: count(|it| *it == UploadResult::NoResponse),
            jobs_without_response: results.jobs_without_response,
            unknown_jobs: results.unknown_jobs,
            rejections: Rejections::new(results),
            wrong: problems(uploads, |result| match result {
                UploadResult::Wrong(reason) => Some(reason),
                _ => None,
            }),
            lost: problems(uploads, |result| match result {
                UploadResult::Lost(reason) => Some(reason),
                _ => None,
            }),
            seconds: results.duration.as_secs_f64(),
            rates: rates(results, &accepted, done),
            times: times(results, &accepted),
        }
    }

    /// Report for people.
    pub fn table(&self) -> String {
        let mut table = self.summary();
        // Writing to a string cannot fail.
        for Rate { name, value } in &self.rates {
            let _ = writeln!(table, "{value:12.2}  {name}");
        }
        let _ = writeln!(
            table,
            "\n{:44}{:>8}{:>10}{:>10}{:>10}{:>10}",
            "milliseconds", "count", "p50", "p90", "p99", "max"
        );
        for Times { name, range, histogram } in &self.times {
            let Percentiles { p50, p90, p99, max } = percentiles(histogram);
            let _ = writeln!(
                table,
                "{:44}{:8}{p50:10.1}{p90:10.1}{p99:10.1}{max:10.1}",
                format!("{name}: {range}"),
                histogram.len()
            );
        }
        table.trim_end().to_owned()
    }

    /// Number of uploads by result, in three lines.
    fn summary(&self) -> String {
        let list = |rejections: &BTreeMap<u16, u64>| {
            let counts: Vec<String> =
                rejections.iter().map(|(status, count)| format!("{count} with {status}")).collect();
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        };
        format!(
            "{planned} uploads in {seconds:.1} s: {accepted} accepted = {done} done + {failed} \
             failed as expected + {lost} lost + {wrong} wrong\n\
             rejected uploads: {uploads}; rejected downloads, repeated: {downloads}; rejected \
             lists: {lists}\n\
             uploads without a response: {without_response}, of which {jobs} became jobs; done but \
             not downloaded in time: {not_downloaded}\n\n",
            planned = self.planned,
            seconds = self.seconds,
            accepted = self.accepted,
            done = self.done,
            failed = self.failed,
            lost = self.lost.len(),
            wrong = self.wrong.len(),
            uploads = list(&self.rejections.uploads),
            downloads = list(&self.rejections.downloads),
            lists = list(&self.rejections.lists),
            without_response = self.without_response,
            jobs = self.jobs_without_response,
            not_downloaded = self.not_downloaded,
        )
    }

    /// Report for programs.
    pub fn json(&self) -> Value {
        let Rejections { uploads, downloads, lists } = &self.rejections;
        let rates: Map<_, _> =
            self.rates.iter().map(|rate| (rate.name.to_owned(), json!(rate.value))).collect();
        let times: Map<_, _> = self
            .times
            .iter()
            .map(|times| {
                let Percentiles { p50, p90, p99, max } = percentiles(&times.histogram);
                let count = times.histogram.len();
                let values = json!({
                    "count": count, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": max
                });
                (times.name.to_owned(), values)
            })
            .collect();
        json!({
            "planned": self.planned,
            "accepted": self.accepted,
            "done": self.done,
            "failed_as_expected": self.failed,
            "lost": self.lost,
            "wrong": self.wrong,
            "done_not_fetched": self.not_downloaded,
            "unknown_jobs": self.unknown_jobs,
            "unanswered": self.without_response,
            "unanswered_that_became_jobs": self.jobs_without_response,
            "seconds": self.seconds,
            "refused": { "uploads": uploads, "downloads": downloads, "lists": lists },
            "rates": rates,
            "times": times,
        })
    }

    /// Problems of the run; empty if every video is accounted for.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = Vec::new();
        for (jobs, kind) in [(&self.lost, "lost"), (&self.wrong, "wrong")] {
            problems.extend(jobs.iter().take(MAX_LISTED).map(|job| format!("{kind}: {job}")));
            if jobs.len() > MAX_LISTED {
                problems.push(format!("{kind}: and {} more", jobs.len() - MAX_LISTED));
            }
        }
        if self.unknown_jobs > 0 {
            problems.push(format!("the service has {} unknown jobs", self.unknown_jobs));
        }
        if self.accepted == 0 {
            problems.push("no upload was accepted".to_owned());
        }
        if self.accepted != self.done + self.failed + self.lost.len() + self.wrong.len() {
            problems.push("the numbers of the results do not add up".to_owned());
        }
        problems
    }
}

impl Rejections {
    fn new(results: &RunResults) -> Self {
        let uploads = results.uploads.iter().filter_map(|upload| match upload.result {
            UploadResult::Rejected(status) => Some(status),
            _ => None,
        });
        let lists = results.listings.iter().filter_map(|listing| match listing {
            Err(RequestError::Rejected { status, .. }) => Some(*status),
            _ => None,
        });
        let downloads = results.uploads.iter().flat_map(|it| it.rejected_downloads.iter().copied());
        Self {
            uploads: count_by_status(uploads),
            downloads: count_by_status(downloads),
            lists: count_by_status(lists),
        }
    }
}

/// Job, file name and reason of each accepted upload for which `reason` returns one.
fn problems(uploads: &[Upload], reason: fn(&UploadResult) -> Option<&String>) -> Vec<String> {
    uploads
        .iter()
        .filter_map(|upload| {
            let (job, reason) = (upload.job.as_deref()?, reason(&upload.result)?);
            Some(format!("{job} ({}) {reason}", upload.name))
        })
        .collect()
}

fn rates(results: &RunResults, accepted: &[&Upload], done: usize) -> [Rate; 4] {
    let last = |time: fn(&UploadTimes) -> Option<Duration>| {
        let times = accepted.iter().filter_map(|upload| time(&upload.times));
        times.max().map_or(f64::INFINITY, |last| last.as_secs_f64())
    };
    let (last_accepted, last_done) = (last(|it| it.accepted_at), last(|it| it.done_at));
    let megabytes = |bytes: fn(&Upload) -> u64| {
        accepted.iter().map(|upload| bytes(upload)).sum::<u64>() as f64 / 1e6
    };
    let seconds = results.duration.as_secs_f64();
    [
        Rate { name: "uploads accepted a second", value: accepted.len() as f64 / last_accepted },
        Rate { name: "videos done an hour", value: done as f64 / last_done * 3600.0 },
        Rate { name: "MB/s in", value: megabytes(|it| it.video_bytes) / last_accepted },
        Rate { name: "MB/s out", value: megabytes(|it| it.archive_bytes) / seconds },
    ]
}

fn times(results: &RunResults, accepted: &[&Upload]) -> [Times; 4] {
    let of = |time: fn(&UploadTimes) -> Option<Duration>| {
        histogram(accepted.iter().filter_map(|upload| time(&upload.times)))
    };
    [
        Times {
            name: "upload",
            range: "scheduled time to 202",
            histogram: of(|it| it.until_accepted),
        },
        Times { name: "waiting", range: "202 to DONE", histogram: of(|it| it.until_done) },
        Times {
            name: "GET /videos",
            range: "scheduled time to response",
            histogram: histogram(results.listings.iter().flatten().copied()),
        },
        Times {
            name: "download",
            range: "request for the link to last byte",
            histogram: of(|it| it.download),
        },
    ]
}

fn count_by_status(statuses: impl Iterator<Item = StatusCode>) -> BTreeMap<u16, u64> {
    statuses.fold(BTreeMap::new(), |mut counts, status| {
        *counts.entry(status.as_u16()).or_default() += 1;
        counts
    })
}

/// Histogram of times in microseconds, with three significant digits.
fn histogram(times: impl Iterator<Item = Duration>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits are supported");
    for time in times {
        histogram.record(time.as_micros() as u64).expect("the histogram resizes itself");
    }
    histogram
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let milliseconds = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    Percentiles {
        p50: milliseconds(0.5),
        p90: milliseconds(0.9),
        p99: milliseconds(0.99),
        max: milliseconds(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let Percentiles { p50, p90, p99, max } =
            percentiles(&histogram((1..=1000).map(Duration::from_millis)));
        for (actual, expected) in [(p50, 500.0), (p90, 900.0), (p99, 990.0), (max, 1000.0)] {
            assert!((actual / expected - 1.0).abs() < 0.002, "{actual} instead of {expected}");
        }
    }
}
