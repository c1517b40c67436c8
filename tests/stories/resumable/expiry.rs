//! Uploads that are continued late, and that expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use reqwest::{Body, Method, StatusCode};
use rstest::rstest;
use worker::sweep::ORPHAN_AGE;

use super::{MIB, create, expect_only, patch, problem, request, send, send_rest, video};
use crate::harness::checks::eventually;
use crate::harness::client::PASSWORD;
use crate::harness::clips::scratch;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::service::{Service, long_sessions};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_continued_after_a_day(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(long_sessions).await;
    let user = service.user().await;
    let video = video(12 * MIB, 1);
    let path = create(&user, video.len()).await;
    let first = send(patch(&user, &path, 0, &video[..7 * MIB])).await;
    assert_eq!(first.status(), StatusCode::NO_CONTENT);
    service.advance(Duration::from_hours(25));
    service.run_maintenance().await;
    // Of any age, because the store has the time of the system.
    assert_eq!(service.sweep(Duration::ZERO).await, 0);
    assert_eq!(service.sweep(ORPHAN_AGE).await, 0);
    assert_eq!(super::offset(&user, &path).await, 7 * MIB);
    let job = send_rest(&user, &path, &video).await;
    expect_only(&service, &user, &job, &video).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_upload_leaves_nothing(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(long_sessions).await;
    let user = service.user().await;
    let video = video(12 * MIB, 2);
    let done = send_rest(&user, &create(&user, video.len()).await, &video).await;
    user.wait_until_done(&done).await;
    let before = service.files().await;
    let path = create(&user, video.len()).await;
    send(patch(&user, &path, 0, &video[..7 * MIB])).await;
    assert!(service.files().await.len() > before.len());
    service.advance(Duration::from_hours(48));
    let gone = send(patch(&user, &path, 7 * MIB, &video[7 * MIB..])).await;
    assert_eq!(problem(gone).await, (410, "UPLOAD_EXPIRED".to_owned()));
    let state = send(request(&user, Method::HEAD, &path)).await;
    assert_eq!(state.status(), StatusCode::GONE);
    service.run_maintenance().await;
    assert_eq!(service.files().await, before);
    let state = send(request(&user, Method::HEAD, &path)).await;
    assert_eq!(state.status(), StatusCode::NOT_FOUND);
    // The upload that is a job is forgotten, and the job is not.
    let state = send(request(&user, Method::HEAD, &format!("/uploads/{done}"))).await;
    assert_eq!(state.status(), StatusCode::NOT_FOUND);
    user.wait_until_done(&done).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_ended_by_its_user(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let video = video(12 * MIB, 3);
    let path = create(&user, video.len()).await;
    send(patch(&user, &path, 0, &video[..7 * MIB])).await;
    let ended = send(request(&user, Method::DELETE, &path)).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert!(service.files().await.is_empty());
    for method in [Method::HEAD, Method::DELETE] {
        let gone = send(request(&user, method, &path)).await;
        assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    }
    let path = create(&user, video.len()).await;
    let job = send_rest(&user, &path, &video).await;
    let late = send(request(&user, Method::DELETE, &path)).await;
    assert_eq!(problem(late).await, (409, "UPLOAD_FINISHED".to_owned()));
    expect_only(&service, &user, &job, &video).await;
}

/// The uploads of a deleted user are deleted with the other files.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_leaves_no_upload(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let video = video(12 * MIB, 4);
    let path = create(&user, video.len()).await;
    send(patch(&user, &path, 0, &video[..7 * MIB])).await;
    let fields = serde_json::json!({ "password": PASSWORD });
    let deleted = send(user.request(Method::DELETE, "/auth/me").json(&fields)).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    service.run_maintenance().await;
    assert!(service.files().await.is_empty(), "{:?}", service.files().await);
}

/// A restart keeps uploads, also with embedded parts, where it deletes the files of others.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_uploads(#[values(Embedded, Servers)] parts: Parts) {
    let (directory, namespaces) = (scratch(), parts.namespaces().await);
    let video = video(50 * MIB, 5);
    let environment = namespaces.iter().flat_map(|namespaces| namespaces.variables());
    let environment: Vec<_> = environment.collect();
    let process = Process::start(directory.path(), &environment);
    let user = process.user().await;
    let path = create(&user, video.len()).await;
    send(patch(&user, &path, 0, &video[..3 * MIB])).await;
    // A request is interrupted when the process stops. It has read what no buffer can hold.
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let more: Vec<Vec<u8>> = video[3 * MIB..40 * MIB].chunks(MIB).map(<[u8]>::to_vec).collect();
    let more = stream::iter(more).map(move |piece| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(piece)
    });
    let endless = Body::wrap_stream(more.chain(stream::pending()));
    let stop = async {
        eventually("the service reads the bytes", || async {
            (sent.load(Ordering::Relaxed) >= 30).then_some(())
        })
        .await;
        process.signal("TERM");
    };
    let request = patch(&user, &path, 3 * MIB, &[]).body(endless);
    let (interrupted, ()) = tokio::join!(send(request), stop);
    assert_eq!(problem(interrupted).await, (503, "UNAVAILABLE".to_owned()));
    let account = user.account();
    let (status, _) = process.wait_for_exit();
    assert!(status.success(), "{status}");
    let service = Service::at(directory, namespaces, jobs::Clock::default(), |_| {}).await;
    let user = account.at(&service);
    assert!(super::offset(&user, &path).await >= 3 * MIB);
    let job = send_rest(&user, &path, &video).await;
    expect_only(&service, &user, &job, &video).await;
}
