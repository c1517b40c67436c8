//! Requests that write an upload take turns, and write nothing that is damaged.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use tokio::io::AsyncWriteExt;

use super::{
    MIB, checksum, connect, create, expect_only, offset, patch, patch_head, problem, request, send,
    send_rest, text, video,
};
use crate::harness::cluster::Cluster;
use crate::harness::parts::Parts::{self, Embedded, Servers};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn two_requests_at_once_do_not_mix(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let video = video(20 * MIB, 1);
    let path = create(&user, video.len()).await;
    let responses = join_all((0..6).map(|_| send(patch(&user, &path, 0, &video)))).await;
    let mut accepted = 0;
    for response in responses {
        if response.status() == StatusCode::NO_CONTENT {
            accepted += 1;
            continue;
        }
        let (status, code) = problem(response).await;
        assert_eq!(status, 409, "{code}");
        assert!(["UPLOAD_BUSY", "UPLOAD_OFFSET_MISMATCH"].contains(&code.as_str()), "{code}");
    }
    assert_eq!(accepted, 1);
    let job = text(&send(request(&user, Method::HEAD, &path)).await, "x-job-id").expect("a job");
    expect_only(&service, &user, &job, &video).await;
}

/// Requests at two processes, each of which continues what the other has received.
#[tokio::test(flavor = "multi_thread")]
async fn processes_take_turns() {
    let cluster = Cluster::start(&[]).await;
    let apis = [cluster.api(), cluster.api()];
    let _worker = cluster.worker();
    let user = apis[0].user().await;
    let users = [user.account().at(&apis[0]), user.account().at(&apis[1])];
    let video = video(13 * MIB, 2);
    let path = create(&users[0], video.len()).await;
    let mut from = 0;
    for turn in 0.. {
        let user = &users[turn % 2];
        assert_eq!(offset(user, &path).await, from);
        let end = video.len().min(from + 3 * MIB + 7);
        let response = send(patch(user, &path, from, &video[from..end])).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        from = end;
        if let Some(job) = text(&response, "x-job-id") {
            users[0].wait_until_done(&job).await;
            break;
        }
    }
    let late = send(patch(&users[1], &path, 0, &video)).await;
    assert_eq!(problem(late).await, (409, "UPLOAD_OFFSET_MISMATCH".to_owned()));
    // At both at once.
    let path = create(&users[0], video.len()).await;
    let both = users.each_ref().map(|user| send(patch(user, &path, 0, &video)));
    let statuses = join_all(both).await.into_iter().map(|response| response.status().as_u16());
    let mut statuses: Vec<u16> = statuses.collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn bytes_with_a_wrong_checksum_are_not_stored(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let video = video(17 * MIB, 3);
    let path = create(&user, video.len()).await;
    let mut from = 0;
    for end in [3 * MIB, 16 * MIB] {
        let mut damaged = video[from..end].to_vec();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        let sum = checksum(&video[from..end]);
        let wrong = patch(&user, &path, from, &damaged).header("Upload-Checksum", &sum);
        assert_eq!(problem(send(wrong).await).await, (460, "CHECKSUM_MISMATCH".to_owned()));
        assert_eq!(offset(&user, &path).await, from);
        // Neither is a part of bytes with a checksum.
        let mut connection = connect(&user).await;
        let sum_line = format!("Upload-Checksum: {sum}\r\n");
        let head = patch_head(&user, &path, from, end - from, &sum_line);
        let bytes = [head.as_bytes(), &damaged[..damaged.len() - 1]].concat();
        connection.write_all(&bytes).await.expect("it is read");
        drop(connection);
        let right = || patch(&user, &path, from, &video[from..end]).header("Upload-Checksum", &sum);
        crate::harness::checks::eventually("no other request holds it", || async {
            let response = send(right()).await;
            assert!(matches!(response.status().as_u16(), 204 | 409), "{response:?}");
            (response.status() == StatusCode::NO_CONTENT).then_some(())
        })
        .await;
        from = end;
        assert_eq!(offset(&user, &path).await, from);
    }
    for header in ["sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "sha256 YQ==", "sha256"] {
        let other = patch(&user, &path, from, &video[from..]).header("Upload-Checksum", header);
        let refused = problem(send(other).await).await;
        assert_eq!(refused, (400, "CHECKSUM_UNSUPPORTED".to_owned()), "{header}");
    }
    let job = send_rest(&user, &path, &video).await;
    expect_only(&service, &user, &job, &video).await;
}
