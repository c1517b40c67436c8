//! Deletion of users.

use std::time::Duration;

use jobs::{JobId, State, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use super::case::{Case, accept, archive, video};
use super::counters;
use super::keys::key_of;
use crate::accept::Accepted;
use crate::rows::{
    accepted_job, api_key, idempotency_key, job, job_share, past_job, recovery_code, refresh_token,
    second_factor, user_usage, webhook, webhook_delivery,
};
use crate::webhooks::{Destination, WebhookEvent};

/// Give a user rows in all tables: jobs that wait, run, and are done, one of which is in the
/// history, an upload, a session, a second factor and a key.
async fn fill(case: &Case, user: UserId) -> JobId {
    let accepted = accept(&case.database, user, &[video()], Some("key"), None).await;
    accepted.expect("the videos are accepted");
    let (past, done) = (case.queued_for(user).await, case.queued_for(user).await);
    for id in [past, done] {
        let claim = case.claim(id).await;
        let finished = case.database.finish(&claim, &archive(&claim)).await;
        finished.expect("the database answers");
    }
    job::Entity::update_many()
        .col_expr(job::Column::ExpiresAt, Expr::value(case.clock.now() - Duration::from_hours(1)))
        .filter(job::Column::Id.eq(past.0))
        .exec(&case.database.write)
        .await
        .expect("the job is changed");
    super::case::expire(&case.database).await.expect("the database answers");
    case.database.mark_files_removed(past).await.expect("the database answers");
    case.database.move_to_history(Duration::ZERO).await.expect("the database answers");
    super::shares::share(case, done, &format!("share of {user}"), 1).await;
    let running = case.queued_for(user).await;
    case.claim(running).await;
    let upload = JobId::generate();
    let key = format!("videos/{user}/{upload}/input.mp4");
    case.database.begin_upload(user, upload, &key, 0..=0).await.expect("the upload is recorded");
    let token = user.to_string();
    case.open_session(user, &token).await;
    let verified = case.user_with(user).await;
    let begun = case.database.begin_second_factor(&verified, "secret").await;
    assert!(begun.expect("the database answers"));
    let on = case.database.enable_second_factor(user, "secret", 1, vec![token.clone()]).await;
    assert!(on.expect("the database answers"));
    key_of(case, user, &token).await;
    let destination = Destination { url: "https://hooks.example/", host: "hooks.example" };
    let (events, secret) = ([WebhookEvent::Failed], "whsec_c2VjcmV0".to_owned().into());
    let webhook = case.database.create_webhook(user, destination, &events, &secret, 1).await;
    let webhook = webhook.expect("the database answers").expect("the user exists");
    case.database.test_webhook(&webhook, destination.host).await.expect("a test");
    running
}

/// Numbers of rows of a user, by table.
async fn rows(case: &Case, user: UserId) -> Vec<u64> {
    let read = &case.other.read;
    macro_rules! count {
        ($($table:ident),*) => {
            vec![$(
                $table::Entity::find()
                    .filter($table::Column::UserId.eq(user.0))
                    .count(read)
                    .await
                    .expect("rows can be counted"),
            )*]
        };
    }
    count!(
        job,
        job_share,
        past_job,
        refresh_token,
        idempotency_key,
        second_factor,
        recovery_code,
        api_key,
        user_usage,
        accepted_job,
        webhook,
        webhook_delivery
    )
}

pub(super) async fn leaves_no_rows(case: &Case) {
    let (user, neighbor) = (case.user().await, case.user().await);
    let running = fill(case, user).await;
    fill(case, neighbor).await;
    case.database.add_up_changes().await.expect("the database answers");
    assert_eq!(rows(case, user).await, [3, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 1]);
    let claim = case.database.job(running).await.expect("the database answers");
    assert_eq!(claim.expect("it exists").state, State::Processing);
    let before = rows(case, neighbor).await;

    let deleted = case.database.delete_user(user).await.expect("the database answers");
    let deleted = deleted.expect("the user exists");
    assert_eq!((deleted.user.id, deleted.jobs), (user, 3));
    counters::check(case, "the jobs are subtracted").await;
    case.database.add_up_changes().await.expect("the database answers");
    counters::check(case, "the changes are added up").await;
    assert_eq!(rows(case, user).await, [0; 12]);
    assert_eq!(rows(case, neighbor).await, before);
    let rows = case.rows().await;
    assert!(!rows.outbox.iter().any(|row| row.message.contains(&user.to_string())));
    assert!(rows.outbox.iter().any(|row| row.message.contains(&neighbor.to_string())));
    let hold = Duration::from_mins(1);
    let abandoned = case.database.take_abandoned_uploads(10, hold).await;
    let abandoned = abandoned.expect("the database answers");
    // The upload, three videos, and the archive of the job that is done.
    assert_eq!(abandoned.len(), 5, "the upload of the neighbor continues: {abandoned:?}");
    let of_user = abandoned.iter().filter(|upload| upload.key.contains(&user.to_string()));
    assert_eq!(of_user.count(), 1, "{abandoned:?}");
    assert_eq!(case.database.user(user).await.expect("the database answers"), None);
    assert_eq!(case.database.delete_user(user).await.expect("the database answers"), None);
}

/// An upload that was in progress does not become a job, so that its file is deleted.
pub(super) async fn refuses_uploads_in_progress(case: &Case) {
    let (user, before, after) = (case.user().await, video(), video());
    let begin = async |video: &crate::accept::Video| {
        let begun = case.database.begin_upload(user, video.id, &video.path, 0..=0).await;
        begun.expect("the upload is recorded");
    };
    begin(&before).await;
    let deleted = case.database.delete_user(user).await.expect("the database answers");
    assert!(deleted.is_some());
    // Another file of the same form.
    begin(&after).await;
    for video in [before, after] {
        let accepted = case.database.accept(user, &[video], None, None).await;
        assert!(matches!(accepted, Ok(Accepted::Abandoned)), "{accepted:?}");
    }
    assert!(case.rows().await.jobs.is_empty());
}

pub(super) async fn takes_running_jobs_from_their_workers(case: &Case) {
    let user = case.user().await;
    let id = case.queued_for(user).await;
    let claim = case.claim(id).await;
    let deleted = case.database.delete_user(user).await.expect("the database answers");
    assert!(deleted.is_some());
    let finished = case.database.finish(&claim, &archive(&claim)).await;
    assert_eq!(finished.expect("the database answers"), jobs::AttemptOutcome::Lost);
    assert!(case.rows().await.jobs.is_empty());
}
