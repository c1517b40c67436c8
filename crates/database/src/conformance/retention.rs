//! Retention of files and rows.

use jobs::{FailureCode, JobId, State};
use sea_orm::{EntityTrait, PaginatorTrait};
use uuid::Uuid;

use super::case::{Case, LIFETIMES, accept, archive, video};
use crate::accept::Accepted;
use crate::connection::Database;
use crate::rows::refresh_token;
use crate::sessions::{Origin, Rotation, Successor};

const DAY: u64 = 24 * 60 * 60;

/// Expire jobs. Return the jobs whose files have to be removed.
async fn expire(database: &Database) -> Vec<JobId> {
    let mut jobs: Vec<JobId> = super::case::expire(database)
        .await
        .expect("the database answers")
        .iter()
        .map(|job| job.id)
        .collect();
    jobs.sort_unstable();
    jobs
}

pub(super) async fn expires_archives(case: &Case) {
    let id = case.queued().await;
    case.advance(5 * DAY);
    let claim = case.claim(id).await;
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    case.advance(7 * DAY - 60);
    let mut lines = case.lines(id).await;
    assert_eq!(expire(&case.database).await, [], "the seven days start with the archive");
    assert_eq!(case.lines(id).await, lines);

    case.advance(60);
    lines[0] = lines[0].replace("DONE", "EXPIRED");
    lines.insert(5, "event DONE EXPIRED".to_owned());
    for _ in 0..2 {
        let expired = super::case::expire(&case.database).await;
        let expired = expired.expect("the database answers");
        let expired: Vec<_> = expired.iter().map(|job| (job.id, job.state)).collect();
        assert_eq!(expired, [(id, State::Expired)], "until its files are removed");
        assert_eq!(case.lines(id).await, lines, "the expiry is not announced");
    }
    case.database.mark_files_removed(id).await.expect("the database answers");
    lines[0] = lines[0].replace("files=7d", "files=removed");
    assert_eq!(expire(&case.database).await, []);
    assert_eq!(case.lines(id).await, lines);
}

pub(super) async fn returns_other_final_jobs(case: &Case) {
    let (queued, running) =
        (case.job_in(State::Queued).await, case.job_in(State::Processing).await);
    let finals = [case.job_in(State::Failed).await, case.job_in(State::Cancelled).await];
    case.advance(7 * DAY - 60);
    assert_eq!(expire(&case.database).await, []);
    case.advance(60);
    let before = case.rows().await;
    assert_eq!(expire(&case.database).await, finals);
    let mut after = case.rows().await;
    for job in &mut after.jobs {
        assert_eq!(job.removing, finals.contains(&JobId(job.id)), "{job:?}");
        job.removing = false;
    }
    assert_eq!(after, before, "nothing else changes");
    case.database.mark_files_removed(finals[0]).await.expect("the database answers");
    assert_eq!(expire(&case.database).await, finals[1..]);
    case.database.mark_files_removed(finals[1]).await.expect("the database answers");
    assert_eq!(expire(&case.database).await, []);

    // The video of a waiting or running job is kept for any time.
    case.advance(30 * DAY);
    assert_eq!(expire(&case.database).await, []);
    case.database
        .cancel(running, State::Processing)
        .await
        .expect("the database answers")
        .expect("the job is in processing");
    assert_eq!(expire(&case.database).await, [], "the seven days start with the end of the job");
    case.advance(7 * DAY);
    assert_eq!(expire(&case.database).await, [running]);
    assert_eq!(case.rows().await.job(queued).status, "QUEUED");
}

pub(super) async fn may_run_concurrently(case: &Case) {
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(case.job_in(State::Done).await);
    }
    case.advance(7 * DAY);
    let results = case.run_concurrently(6, |_, database| async move { expire(&database).await });
    for expired in results.await {
        assert_eq!(expired, ids);
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

pub(super) async fn finds_orphans(case: &Case) {
    let expired = case.job_in(State::Expired).await;
    let retried = case.queued().await;
    case.database
        .fail(&case.claim(retried).await, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    let deleted = case.job_in(State::Done).await;
    assert!(case.database.delete(deleted).await.expect("the database answers"));
    let mut jobs = vec![
        (expired, "EXPIRED"),
        (retried, "PROCESSING"),
        (deleted, "deleted"),
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

    // A job does not use the key of another job.
    let (done, other) = (case.job_in(State::Done).await, case.job_in(State::Done).await);
    let (own, foreign) = (format!("{done}/input.mp4"), format!("{other}/input.mp4"));
    let orphans = case.database.orphans(&[(done, &own), (done, &foreign), (other, &foreign)]).await;
    assert_eq!(orphans.expect("the database answers"), [&foreign]);
    assert!(case.database.orphans(&[]).await.expect("the database answers").is_empty());
}

pub(super) async fn purges_expired_rows(case: &Case) {
    let user = case.user().await;
    let tokens = async || {
        refresh_token::Entity::find()
            .count(&case.database.read)
            .await
            .expect("tokens can be counted")
    };
    let rotate = async |old: &str, new: &str| {
        let successor = Successor { id: Uuid::now_v7(), token_hash: new };
        let rotated =
            case.database.rotate_session(old, successor, Origin::default(), LIFETIMES).await;
        rotated.expect("the database answers")
    };
    let accept = async || {
        accept(&case.database, user, &[video()], Some("key"), None)
            .await
            .expect("the videos are accepted")
    };
    case.open_session(user, "first").await;
    assert_eq!(rotate("first", "second").await, Rotation::Renewed(user));
    assert!(matches!(accept().await, Accepted::New(_)));

    case.advance(DAY - 60);
    case.database.purge_expired().await.expect("the database answers");
    assert!(matches!(accept().await, Accepted::Repeated(_)), "the key is still valid");
    case.advance(120);
    let before = case.rows().await;
    case.database.purge_expired().await.expect("the database answers");
    assert_eq!(case.rows().await, before, "jobs are not deleted");
    assert!(matches!(accept().await, Accepted::New(_)), "the key has expired");
    assert_eq!(tokens().await, 2, "expired tokens are kept for a day to detect reuse");
    assert_eq!(rotate("first", "stolen").await, Rotation::Reused(user));
    case.advance(DAY);
    case.database.purge_expired().await.expect("the database answers");
    assert_eq!(tokens().await, 0);
}
