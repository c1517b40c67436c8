//! Rows of a later version, with which this version runs while processes are replaced.

use std::time::Duration;

use jobs::{AttemptOutcome, FailureCode, JobId, State, StoredRecipe};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::Value;

use super::case::{Case, archive, claim_next, expire, reap};
use super::outbox::{HOLD, publish_all, take};
use crate::operator::Requeue;
use crate::reading::Page;
use crate::rows::{job, outbox};

/// Recipe that this version does not know.
const RECIPE: &str = r#"{"crop":10,"image":{"format":"avif"}}"#;

/// Set the recipe of a job.
async fn set_recipe(case: &Case, id: JobId, recipe: &str) {
    job::Entity::update_many()
        .col_expr(job::Column::Recipe, Expr::value(recipe))
        .filter(job::Column::Id.eq(id.0))
        .exec(&case.database.write)
        .await
        .expect("the recipe is changed");
}

/// Create a queued job with a recipe of a later version.
async fn queued(case: &Case) -> JobId {
    let id = case.queued().await;
    set_recipe(case, id, RECIPE).await;
    id
}

fn assert_unknown(recipe: &StoredRecipe) {
    assert_eq!((recipe.known(), recipe.to_json().to_string()), (None, RECIPE.to_owned()));
}

pub(super) async fn recipes_are_read_and_kept(case: &Case) {
    let (user, failed) = (case.user().await, case.job_in(State::Failed).await);
    let ids = [case.queued_for(user).await, case.queued_for(user).await];
    for id in [failed, ids[0]] {
        set_recipe(case, id, RECIPE).await;
    }
    let page = Page { limit: 10, ..Page::default() };
    let listed = case.database.list_jobs(user, &page).await.expect("the database answers");
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[1], ids[0]]);
    assert_eq!(listed[0].recipe, StoredRecipe::default());
    assert_unknown(&listed[1].recipe);
    let watched = case.database.jobs_by_id(&ids).await.expect("the database answers");
    assert_eq!(watched.len(), 2);
    let failures = case.database.failed_jobs(None, 10).await.expect("the database answers");
    assert_unknown(&failures[0].recipe);

    let cancelled = case.database.cancel(ids[0], State::Queued).await;
    assert_unknown(&cancelled.expect("the database answers").expect("it is queued").recipe);
    publish_all(case).await;
    let requeued = case.database.requeue(failed).await.expect("the database answers");
    assert_eq!(requeued, Requeue::Queued);
    let messages = case.database.take_outgoing(10, HOLD).await.expect("the database answers");
    let [created] = &messages[..] else { panic!("{messages:?}") };
    let message: Value = serde_json::from_str(&created.message.json).expect("a message is JSON");
    assert_eq!(message["payload"]["recipe"].to_string(), RECIPE);
}

pub(super) async fn recipes_do_not_stop_maintenance(case: &Case) {
    let running = [case.job_in(State::Processing).await, case.job_in(State::Processing).await];
    let done = case.job_in(State::Done).await;
    let waiting = case.queued().await;
    for id in [running[0], done, waiting] {
        set_recipe(case, id, RECIPE).await;
    }
    publish_all(case).await;
    case.advance(61);
    let reaped = reap(&case.database).await.expect("the database answers");
    assert_eq!(reaped, [AttemptOutcome::Retrying; 2]);
    let waited = Duration::from_mins(1);
    let announced = case.database.announce_lost(waited, true).await;
    assert_eq!(announced.expect("the database answers"), 1);
    case.clock.advance(case.database.rules().retention);
    let expired = expire(&case.database).await.expect("the database answers");
    assert_eq!(expired.iter().map(|job| job.id).collect::<Vec<_>>(), [done]);
}

pub(super) async fn recipes_are_left_to_later_workers(case: &Case) {
    let id = queued(case).await;
    let claim = async || claim_next(&case.database, id, "w").await;
    let job = case.rows().await.job(id).clone();
    for _ in 0..3 {
        assert!(claim().await.is_none(), "even if the message is delivered several times");
    }
    publish_all(case).await;
    let rows = case.rows().await;
    assert_eq!(*rows.job(id), job, "neither an attempt nor a failure");
    assert_eq!(rows.events.len(), 2);
    assert_eq!(rows.outbox.len(), 1, "one message replaces the delivered one");
    let since = case.database.unpublished_since().await.expect("the database answers");
    assert_eq!(since, None, "the message is not overdue");
    assert_eq!(take(&case.database, 10).await, []);

    for _ in 0..3 {
        case.advance(60);
        let taken = case.database.take_outgoing(10, HOLD).await.expect("the database answers");
        assert_eq!(taken.iter().map(|row| row.message.job_id).collect::<Vec<_>>(), [id]);
        assert!(claim().await.is_none());
        case.database.mark_published([taken[0].id]).await.expect("the database answers");
        assert_eq!(case.rows().await.outbox.len(), 1, "one message replaces the delivered one");
        assert_eq!(take(&case.database, 10).await, [], "after a pause");
    }

    // After a restart, the message is due before its time.
    case.database.release_holds().await.expect("the database answers");
    let taken = case.database.take_outgoing(10, HOLD).await.expect("the database answers");
    assert!(claim().await.is_none());
    case.database.mark_published([taken[0].id]).await.expect("the database answers");
    assert_eq!(case.rows().await.outbox.len(), 1);

    // A later version knows the recipe.
    set_recipe(case, id, r#"{"select":{"every":"1/2"}}"#).await;
    let claim = claim().await.expect("the job can be claimed");
    assert_eq!((claim.job.attempt, claim.job.fence), (1, 1));
    let finished = case.database.finish(&claim, &archive(&claim)).await;
    assert_eq!(finished.expect("the database answers"), AttemptOutcome::Completed);

    // The pause before another attempt is kept.
    let retried = case.queued().await;
    let claim = case.claim(retried).await;
    let failed = case.database.fail(&claim, FailureCode::StorageError, "no answer").await;
    assert_eq!(failed.expect("the database answers"), AttemptOutcome::Retrying);
    set_recipe(case, retried, RECIPE).await;
    case.advance(30);
    let before = case.rows().await.job(retried).clone();
    assert!(claim_next(&case.database, retried, "w").await.is_none());
    assert_eq!(*case.rows().await.job(retried), before);
}

pub(super) async fn messages_are_forwarded_unchanged(case: &Case) {
    let texts = [r#"{"event_type":"job.moved","payload":{}}"#, "not JSON"];
    let mut ids = Vec::new();
    for text in texts {
        let id = case.queued().await;
        outbox::Entity::update_many()
            .col_expr(outbox::Column::Message, Expr::value(text))
            .filter(outbox::Column::JobId.eq(id.0))
            .exec(&case.database.write)
            .await
            .expect("the message is changed");
        ids.push(id);
        case.advance(1);
    }
    let readable = case.queued().await;
    let taken = case.database.take_outgoing(10, HOLD).await.expect("the database answers");
    assert_eq!(
        taken.iter().map(|row| row.message.json.as_str()).take(2).collect::<Vec<_>>(),
        texts
    );
    ids.push(readable);
    assert_eq!(taken.iter().map(|row| row.message.job_id).collect::<Vec<_>>(), ids);
    assert!(taken[2].message.decode().is_ok());
}
