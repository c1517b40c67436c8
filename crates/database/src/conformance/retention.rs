//! What is over.

use std::time::Duration;

use jobs::{FailureCode, JobId, State};

use super::case::{Case, archive, video};
use crate::Database;
use crate::accept::Accepted;
use crate::rows::refresh_token;
use crate::sessions::Rotation;
use sea_orm::{EntityTrait, PaginatorTrait};

const DAY: u64 = 24 * 60 * 60;

/// Expire what is over: the jobs whose files have to go.
async fn expire(database: &Database) -> Vec<JobId> {
    let mut jobs: Vec<JobId> =
        database.expire().await.expect("the database answers").iter().map(|job| job.id).collect();
    jobs.sort_unstable();
    jobs
}

pub(super) async fn expires_archives(case: &Case) {
    let id = case.queued().await;
    case.pass(5 * DAY);
    let claim = case.claim(id).await;
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    case.pass(7 * DAY - 60);
    let mut lines = case.lines(id).await;
    assert_eq!(expire(&case.database).await, [], "the seven days begin with the archive");
    assert_eq!(case.lines(id).await, lines);

    case.pass(60);
    lines[0] = lines[0].replace("DONE", "EXPIRED");
    lines.insert(5, "event DONE EXPIRED".to_owned());
    for _ in 0..2 {
        let over = case.database.expire().await.expect("the database answers");
        let over: Vec<_> = over.iter().map(|job| (job.id, job.state)).collect();
        assert_eq!(over, [(id, State::Expired)], "until its files are gone");
        assert_eq!(case.lines(id).await, lines, "nobody is told of it");
    }
    case.database.mark_files_removed(id).await.expect("the database answers");
    lines[0] = lines[0].replace("files=7d", "files=removed");
    assert_eq!(expire(&case.database).await, []);
    assert_eq!(case.lines(id).await, lines);
}

pub(super) async fn removes_files_of_the_others(case: &Case) {
    let (waits, runs) = (case.job_in(State::Queued).await, case.job_in(State::Processing).await);
    let ended = [case.job_in(State::Failed).await, case.job_in(State::Cancelled).await];
    case.pass(7 * DAY - 60);
    assert_eq!(expire(&case.database).await, []);
    case.pass(60);
    let before = case.rows().await;
    assert_eq!(expire(&case.database).await, ended);
    assert_eq!(case.rows().await, before, "they stay what they are");
    case.database.mark_files_removed(ended[0]).await.expect("the database answers");
    assert_eq!(expire(&case.database).await, ended[1..]);
    case.database.mark_files_removed(ended[1]).await.expect("the database answers");
    assert_eq!(expire(&case.database).await, []);

    // However long a job waits or runs, its video is kept.
    case.pass(30 * DAY);
    assert_eq!(expire(&case.database).await, []);
    case.database
        .cancel(runs, State::Processing)
        .await
        .expect("the database answers")
        .expect("the job runs");
    assert_eq!(expire(&case.database).await, [], "the seven days begin with its end");
    case.pass(7 * DAY);
    assert_eq!(expire(&case.database).await, [runs]);
    assert_eq!(case.rows().await.job(waits).status, "QUEUED");
}

pub(super) async fn is_safe_to_run_at_once(case: &Case) {
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(case.job_in(State::Done).await);
    }
    case.pass(7 * DAY);
    let named = case.at_once(6, |_, database| async move { expire(&database).await });
    for named in named.await {
        assert_eq!(named, ids);
    }
    for id in ids {
        let lines = case.lines(id).await;
        assert_eq!(
            lines.iter().filter(|line| *line == "event DONE EXPIRED").count(),
            1,
            "{lines:#?}"
        );
    }
}

pub(super) async fn knows_orphans(case: &Case) {
    let expired = case.job_in(State::Expired).await;
    let retried = case.queued().await;
    case.database
        .fail(&case.claim(retried).await, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    let gone = case.job_in(State::Done).await;
    assert!(case.database.delete(gone).await.expect("the database answers"));
    let mut jobs = vec![
        (expired, "EXPIRED"),
        (retried, "PROCESSING"),
        (gone, "gone"),
        (JobId::generate(), "unknown"),
    ];
    for state in [State::Queued, State::Processing, State::Done, State::Failed, State::Cancelled] {
        jobs.push((case.job_in(state).await, state.name()));
    }
    for (id, what) in jobs {
        let video = format!("{id}/input.mp4");
        let keys = [(id, video.as_str()), (id, "output-1.zip"), (id, "output-9.zip")];
        let orphans = case.database.orphans(&keys).await.expect("the database answers");
        let expected = match what {
            "PROCESSING" => &keys[3..],
            "DONE" => &keys[2..],
            "QUEUED" | "FAILED" | "CANCELLED" => &keys[1..],
            _ => &keys[..],
        };
        assert_eq!(orphans, expected.iter().map(|(_, key)| *key).collect::<Vec<_>>(), "{what}");
    }

    // Another job's key is nothing that a job has a use for.
    let (done, other) = (case.job_in(State::Done).await, case.job_in(State::Done).await);
    let (own, foreign) = (format!("{done}/input.mp4"), format!("{other}/input.mp4"));
    let orphans = case.database.orphans(&[(done, &own), (done, &foreign), (other, &foreign)]).await;
    assert_eq!(orphans.expect("the database answers"), [&foreign]);
    assert!(case.database.orphans(&[]).await.expect("the database answers").is_empty());
}

pub(super) async fn forgets(case: &Case) {
    let user = case.user().await;
    let tokens = async || {
        refresh_token::Entity::find()
            .count(&case.database.read)
            .await
            .expect("tokens can be counted")
    };
    let rotate = async |old: &str, new: &str| {
        case.database.rotate_session(old, new, Duration::from_secs(DAY)).await.expect("it answers")
    };
    let accept = async || {
        case.database
            .accept(user, &[video()], Some("key"), None)
            .await
            .expect("the videos are accepted")
    };
    case.database
        .open_session(user, "first", Duration::from_secs(DAY))
        .await
        .expect("the session begins");
    assert_eq!(rotate("first", "second").await, Rotation::Renewed(user));
    assert!(matches!(accept().await, Accepted::New(_)));

    case.pass(DAY - 60);
    case.database.purge_expired().await.expect("the database answers");
    assert!(matches!(accept().await, Accepted::Repeated(_)), "its day is not over");
    case.pass(120);
    let before = case.rows().await;
    case.database.purge_expired().await.expect("the database answers");
    assert_eq!(case.rows().await, before, "jobs are not forgotten");
    assert!(matches!(accept().await, Accepted::New(_)), "its day is over");
    assert_eq!(
        tokens().await,
        2,
        "the tokens have ended, but whoever uses a spent one is still known"
    );
    assert_eq!(rotate("first", "stolen").await, Rotation::Reused(user));
    case.pass(DAY);
    case.database.purge_expired().await.expect("the database answers");
    assert_eq!(tokens().await, 0);
}
