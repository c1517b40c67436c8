//! `fiapx remote watch`: follow jobs until they are finished.

use anyhow::{Result, bail};
use futures_util::{StreamExt, stream};
use indicatif::DecimalBytes;
use jobs::JobId;
use remote::{Event, Job};

use super::bars::printable;
use super::context::Context;
use super::failures::Results;
use crate::cli::WatchArguments;

/// Maximum number of jobs that are followed at a time. The service limits the streams of a user.
pub(super) const AT_ONCE: usize = 16;

/// Maximum number of unfinished jobs that are followed if none is named.
const MAX_JOBS: usize = 1000;

/// Follow jobs.
pub(super) async fn watch(context: &Context, arguments: &WatchArguments) -> Result<()> {
    let mut ids = arguments.ids.clone();
    if ids.is_empty() {
        for status in ["PROCESSING", "QUEUED"] {
            let unfinished = context.client.jobs(Some(status), MAX_JOBS).await?;
            ids.extend(unfinished.into_iter().map(|job| job.id));
        }
        ids.sort_unstable();
    }
    ids.dedup();
    let mut results = Results::of(&context.bars, ids.len());
    let mut watched = stream::iter(ids)
        .map(|id| async move { (id, watch_one(context, id).await) })
        .buffer_unordered(AT_ONCE);
    while let Some((id, result)) = watched.next().await {
        results.record(&id.to_string(), result);
    }
    results.finish()
}

/// Follow a job, and print its events as JSON or its result as a line.
async fn watch_one(context: &Context, id: JobId) -> Result<()> {
    let name = id.to_string();
    let job = follow(context, id, &name, |event| {
        if context.json {
            // A closed standard output ends the command when the job is finished.
            let _ = context.bars.print(&event.json.to_string());
        }
    });
    let job = job.await?;
    if !context.json && job.status == "DONE" {
        context.bars.print(&done(&job))?;
    }
    check(&job)
}

/// Follow a job until it is finished.
pub(super) async fn follow(
    context: &Context,
    id: JobId,
    name: &str,
    observe: impl Fn(&Event) + Sync,
) -> Result<Job> {
    let bar = context.bars.frames(name);
    let observe = |event: &Event| {
        bar.show_event(event);
        observe(event);
    };
    Ok(context.client.follow(id, &observe, &|step| bar.show(&step)).await?)
}

/// Line about a job that is done.
pub(super) fn done(job: &Job) -> String {
    let frames = job.frame_count.unwrap_or(job.progress.done);
    let size = DecimalBytes(job.zip_size_bytes.unwrap_or(0));
    format!("{} {}: {frames} frames, {size}", job.id, printable(&job.filename))
}

/// Return an error if a finished job has no archive.
pub(super) fn check(job: &Job) -> Result<()> {
    let code = job.error_code.as_deref().unwrap_or("UNKNOWN");
    match job.status.as_str() {
        "DONE" => Ok(()),
        "FAILED" => {
            let message = job.error_message.as_deref().unwrap_or("the service states no reason");
            bail!("processing failed: {} ({code})", printable(message))
        }
        status => bail!("the job has no archive: it is {status}"),
    }
}
