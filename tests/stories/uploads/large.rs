//! Uploads that are much larger than the memory of the process.

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, StatusCode};
use serde_json::json;

use super::{MEGABYTE, MIB, ids};
use crate::harness::checks::TIMEOUT;
use crate::harness::client::{User, fetch_json};
use crate::harness::clips::{ONE_FRAME, clip_bytes, scratch};
use crate::harness::process::Process;
use crate::harness::service::stored;

/// A clip of any size: readers skip its box of the type `free` (ISO/IEC 14496-12, 8.1.2). It is
/// generated in pieces.
fn padded(size: usize) -> Part {
    let clip = clip_bytes(ONE_FRAME);
    let free = size - clip.len();
    let header =
        u32::try_from(free).expect("a box of 32 bits").to_be_bytes().into_iter().chain(*b"free");
    let start: Bytes = clip.into_iter().chain(header).collect();
    let (zeros, left) = (Bytes::from(vec![0; MIB]), size - start.len());
    let rest = (0..left.div_ceil(MIB)).map(move |piece| zeros.slice(..MIB.min(left - piece * MIB)));
    let pieces = stream::iter(std::iter::once(start).chain(rest).map(Ok::<_, std::io::Error>));
    Part::stream_with_length(Body::wrap_stream(pieces), size as u64).file_name("large.mp4")
}

/// Upload a padded clip, and return its job.
async fn upload_padded(user: &User<'_>, size: usize) -> String {
    let request = user.request(Method::POST, "/videos/upload").timeout(TIMEOUT);
    let (status, accepted) =
        fetch_json(request.multipart(Form::new().part("file", padded(size)))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    ids(&accepted)[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_of_500_mb_needs_little_memory() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let job = upload_padded(&user, 500 * MEGABYTE).await;
    let view = user.wait_until_done(&job).await;
    assert_eq!(
        (&view["video_size_bytes"], &view["frame_count"]),
        (&json!(500 * MEGABYTE), &json!(1)),
        "{view}"
    );
    let peak = process.peak_memory() >> 20;
    assert!(peak < 150, "peak memory: {peak} MiB");

    let request = user
        .request(Method::POST, "/videos/upload")
        .multipart(Form::new().part("file", padded(500 * MEGABYTE + 1)));
    let (status, problem) = fetch_json(request).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("VIDEO_TOO_LARGE"))
    );
    assert_eq!(stored(directory.path()).len(), 2, "not one video and one archive");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_concurrent_uploads_need_little_memory() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("LIMIT_UPLOADS_AT_ONCE", "20")]);
    let user = process.user().await;
    // 400 MiB in total.
    let jobs = join_all((0..20).map(|_| upload_padded(&user, 20 * MIB))).await;
    for job in &jobs {
        user.wait_until_done(job).await;
    }
    let peak = process.peak_memory() >> 20;
    assert!(peak < 256, "peak memory: {peak} MiB");
    let files = stored(directory.path());
    for job in jobs {
        assert_eq!(
            files.get(&format!("videos/{}/{job}/input.mp4", user.id)),
            Some(&(20 * MIB as u64))
        );
    }
    assert_eq!(files.len(), 40, "not a video and an archive of each");
}
