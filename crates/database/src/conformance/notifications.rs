//! Notifications of users.

use std::collections::HashSet;
use std::time::Duration;

use jobs::{JobId, State, TimeZone, UserId};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::case::Case;
use crate::address_changes::ProfileUpdate;
use crate::connection::Database;
use crate::mail_choice::MailChoice;
use crate::notifications::DueNotification;
use crate::rows::notification;

const HOLD: Duration = Duration::from_mins(1);

/// Take all due notifications.
async fn take(database: &Database) -> Vec<DueNotification> {
    database.take_notifications(100, HOLD).await.expect("the database answers")
}

/// Lines about the notifications of a job.
async fn lines(case: &Case, id: JobId) -> Vec<String> {
    case.lines(id).await.into_iter().filter(|line| line.starts_with("notification")).collect()
}

pub(super) async fn are_created_once(case: &Case) {
    let id = case.job_in(State::Done).await;
    let before = case.rows().await;
    let done = case.run_concurrently(20, move |_, database| async move {
        database.create_notification(id, "job.completed").await
    });
    for result in done.await {
        result.expect("a repetition has no effect");
    }
    assert_eq!(lines(case, id).await, ["notification job.completed PENDING attempts=0"]);
    let first = case.rows().await;
    case.database
        .create_notification(id, "job.completed")
        .await
        .expect("a repetition has no effect");
    assert_eq!(case.rows().await, first);
    assert_eq!(
        (first.jobs, first.events, first.outbox),
        (before.jobs, before.events, before.outbox)
    );

    let neighbor = case.job_in(State::Failed).await;
    let due = take(&case.database).await;
    let due = due.iter().find(|due| due.job.id == id).expect("a notification is due");
    case.database.mark_notifications_sent(&due.rows).await.expect("the database answers");
    case.database
        .create_notification(id, "job.completed")
        .await
        .expect("a repetition has no effect");
    assert_eq!(lines(case, id).await, ["notification job.completed SENT attempts=1 sent=yes"]);
    assert!(take(&case.database).await.is_empty(), "no user is notified twice");

    case.database
        .create_notification(id, "job.expired")
        .await
        .expect("another outcome has its own notification");
    case.database
        .create_notification(neighbor, "job.failed")
        .await
        .expect("another job has its own notification");
    case.database
        .create_notification(JobId::generate(), "job.failed")
        .await
        .expect("an event of a deleted job is ignored");
    assert_eq!(case.rows().await.notifications.len(), 3);
}

pub(super) async fn are_held_and_sent(case: &Case) {
    let id = case.job_in(State::Done).await;
    let row = case.rows().await.notifications.remove(0);
    for attempts in 1..=2 {
        let [due] = &take(&case.database).await[..] else { panic!("one notification is due") };
        assert_eq!((due.id, due.attempts, due.created_at), (row.id, attempts, row.created_at));
        assert_eq!(
            Some(&due.job),
            case.database.job(id).await.expect("the database answers").as_ref()
        );
        assert_eq!(
            Some(&due.user),
            case.database.user(due.job.user_id).await.expect("the database answers").as_ref()
        );
        case.advance(59);
        assert!(take(&case.other).await.is_empty(), "another process holds it");
        case.advance(1);
    }
    let neighbor = case.job_in(State::Done).await;
    case.database.mark_notifications_sent(&[row.id]).await.expect("the database answers");
    case.advance(3600);
    assert_eq!(
        take(&case.database).await.iter().map(|due| due.job.id).collect::<Vec<_>>(),
        [neighbor]
    );
    assert_eq!(lines(case, id).await, ["notification job.completed SENT attempts=2 sent=yes"]);
}

pub(super) async fn fail_permanently(case: &Case) {
    let id = case.job_in(State::Failed).await;
    let failed = async |mail: Uuid, pause| {
        case.database
            .record_notifications_failure(&[mail], "no route to host", pause)
            .await
            .expect("the database answers");
    };
    let [due] = &take(&case.database).await[..] else { panic!("one notification is due") };
    failed(due.id, Some(Duration::from_mins(5))).await;
    assert_eq!(
        lines(case, id).await,
        ["notification job.failed PENDING attempts=1 error=no route to host"]
    );
    case.advance(5 * 60 - 1);
    assert!(take(&case.database).await.is_empty(), "the pause has not ended");
    case.advance(1);
    let [due] = &take(&case.database).await[..] else { panic!("the pause has ended") };
    assert_eq!(due.attempts, 2);
    let neighbor = case.job_in(State::Failed).await;
    failed(due.id, None).await;
    assert_eq!(
        lines(case, id).await,
        ["notification job.failed FAILED attempts=2 error=no route to host"]
    );
    assert_eq!(lines(case, neighbor).await, ["notification job.failed PENDING attempts=0"]);
    case.advance(24 * 60 * 60);
    let due: Vec<_> = take(&case.database).await.iter().map(|due| due.job.id).collect();
    assert_eq!(due, [neighbor], "a failed notification is kept, but not sent");
}

pub(super) async fn respect_the_limit(case: &Case) {
    // With statistics that describe the table as almost empty, PostgreSQL plans the query in a way
    // in which the limit could fail.
    let mut jobs = Vec::new();
    for number in 0..9 {
        jobs.push(case.job_in(State::Cancelled).await);
        case.database
            .create_notification(jobs[number], "job.cancelled")
            .await
            .expect("the database answers");
        if number == 0 {
            case.database
                .write
                .execute_unprepared("ANALYZE notifications")
                .await
                .expect("the statistics are updated");
        }
    }
    for expected in jobs.chunks(4) {
        let taken = case.database.take_notifications(4, HOLD).await.expect("the database answers");
        assert_eq!(sorted(taken.iter().map(|due| due.job.id).collect()), expected);
    }
}

fn sorted(mut jobs: Vec<JobId>) -> Vec<JobId> {
    jobs.sort_unstable();
    jobs
}

pub(super) async fn are_taken_once(case: &Case) {
    for _ in 0..30 {
        let id = case.job_in(State::Cancelled).await;
        case.database.create_notification(id, "job.cancelled").await.expect("the database answers");
    }
    let taken = case.run_concurrently(6, |_, database| async move {
        let mut all: Vec<Uuid> = Vec::new();
        loop {
            let taken = database.take_notifications(4, HOLD).await.expect("the database answers");
            assert!(taken.len() <= 4, "the limit is respected");
            if taken.is_empty() {
                return all;
            }
            all.extend(taken.iter().map(|due| due.id));
            assert!(all.len() <= 30, "each is taken once");
        }
    });
    let mut taken = taken.await.concat();
    taken.extend(take(&case.database).await.iter().map(|due| due.id));
    assert_eq!(taken.len(), 30);
    assert_eq!(taken.into_iter().collect::<HashSet<_>>().len(), 30);
}

/// Let a user choose the mails about jobs.
async fn choose(case: &Case, user: UserId, mails: MailChoice) {
    let change = ProfileUpdate { mails: Some(mails), ..ProfileUpdate::default() };
    let updated = case.database.update_profile(user, change).await.expect("the database answers");
    assert_eq!(updated.map(|user| user.mails), Some(mails));
}

/// User of a job.
async fn owner(case: &Case, id: JobId) -> UserId {
    let job = case.database.job(id).await.expect("the database answers");
    job.expect("the job exists").user_id
}

/// Ids of the jobs that a mail reports, sorted.
fn reported(due: &DueNotification) -> Vec<JobId> {
    sorted(due.others.iter().chain([&due.job]).map(|job| job.id).collect())
}

pub(super) async fn respect_the_choice(case: &Case) {
    let first = case.job_in(State::Done).await;
    let user = owner(case, first).await;
    // One that is not sent yet is dropped with the choice, but not the row of another user.
    choose(case, user, MailChoice::Failures).await;
    assert!(take(&case.database).await.is_empty());
    assert_eq!(lines(case, first).await, [""; 0]);
    let done = case.job_of(user, State::Done).await;
    assert_eq!(lines(case, done).await, [""; 0]);
    let failed = case.job_of(user, State::Failed).await;
    assert_eq!(
        take(&case.database).await.iter().map(|due| due.job.id).collect::<Vec<_>>(),
        [failed]
    );

    choose(case, user, MailChoice::None).await;
    let silent = case.job_of(user, State::Failed).await;
    // A message about the outcome does not create what the user does not want.
    let created = case.database.create_notification(silent, "job.failed").await;
    created.expect("the database answers");
    assert_eq!(lines(case, silent).await, [""; 0]);
    let neighbor = case.job_in(State::Done).await;
    assert_eq!(
        take(&case.database).await.iter().map(|due| due.job.id).collect::<Vec<_>>(),
        [neighbor]
    );
}

pub(super) async fn form_digests(case: &Case) {
    let user = case.user().await;
    choose(case, user, MailChoice::Digest).await;
    let mut jobs = vec![case.job_of(user, State::Done).await];
    case.advance(60);
    jobs.push(case.job_of(user, State::Failed).await);
    case.advance(59);
    assert!(take(&case.database).await.is_empty(), "the window has not ended");
    jobs.push(case.job_of(user, State::Done).await);
    let neighbor = case.job_in(State::Done).await;
    case.advance(1);
    let taken = take(&case.database).await;
    let (mine, others): (Vec<_>, Vec<_>) = taken.iter().partition(|due| due.user.id == user);
    assert_eq!(others.iter().map(|due| due.job.id).collect::<Vec<_>>(), [neighbor]);
    let [digest] = &mine[..] else { panic!("one mail: {mine:?}") };
    assert_eq!(reported(digest), sorted(jobs.clone()));
    case.database.mark_notifications_sent(&others[0].rows).await.expect("the database answers");

    // Another attempt reports the same, and the next outcome belongs to the next mail.
    let pause = Some(Duration::from_mins(5));
    let failed = case.database.record_notifications_failure(&digest.rows, "no route", pause).await;
    failed.expect("the database answers");
    let later = case.job_of(user, State::Done).await;
    case.advance(4 * 60);
    let [next] = &take(&case.database).await[..] else { panic!("one mail") };
    assert_eq!(reported(next), [later]);
    case.database.mark_notifications_sent(&next.rows).await.expect("the database answers");
    case.advance(60);
    let [again] = &take(&case.other).await[..] else { panic!("one mail") };
    assert_eq!((again.id, reported(again)), (digest.id, sorted(jobs.clone())));
    assert_eq!(again.attempts, 2);
    case.database.mark_notifications_sent(&again.rows).await.expect("the database answers");
    for id in jobs {
        assert!(lines(case, id).await[0].contains(" SENT "), "{:?}", lines(case, id).await);
    }
    case.advance(24 * 60 * 60);
    assert!(take(&case.database).await.is_empty());
}

pub(super) async fn outlive_the_head_of_a_digest(case: &Case) {
    let user = case.user().await;
    choose(case, user, MailChoice::Digest).await;
    let jobs = [case.job_of(user, State::Done).await, case.job_of(user, State::Done).await];
    case.advance(120);
    let [digest] = &take(&case.database).await[..] else { panic!("one mail") };
    let head = digest.job.id;
    let pause = Some(Duration::from_mins(1));
    let failed = case.database.record_notifications_failure(&digest.rows, "no route", pause).await;
    failed.expect("the database answers");
    let deleted = notification::Entity::delete_many()
        .filter(notification::Column::JobId.eq(head.0))
        .exec(&case.database.write)
        .await;
    assert_eq!(deleted.expect("the database answers").rows_affected, 1);
    case.advance(60);
    let [rest] = &take(&case.database).await[..] else { panic!("one mail") };
    assert_eq!(rest.id, digest.id, "the mail keeps its id");
    assert_eq!(reported(rest), jobs.into_iter().filter(|job| *job != head).collect::<Vec<_>>());
}

pub(super) async fn are_ended_by_a_secret(case: &Case) {
    let id = case.job_in(State::Done).await;
    let (user, neighbor) = (owner(case, id).await, case.user().await);
    let secret = async |user| {
        let secret = case.database.unsubscribe_secret(user).await.expect("the database answers");
        secret.expect("the user exists")
    };
    let (first, other) = (secret(user).await, secret(neighbor).await);
    assert_eq!(first, secret(user).await, "it stays the same");
    assert!(first != other && first.len() == 32, "{first}");
    let unknown = UserId::generate();
    let none = case.database.unsubscribe_secret(unknown).await.expect("the database answers");
    assert_eq!(none, None);
    for wrong in ["", "0", &first[1..]] {
        let ended = case.database.unsubscribe(wrong).await.expect("the database answers");
        assert_eq!(ended, None, "{wrong}");
    }
    for _ in 0..2 {
        let ended = case.other.unsubscribe(&first).await.expect("the database answers");
        assert_eq!(ended, Some(user));
    }
    assert!(take(&case.database).await.is_empty());
    let account = case.database.user(neighbor).await.expect("the database answers");
    assert_eq!(account.expect("the user exists").mails, MailChoice::Each);
    let zone = TimeZone::from_name("America/Sao_Paulo");
    let change = ProfileUpdate { time_zone: zone, ..ProfileUpdate::default() };
    let updated = case.database.update_profile(user, change).await.expect("the database answers");
    let updated = updated.expect("the user exists");
    assert_eq!((updated.time_zone, updated.mails), (zone, MailChoice::None));
}
