//! `fiapx remote again`, `cancel` and `delete`.

use anyhow::Result;
use serde_json::json;

use super::bars::printable;
use super::context::Context;
use super::failures::Results;
use crate::cli::{AgainArguments, JobArguments};

/// Process videos again.
pub(super) async fn process_again(context: &Context, arguments: &AgainArguments) -> Result<()> {
    let recipe = arguments.recipe.chosen()?;
    let mut results = Results::of(&context.bars, arguments.ids.len());
    for id in &arguments.ids {
        let created = async {
            let video = context.client.process_again(*id, recipe.as_ref()).await?;
            let line = || format!("{} {}: queued", video.job_id, printable(&video.filename));
            context.print(&video, line)
        };
        results.record(&id.to_string(), created.await);
    }
    results.finish()
}

/// Cancel jobs.
pub(super) async fn cancel(context: &Context, arguments: &JobArguments) -> Result<()> {
    let mut results = Results::of(&context.bars, arguments.ids.len());
    for id in &arguments.ids {
        let cancelled = async {
            let job = context.client.cancel(*id).await?;
            context.print(&job, || format!("{id} {}: cancelled", printable(&job.filename)))
        };
        results.record(&id.to_string(), cancelled.await);
    }
    results.finish()
}

/// Delete jobs.
pub(super) async fn delete(context: &Context, arguments: &JobArguments) -> Result<()> {
    let mut results = Results::of(&context.bars, arguments.ids.len());
    for id in &arguments.ids {
        let deleted = async {
            context.client.delete(*id).await?;
            context.print(&json!({ "job_id": id, "deleted": true }), || format!("{id}: deleted"))
        };
        results.record(&id.to_string(), deleted.await);
    }
    results.finish()
}
