//! Memory use of uploads to S3, measured in a process that does nothing else.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jobs::{JobId, UserId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use servers::Garage;
use storage::s3::{DEFAULT_ASSEMBLY_TIMEOUT, DEFAULT_UPLOAD_MEMORY};
use storage::{Key, S3, S3Settings, Storage};
use tokio::task::JoinSet;

const MB: usize = 1_000_000;
const MIB: usize = 1 << 20;

/// Memory of connections, and freed memory that the allocator keeps. With that of glibc, this is
/// about half of the budget, and nothing with `MALLOC_MMAP_THRESHOLD_=1048576`.
const OVERHEAD: usize = DEFAULT_UPLOAD_MEMORY;

/// A field of the status of this process in bytes (`proc_pid_status(5)`).
fn status_field(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field exists");
    line.trim_matches(|char: char| !char.is_ascii_digit())
        .parse::<usize>()
        .expect("a number of KiB")
        * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_simultaneous_uploads_stay_within_the_budget() {
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
            upload_memory: DEFAULT_UPLOAD_MEMORY,
            assembly_timeout: DEFAULT_ASSEMBLY_TIMEOUT,
        })
        .expect("the settings are valid"),
    );
    // All uploads share the source, so that only their own copies count.
    let mut bytes = vec![0; SIZE];
    SmallRng::seed_from_u64(1).fill_bytes(&mut bytes);
    let bytes = Bytes::from(bytes);
    let user = UserId::generate();

    // Reset the peak (`proc_pid_clear_refs(5)`).
    fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
    let before = status_field("VmRSS:");
    let mut uploads = JoinSet::new();
    for _ in 0..UPLOADS {
        let (storage, bytes) = (Arc::clone(&storage), bytes.clone());
        uploads.spawn(async move {
            let mut upload = storage
                .create(&Key::archive(user, JobId::generate(), 1))
                .await
                .expect("an upload starts");
            for from in (0..SIZE).step_by(64 << 10) {
                upload
                    .write(bytes.slice(from..SIZE.min(from + (64 << 10))))
                    .await
                    .expect("bytes are accepted");
            }
            assert_eq!(upload.complete().await.expect("the upload completes"), SIZE as u64);
        });
    }
    uploads.join_all().await;
    let peak = status_field("VmHWM:") - before;
    println!("peak of {UPLOADS} uploads: {} MiB", peak / MIB);
    assert!(peak <= DEFAULT_UPLOAD_MEMORY + OVERHEAD, "the peak is {} MiB", peak / MIB);
    // The uploads used the budget, so the measurement is meaningful.
    assert!(peak >= DEFAULT_UPLOAD_MEMORY / 4, "the peak is {} MiB", peak / MIB);

    let objects = storage.list(Key::ROOT, None).await.expect("objects can be listed");
    assert_eq!(
        objects.iter().map(|object| object.size).collect::<Vec<_>>(),
        [SIZE as u64; UPLOADS]
    );
    assert_eq!(
        storage.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds"),
        0,
        "no remains"
    );
}
