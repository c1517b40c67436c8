//! What uploads to S3 hold in memory, measured in a process that does nothing else.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jobs::{JobId, UserId};
use servers::Garage;
use storage::s3::USUAL_UPLOAD_MEMORY;
use storage::{Key, S3, S3Settings, Storage};
use tokio::task::JoinSet;

const MB: usize = 1_000_000;
const MIB: usize = 1 << 20;

/// What a process needs besides: connections, and memory that was given back but that the allocator
/// keeps. With glibc's, that is about half as much again as the budget, and nothing if it is told
/// to keep nothing (`MALLOC_MMAP_THRESHOLD_=1048576`).
const REST: usize = USUAL_UPLOAD_MEMORY;

/// A figure of this process in bytes (`proc_pid_status(5)`).
fn figure(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).expect("the figure is there");
    line.trim_matches(|char: char| !char.is_ascii_digit())
        .parse::<usize>()
        .expect("a number of KiB")
        * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_uploads_at_once_stay_within_their_budget() {
    const UPLOADS: usize = 100;
    const SIZE: usize = 20 * MB;
    let garage = Garage::start();
    let storage: Arc<dyn Storage> = Arc::new(
        S3::connect(S3Settings {
            endpoint: garage.endpoint(),
            public_endpoint: None,
            region: garage.region().to_owned(),
            bucket: garage.bucket().to_owned(),
            access_key: garage.access_key().into(),
            secret_key: garage.secret_key().into(),
            path_style: true,
            upload_memory: USUAL_UPLOAD_MEMORY,
        })
        .expect("the settings are right"),
    );
    // All upload the same, so that only what they hold of it counts.
    let bytes: Bytes = (0..SIZE as u64)
        .map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect::<Vec<u8>>()
        .into();
    let user = UserId::generate();

    // From here on, the peak is counted anew (`proc_pid_clear_refs(5)`).
    fs::write("/proc/self/clear_refs", "5").expect("Linux lets us");
    let before = figure("VmRSS:");
    let mut uploads = JoinSet::new();
    for _ in 0..UPLOADS {
        let (storage, bytes) = (Arc::clone(&storage), bytes.clone());
        uploads.spawn(async move {
            let mut upload = storage
                .create(&Key::archive(user, JobId::generate(), 1))
                .await
                .expect("an upload begins");
            for from in (0..SIZE).step_by(64 << 10) {
                upload
                    .write(bytes.slice(from..SIZE.min(from + (64 << 10))))
                    .await
                    .expect("bytes are taken");
            }
            assert_eq!(upload.complete().await.expect("the upload is completed"), SIZE as u64);
        });
    }
    uploads.join_all().await;
    let peak = figure("VmHWM:") - before;
    println!("{UPLOADS} uploads held {} MiB at most", peak / MIB);
    assert!(peak <= USUAL_UPLOAD_MEMORY + REST, "{} MiB were held", peak / MIB);
    // They did make use of it, so that the figure means something.
    assert!(peak >= USUAL_UPLOAD_MEMORY / 4, "{} MiB were held", peak / MIB);

    let objects = storage.list(Key::ROOT, None).await.expect("objects can be listed");
    assert_eq!(
        objects.iter().map(|object| object.size).collect::<Vec<_>>(),
        [SIZE as u64; UPLOADS]
    );
    assert_eq!(storage.sweep(Duration::ZERO).await.expect("sweeping works"), 0, "nothing is left");
}
