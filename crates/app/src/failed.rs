//! `fiapx jobs`: what failed for good, and back to the workers with it.

use std::io::Write;

use anyhow::{Context, Result, bail};
use app::Parts;
use database::operator::Requeue;
use database::{Database, Job};
use jobs::{Clock, JobId};
use serde_json::json;
use storage::Storage;

use crate::cli::{FailedArguments, RetryArguments};
use crate::run::{runtime, say};

/// List the jobs that failed, and count dead letters.
pub fn list(arguments: &FailedArguments) -> Result<()> {
    let settings = arguments.configured.settings()?;
    let (jobs, letters) = runtime()?.block_on(async {
        let database = Parts::existing_database(&settings, &Clock::default()).await?;
        let jobs = database.failed_jobs(arguments.code, arguments.limit.into()).await?;
        // The database is the truth, also while the broker is away.
        anyhow::Ok((jobs, Parts::dead_letters(&settings).await))
    })?;
    if arguments.json {
        let letters: Option<serde_json::Map<_, _>> = letters?.map(|queues| {
            queues.into_iter().map(|(queue, count)| (queue.to_owned(), count.into())).collect()
        });
        return say(&json!({ "jobs": jobs.iter().map(as_json).collect::<Vec<_>>(), "dead_letters": letters }).to_string());
    }
    for job in &jobs {
        say(&as_line(job))?;
    }
    match letters? {
        Some(queues) => queues
            .into_iter()
            .try_for_each(|(queue, count)| say(&format!("{queue}: {count} dead letters"))),
        None => say(
            "dead letters are in the memory of the process that runs: see fiapx_queue_messages at /metrics",
        ),
    }
}

/// Put jobs back; each that cannot be is named, and the others go on.
pub fn retry(arguments: &RetryArguments) -> Result<()> {
    let settings = arguments.configured.settings()?;
    runtime()?.block_on(async {
        let clock = Clock::default();
        let database = Parts::existing_database(&settings, &clock).await?;
        let store = Parts::store(&settings, &clock).await?;
        let ids = match arguments.code {
            Some(code) => database.requeueable_jobs(code).await?,
            None => arguments.ids.clone(),
        };
        let mut refused = 0;
        for id in &ids {
            match put_back(&database, &*store, *id).await? {
                None => say(&format!("{id}: waits for a worker"))?,
                Some(refusal) => {
                    refused += 1;
                    // Whoever closed the error output does not want to know.
                    let _ = writeln!(std::io::stderr(), "{id}: {refusal}");
                }
            }
        }
        if refused > 0 {
            bail!("{refused} of {} jobs cannot be put back", ids.len());
        }
        if ids.is_empty() { say("no such job failed whose video is still kept") } else { Ok(()) }
    })
}

/// Put one job back, unless its video is gone, or say why not.
async fn put_back(database: &Database, store: &dyn Storage, id: JobId) -> Result<Option<String>> {
    if let Some(job) = database.job(id).await?
        && job.state == jobs::State::Failed
    {
        // Somebody may have removed the file without telling us: without it, the job would only
        // fail once more.
        let key = job
            .video_path
            .parse()
            .with_context(|| format!("the database holds no key of a video for job {id}"))?;
        match store.head(&key).await {
            Ok(_) => {}
            Err(storage::Error::NotFound { .. }) => {
                return Ok(Some("its video is removed; it has to be uploaded again".to_owned()));
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{id}: whether its video is there cannot be told"));
            }
        }
    }
    Ok(match database.requeue(id).await? {
        Requeue::Queued => None,
        Requeue::NotFailed(state) => Some(format!("it has not failed but is {state}")),
        Requeue::Expired => {
            Some("its time is over and its video removed; it has to be uploaded again".to_owned())
        }
        Requeue::NotFound => Some("there is no such job".to_owned()),
    })
}

/// Time, job, user, code, attempts, message.
fn as_line(job: &Job) -> String {
    let time = job
        .completed_at
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        .unwrap_or_default();
    let code = job.error_code.map_or("", jobs::FailureCode::name);
    // One line, whatever the decoder said.
    let message = job.error_message.as_deref().unwrap_or_default().replace(char::is_control, " ");
    format!("{time} {} {} {code} {} {message}", job.id, job.user_id, job.attempt)
}

fn as_json(job: &Job) -> serde_json::Value {
    json!({
        "completed_at": job.completed_at,
        "job_id": job.id,
        "user_id": job.user_id,
        "error_code": job.error_code,
        "attempts": job.attempt,
        "error_message": job.error_message,
        "expires_at": job.expires_at,
    })
}
