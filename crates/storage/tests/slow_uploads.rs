//! Slow uploads of many users, and the uploads of others beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jobs::{JobId, UserId, VideoFormat};
use servers::Garage;
use storage::s3::{DEFAULT_ASSEMBLY_TIMEOUT, DEFAULT_UPLOAD_MEMORY};
use storage::{Key, S3, S3Settings, Storage};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Slow uploads, each of its own user. A whole part of each of them would need 300 MiB.
const SLOW_UPLOADS: usize = 60;

/// Counters of the slow uploads.
#[derive(Default)]
struct Slow {
    /// Uploads whose bytes are being accepted.
    writing: AtomicUsize,
    failed: AtomicUsize,
}

/// Send 32 KiB eight times a second until the upload fails.
async fn upload_slowly(storage: Arc<dyn Storage>, slow: Arc<Slow>) {
    let key = Key::input(UserId::generate(), JobId::generate(), VideoFormat::Mp4);
    let mut upload = storage.create(&key).await.expect("an upload starts");
    let mut ticks = interval(Duration::from_millis(125));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        slow.writing.fetch_add(1, Ordering::SeqCst);
        let written = upload.write(Bytes::from(vec![1; 32 * KIB])).await;
        slow.writing.fetch_sub(1, Ordering::SeqCst);
        if let Err(error) = written {
            assert!(error.to_string().contains("too slow"), "{error}");
            slow.failed.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

/// Upload 30 MiB as fast as possible, and return the time that it takes.
async fn upload_fast(storage: &Arc<dyn Storage>, key: &Key) -> Duration {
    const SIZE: usize = 30 * MIB;
    let started = Instant::now();
    let chunk = Bytes::from(vec![2; 256 * KIB]);
    let mut upload = storage.create(key).await.expect("an upload starts");
    for _ in 0..SIZE / chunk.len() {
        upload.write(chunk.clone()).await.expect("bytes are accepted");
    }
    assert_eq!(upload.complete().await.expect("the upload completes"), SIZE as u64);
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_uploads_of_many_users_stop_neither_a_fast_one_nor_an_archive() {
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
            upload_memory: DEFAULT_UPLOAD_MEMORY,
            assembly_timeout: DEFAULT_ASSEMBLY_TIMEOUT,
        })
        .expect("the settings are valid"),
    );
    let user = UserId::generate();
    let video = || Key::input(user, JobId::generate(), VideoFormat::Mp4);
    let archive = || Key::archive(user, JobId::generate(), 1);
    let alone = upload_fast(&storage, &video()).await;

    let slow = Arc::new(Slow::default());
    let mut uploads = JoinSet::new();
    for _ in 0..SLOW_UPLOADS {
        uploads.spawn(upload_slowly(Arc::clone(&storage), Arc::clone(&slow)));
    }
    let started = Instant::now();
    while slow.writing.load(Ordering::SeqCst) < 20 {
        assert!(started.elapsed() < Duration::from_mins(1), "the memory is not used up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let limit = 5 * alone + Duration::from_secs(5);
    println!("memory used up after {:?}; alone: {alone:?}", started.elapsed());
    let beside = timeout(limit, upload_fast(&storage, &archive())).await;
    println!("an archive: {beside:?}");
    beside.expect("an archive does not wait for slow videos");
    let beside = timeout(limit, upload_fast(&storage, &video())).await;
    let failed = slow.failed.load(Ordering::SeqCst);
    println!("a video: {beside:?}; displaced: {failed} of {SLOW_UPLOADS}");
    beside.expect("a fast upload does not wait for slow ones");
    assert!(failed <= SLOW_UPLOADS / 4, "{failed} slow uploads were displaced");
}
