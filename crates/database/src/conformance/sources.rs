//! Videos at addresses.

use std::time::Duration;

use jobs::{FailureCode, JobId, SourceUrl, UserId};

use super::case::{Case, accept, archive, claim_job, expire, video};
use crate::accept::{Accepted, Video};
use crate::account_export::ExportedTable;
use crate::job::Job;
use crate::quotas::Reservation;

const URL: &str = "https://example.com/a/praia.mp4?signature=secret";

/// Accept a video at an address.
async fn accepted(case: &Case, user: UserId) -> JobId {
    let video = Video { size_bytes: 0, source: Some(SourceUrl::new(URL)), ..video() };
    let accepted = accept(&case.database, user, std::slice::from_ref(&video), None, None).await;
    assert!(matches!(accepted, Ok(Accepted::New(_))), "{accepted:?}");
    video.id
}

async fn job(case: &Case, id: JobId) -> Job {
    case.other.job(id).await.expect("the database answers").expect("the job exists")
}

async fn stored(case: &Case, user: UserId) -> u64 {
    case.other.usage(user).await.expect("the database answers").stored_bytes
}

pub(super) async fn are_recorded_while_the_claim_holds(case: &Case) {
    let user = case.user().await;
    let id = accepted(case, user).await;
    let before = job(case, id).await;
    let source = before.remote_source().expect("it is not stored");
    assert_eq!((source.url.secret_url().as_str(), source.size_bytes), (URL, None));
    assert_eq!((before.known_size_bytes(), stored(case, user).await), (0, 0));

    let first = case.claim(id).await;
    let recorded = case.database.record_source(&first, 700, Some("\"one\"")).await;
    assert!(recorded.expect("the database answers"));
    let known = job(case, id).await;
    let source = known.remote_source().expect("it is not stored");
    assert_eq!((source.size_bytes, source.validator.as_deref()), (Some(700), Some("\"one\"")));
    assert_eq!((known.known_size_bytes(), stored(case, user).await), (700, 0));

    let failed = case.database.fail(&first, FailureCode::SourceUnreachable, "reset").await;
    failed.expect("the database answers");
    case.advance(Duration::from_mins(5).as_secs());
    let second = claim_job(&case.database, id, "w").await.expect("it is tried again");
    let recorded = case.database.record_source(&first, 1, None).await;
    assert!(!recorded.expect("the database answers"), "the first claim has ended");

    let reserved = case.database.extend_archive(&second, 900..=900).await;
    assert_eq!(reserved.expect("the database answers"), Reservation::Granted(900));
    assert_eq!(stored(case, user).await, 900);
    let recorded = case.database.record_stored_source(&first, "other", 800).await;
    assert!(!recorded.expect("the database answers"), "the first claim has ended");
    let recorded = case.database.record_stored_source(&second, "fetched", 800).await;
    assert!(recorded.expect("the database answers"));
    assert_eq!(stored(case, user).await, 800, "its size is counted in place of the reservation");
    let fetched = job(case, id).await;
    assert_eq!((fetched.video_path.as_str(), fetched.known_size_bytes()), ("fetched", 800));
    assert!(fetched.remote_source().is_none() && fetched.source.is_some());
}

pub(super) async fn are_shown_without_their_queries(case: &Case) {
    let user = case.user().await;
    let id = accepted(case, user).await;
    let page = case.database.export(user, ExportedTable::Jobs, None).await;
    let rows = page.expect("the database answers").rows;
    assert_eq!(rows[0]["source_url"], "https://example.com/a/praia.mp4");
    let text = serde_json::to_string(&rows).expect("it is JSON");
    assert!(!text.contains("signature") && !text.contains("secret"), "{text}");
    let written = case.rows().await;
    assert!(written.outbox.iter().all(|row| !row.message.contains("example.com")));

    let claim = case.claim(id).await;
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    case.advance(case.database.rules().retention.as_secs());
    let expired = expire(&case.database).await.expect("the database answers");
    assert_eq!(expired.len(), 1);
    let query = |job: &Job| job.source.as_ref().and_then(|it| it.url.query().map(str::to_owned));
    assert!(query(&job(case, id).await).is_some());
    case.database.mark_files_removed(id).await.expect("the database answers");
    assert_eq!(query(&job(case, id).await), None, "it is removed with the files");
}
