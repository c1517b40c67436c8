//! `fiapx jobs`: list failed jobs, and queue them again.

use anyhow::{Context, Result, bail};
use chrono::SecondsFormat;
use database::operator::Requeue;
use database::quarantine::Quarantined;
use database::{Database, Job};
use jobs::{Clock, Excerpt, FailureCode, JobId, State};
use serde_json::json;
use storage::Storage;

use super::console::{print, print_error, runtime};
use crate::cli::{ConfiguredArguments, FailedArguments, RetryArguments};
use crate::parts::Parts;

/// List failed jobs, and count the dead letters.
pub(super) fn list_failed(arguments: &FailedArguments) -> Result<()> {
    let settings = arguments.configured.settings()?;
    let (jobs, dead_letters) = runtime()?.block_on(async {
        let database = Parts::existing_database(&settings, &Clock::default()).await?;
        let jobs = database.failed_jobs(arguments.code, arguments.limit.into()).await?;
        // An unreachable broker must not hide the jobs, so its error is reported after them.
        anyhow::Ok((jobs, Parts::dead_letters(&settings).await))
    })?;
    if arguments.json {
        let dead_letters: Option<serde_json::Map<_, _>> = dead_letters?.map(|queues| {
            queues.into_iter().map(|(queue, count)| (queue.to_owned(), count.into())).collect()
        });
        let jobs: Vec<_> = jobs.iter().map(as_json).collect();
        return print(&json!({ "jobs": jobs, "dead_letters": dead_letters }).to_string());
    }
    if jobs.is_empty() {
        print("no failed jobs")?;
    } else {
        as_table(&jobs).iter().try_for_each(|line| print(line))?;
    }
    match dead_letters? {
        Some(queues) => queues
            .into_iter()
            .try_for_each(|(queue, count)| print(&format!("{queue}: {count} dead letters"))),
        None => print(
            "dead letters: kept in the memory of the running process; see fiapx_queue_messages \
             at /metrics",
        ),
    }
}

/// List jobs whose rows cannot be read.
pub(super) fn list_quarantined(configured: &ConfiguredArguments) -> Result<()> {
    let settings = configured.settings()?;
    let jobs = runtime()?.block_on(async {
        let database = Parts::existing_database(&settings, &Clock::default()).await?;
        anyhow::Ok(database.quarantined().await?)
    })?;
    for Quarantined { id, reason, retry_at } in &jobs {
        let retry_at = retry_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        print(&format!(
            "{id}: {}; read again at {retry_at}",
            reason.replace(char::is_control, " ")
        ))?;
    }
    if jobs.is_empty() { print("all jobs can be read") } else { Ok(()) }
}

/// Queue jobs again. A job that cannot be queued is reported, and the others are continued with.
pub(super) fn retry(arguments: &RetryArguments) -> Result<()> {
    let settings = arguments.configured.settings()?;
    runtime()?.block_on(async {
        let clock = Clock::default();
        let database = Parts::existing_database(&settings, &clock).await?;
        let store = Parts::store(&settings, &clock).await?;
        let ids = match arguments.code {
            Some(code) => database.requeueable_jobs(code).await?,
            None => arguments.ids.clone(),
        };
        let mut rejected = 0;
        for id in &ids {
            match requeue(&database, &*store, *id).await? {
                None => print(&format!("{id}: queued"))?,
                Some(reason) => {
                    rejected += 1;
                    print_error(&format!("{id}: {reason}"));
                }
            }
        }
        if rejected > 0 {
            bail!("{rejected} of {} jobs cannot be queued again", ids.len());
        }
        if ids.is_empty() {
            print("no failed job matches whose video is still stored")
        } else {
            Ok(())
        }
    })
}

/// Queue one job again. Return the reason if that is not possible.
async fn requeue(database: &Database, store: &dyn Storage, id: JobId) -> Result<Option<String>> {
    if let Some(job) = database.job(id).await?
        && job.state == State::Failed
        && job.remote_source().is_none()
    {
        // The file may be missing without the database recording it, for example because of a
        // lifecycle rule of the bucket. Without it the job would only fail again.
        let key = job
            .video_path
            .parse()
            .with_context(|| format!("the database holds an invalid video key for job {id}"))?;
        match store.head(&key).await {
            Ok(_) => {}
            Err(storage::Error::NotFound { .. }) => {
                return Ok(Some("its video was removed and has to be uploaded again".to_owned()));
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{id}: cannot check whether its video exists"));
            }
        }
    }
    Ok(match database.requeue(id).await? {
        Requeue::Queued => None,
        Requeue::NotFailed(state) => Some(format!("it is {state}, not FAILED")),
        Requeue::Expired => {
            Some("it has expired; its video was removed and has to be uploaded again".to_owned())
        }
        Requeue::NotFound => Some("no such job".to_owned()),
    })
}

/// Titles of the columns of a table of jobs.
const TITLES: [&str; 7] = ["TIME", "JOB", "USER", "CODE", "ATTEMPTS", "FILE", "MESSAGE"];

/// Format jobs as the lines of a table with a header.
fn as_table(jobs: &[Job]) -> Vec<String> {
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(jobs.iter().map(as_row));
    let mut widths = [0; TITLES.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; TITLES.len()]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn as_row(job: &Job) -> [String; TITLES.len()] {
    let time = job.completed_at.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
    // Messages of decoders may contain line breaks.
    let message = job.error_message.as_deref().unwrap_or_default().replace(char::is_control, " ");
    [
        time.unwrap_or_default(),
        job.id.to_string(),
        job.user_id.to_string(),
        job.error_code.map_or("", FailureCode::name).to_owned(),
        job.attempt.to_string(),
        Excerpt::of(&job.filename).to_string(),
        message,
    ]
}

fn as_json(job: &Job) -> serde_json::Value {
    json!({
        "completed_at": job.completed_at,
        "filename": job.filename,
        "job_id": job.id,
        "user_id": job.user_id,
        "error_code": job.error_code,
        "attempts": job.attempt,
        "error_message": job.error_message,
        "expires_at": job.expires_at,
    })
}
