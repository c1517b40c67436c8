//! Many slow uploads at once, and a fast one beside them.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::connections::begin;
use super::{FORM, MIB, named};
use crate::harness::client::User;
use crate::harness::clips::{ONE_FRAME, clip_bytes, scratch};
use crate::harness::metrics::{metrics, wait_until_metrics};
use crate::harness::parts::Parts;
use crate::harness::process::Process;

const USERS: usize = 12;
const UPLOADS_PER_USER: usize = 5;

/// Memory for videos that are being received.
const BUDGET: f64 = (128 * MIB) as f64;

/// Memory of a connection: buffers of the HTTP server and of the form, and freed memory that the
/// allocator keeps. The benches measure about 3 MB.
const CONNECTION: usize = 5 * MIB;

const MEMORY: &str = "fiapx_upload_memory_bytes{of=\"videos\"}";
const WAITING: &str = "fiapx_uploads_waiting_for_memory{of=\"videos\"}";
const DISPLACED: &str = "fiapx_uploads_refused_total{code=\"UPLOAD_DISPLACED\"}";

/// Upload a video of 30 MiB, and return the time that it takes.
async fn upload_fast(user: &User<'_>) -> Duration {
    let mut video = clip_bytes(ONE_FRAME);
    video.resize(30 * MIB, 0);
    let started = Instant::now();
    let (status, accepted) = user.upload(&[("fast.mp4", video)]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    started.elapsed()
}

/// Begin an upload, and send 32 KiB eight times a second until the connection fails.
async fn upload_slowly(user: &User<'_>) -> impl Future<Output = ()> + Send + 'static {
    let head = format!("Content-Type: {FORM}\r\nAuthorization: Bearer {}", user.access);
    let video = clip_bytes(ONE_FRAME);
    let form = named("slow.mp4", &video);
    let beginning = &form[..form.len() - "\r\n--line--\r\n".len()];
    let mut connection = begin(user.client, &head, 400 * MIB, beginning).await;
    async move {
        let piece = vec![0; 32 << 10];
        while connection.write_all(&piece).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(125)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_uploads_of_many_users_do_not_stop_a_fast_one() {
    let (directory, namespaces) = (scratch(), Parts::Servers.namespaces().await);
    let namespaces = namespaces.expect("they are servers");
    let process = Process::start(directory.path(), &namespaces.variables());
    let user = process.user().await;
    let alone = upload_fast(&user).await;
    let before = process.peak_memory();

    let mut slow = JoinSet::new();
    for _ in 0..USERS {
        let user = process.user().await;
        for _ in 0..UPLOADS_PER_USER {
            slow.spawn(upload_slowly(&user).await);
        }
    }
    wait_until_metrics(&process, |all| {
        assert!(all[MEMORY] <= BUDGET, "{all:?}");
        if all[WAITING] >= 5.0 { Ok(()) } else { Err("the memory is not used up".to_owned()) }
    })
    .await;
    let limit = 5 * alone + Duration::from_secs(5);
    let beside = tokio::time::timeout(limit, upload_fast(&user)).await;
    let (all, growth) = (metrics(&process).await, process.peak_memory() - before);
    println!(
        "alone: {alone:?}, beside: {beside:?}, displaced: {}, {} MiB",
        all[DISPLACED],
        growth >> 20
    );
    beside.expect("a fast upload does not wait for slow ones");
    assert!(all[MEMORY] <= BUDGET, "{all:?}");
    assert!(all[DISPLACED] <= (USERS * UPLOADS_PER_USER / 4) as f64, "{all:?}");
    let connections = (USERS * UPLOADS_PER_USER * CONNECTION) as f64;
    assert!(growth as f64 <= BUDGET + connections, "{} MiB", growth >> 20);
}
