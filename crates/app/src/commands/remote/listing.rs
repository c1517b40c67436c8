//! `fiapx remote list` and `show`.

use anyhow::Result;
use indicatif::DecimalBytes;
use remote::Job;
use serde_json::{json, to_string_pretty};

use super::bars::printable;
use super::context::Context;
use super::failures::Results;
use crate::cli::{JobArguments, ListArguments};

/// Heading of the table.
const HEADING: [&str; 6] = ["JOB", "CREATED", "STATUS", "FRAMES", "ARCHIVE", "VIDEO"];

/// List jobs as a table.
pub(super) async fn list(context: &Context, arguments: &ListArguments) -> Result<()> {
    let status = arguments.status.map(crate::cli::JobStatus::name);
    let jobs = context.client.jobs(status, arguments.limit.get()).await?;
    if context.json {
        return jobs.iter().try_for_each(|job| context.bars.print(&json!(job).to_string()));
    }
    let heading = HEADING.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heading).chain(jobs.iter().map(row)).collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [id, created, status, frames, archive] = std::array::from_fn(width);
    for row in &rows {
        let line = format!(
            "{:id$}  {:created$}  {:status$}  {:>frames$}  {:>archive$}  {}",
            row[0], row[1], row[2], row[3], row[4], row[5]
        );
        context.bars.print(line.trim_end())?;
    }
    Ok(())
}

/// Columns of a job.
fn row(job: &Job) -> [String; 6] {
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let size = job.zip_size_bytes.map(|size| DecimalBytes(size).to_string());
    // Without fractions of a second.
    let created = job.created_at.split('.').next().unwrap_or_default().trim_end_matches('Z');
    [
        job.id.to_string(),
        printable(created),
        printable(&job.status),
        number(job.frame_count),
        size.unwrap_or_else(|| "-".to_owned()),
        printable(&job.filename),
    ]
}

/// Show all properties of jobs.
pub(super) async fn show(context: &Context, arguments: &JobArguments) -> Result<()> {
    let mut results = Results::of(&context.bars, arguments.ids.len());
    for id in &arguments.ids {
        let shown = async {
            let job = context.client.job(*id).await?;
            let pretty = to_string_pretty(&job)?;
            context.print(&job, || pretty)
        };
        results.record(&id.to_string(), shown.await);
    }
    results.finish()
}
