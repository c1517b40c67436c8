//! A file store with the wrong database: the sweep deletes nothing that may be needed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jobs::{Clock, InstallationId, JobId, UserId, VideoFormat};
use rstest::rstest;
use storage::Key;
use tokio::task::block_in_place;
use worker::sweep::{ORPHAN_AGE, Refusal, Swept};

use crate::harness::checks::eventually;
use crate::harness::clips::{SHORT, clip_bytes};
use crate::harness::metrics::wait_for_metrics;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::programs::{ProgramOutput, fiapx, run};
use crate::harness::service::Service;

/// Run `fiapx` on the data of a service.
fn run_command(service: &Service, arguments: &[&str]) -> ProgramOutput {
    let environment =
        service.namespaces.iter().flat_map(|namespaces| namespaces.environment.iter().cloned());
    let data = ["--data-dir".as_ref(), service.directory.path().as_os_str()];
    block_in_place(|| run(fiapx().args(arguments).args(data).envs(environment)))
}

/// Stop a service, remove its database, and start it again on the same files.
async fn with_empty_database(service: Service, before_start: impl FnOnce(&Path)) -> Service {
    service.running.stop_token().cancel();
    service.running.stopped().await.expect("the service stops");
    for name in ["fiapx.db", "fiapx.db-wal", "fiapx.db-shm"] {
        let file = service.directory.path().join(name);
        if file.exists() {
            fs::remove_file(file).expect("the file can be removed");
        }
    }
    before_start(service.directory.path());
    Service::at(service.directory, None, Clock::default(), |_| {}).await
}

/// A service with a job that is done, and the names of all its files.
async fn with_files() -> (Service, Vec<String>) {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    let files: Vec<String> = service.files().await.into_keys().collect();
    assert_eq!(files.len(), 2, "a video and an archive: {files:?}");
    (service, files)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_deletes_no_file() {
    let (service, files) = with_files().await;
    let service = with_empty_database(service, |_| {}).await;
    let swept = service.maintenance().sweeper().sweep(Duration::ZERO, true).await;
    let swept = swept.expect("the parts respond");
    assert!(matches!(swept, Swept::Refused(Refusal::OtherInstallation { .. })), "{swept:?}");
    let there: Vec<String> = service.files().await.into_keys().collect();
    assert_eq!(there, files);
    let checked = run_command(&service, &["check"]);
    assert!(checked.stderr.contains("the file store belongs to installation"), "{checked:?}");
    // The service works with it, and never deletes the files of the other one.
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;

    let refused = run_command(&service, &["storage", "sweep", "--delete-unknown"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let adopted = run_command(&service, &["storage", "adopt"]);
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
    assert!(adopted.lines()[0].ends_with("2 of its 4 files are known"), "{adopted:?}");
    assert_eq!(service.sweep(Duration::ZERO).await, 2, "the operator has decided");
}

/// The file store of an earlier release has no mark.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_deletes_no_file_of_a_store_without_a_mark() {
    let (service, files) = with_files().await;
    let remove_mark = |data: &Path| {
        fs::remove_file(data.join("files/installation")).expect("the store was marked");
    };
    let service = with_empty_database(service, remove_mark).await;
    let there: Vec<String> = service.files().await.into_keys().collect();
    assert_eq!(there, files);
    assert!(!service.directory.path().join("files/installation").exists());
    let adopted = run_command(&service, &["storage", "adopt"]);
    assert!(adopted.stderr.contains("knows none of the 2 files"), "{adopted:?}");
    let adopted = run_command(&service, &["storage", "adopt", "--force"]);
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
}

/// An upgrade: the database knows the files of the store, which has no mark.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_an_earlier_release_is_marked() {
    let (service, files) = with_files().await;
    let mark = service.directory.path().join("files/installation");
    let id = fs::read_to_string(&mark).expect("the store is marked");
    fs::remove_file(&mark).expect("the mark can be removed");
    assert_eq!(service.sweep(Duration::ZERO).await, 0);
    assert_eq!(fs::read_to_string(&mark).expect("the store is marked again"), id);
    assert_eq!(service.files().await.into_keys().collect::<Vec<_>>(), files);
}

/// Two installations on one bucket: a mistyped DATABASE_URL, or a copy for tests.
#[tokio::test(flavor = "multi_thread")]
async fn another_database_deletes_nothing_from_a_bucket() {
    let service = Servers.start().await;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    let files = service.files().await;
    let other = Servers.start().await;
    let sweeper = worker::sweep::Sweeper { database: other.database(), storage: service.storage() };
    let swept = sweeper.sweep(Duration::ZERO, true).await.expect("the parts respond");
    assert!(matches!(swept, Swept::Refused(Refusal::OtherInstallation { .. })), "{swept:?}");
    assert_eq!(service.files().await, files);
    assert_eq!(service.sweep(Duration::ZERO).await, 0);
}

/// Create files that no row refers to, two days old.
fn create_unknown_files(service: &Service, count: usize) -> Vec<PathBuf> {
    let files = (0..count).map(|_| {
        let key = Key::input(UserId::generate(), JobId::generate(), VideoFormat::Mp4);
        let path = service.directory.path().join("files").join(key.as_str());
        fs::create_dir_all(path.parent().expect("it is in a directory")).expect("it is created");
        fs::write(&path, "unknown").expect("it can be written");
        age(&path);
        path
    });
    files.collect()
}

/// Make a file two days old.
fn age(path: &Path) {
    let file = File::options().write(true).open(path).expect("the file exists");
    file.set_modified(SystemTime::now() - 2 * ORPHAN_AGE).expect("its time can be set");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_unknown_files_are_deleted_only_on_request() {
    let (service, mut files) = with_files().await;
    let unknown = create_unknown_files(&service, 11);
    let swept = service.maintenance().sweeper().sweep(ORPHAN_AGE, false).await;
    assert_eq!(
        swept.expect("the parts respond"),
        Swept::Refused(Refusal::ManyUnknown { unknown: 11, files: 13 })
    );
    assert!(unknown.iter().all(|path| path.exists()));
    let refused = run_command(&service, &["storage", "sweep"]);
    assert!(refused.stderr.contains("does not know 11 of 13 files"), "{refused:?}");
    let swept = run_command(&service, &["storage", "sweep", "--delete-unknown"]);
    assert_eq!(swept.lines(), ["11 files deleted"], "{swept:?}");
    let mut there: Vec<String> = service.files().await.into_keys().collect();
    files.sort();
    there.sort();
    assert_eq!(there, files);
    create_unknown_files(&service, 10);
    assert_eq!(service.sweep(ORPHAN_AGE).await, 10, "crashes leave a few");
}

/// Metrics belong to a process, so these are those of a process of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sweep_is_visible_in_the_metrics() {
    let (service, _) = with_files().await;
    create_unknown_files(&service, 11);
    service.running.stop_token().cancel();
    service.running.stopped().await.expect("the service stops");
    let data = service.directory.path();
    let expect = async |expected: &[(&str, f64)]| {
        let process = block_in_place(|| Process::start(data, &[]));
        wait_for_metrics(&process, expected).await;
        block_in_place(|| process.terminate());
    };
    let reason = |name: &str| format!("fiapx_sweep_refused{{reason=\"{name}\"}}");
    let (unknown, other) = (reason("many_unknown"), reason("other_installation"));
    expect(&[(&unknown, 1.0), (&other, 0.0), ("fiapx_unknown_files", 11.0)]).await;
    let other_id = InstallationId::generate();
    fs::write(data.join("files/installation"), other_id.to_string()).expect("it can be written");
    expect(&[(&other, 1.0)]).await;
}

/// A process that died while it received a video left a record, with which the file is found
/// without listing the store.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_an_abandoned_upload_is_deleted_after_a_day(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let owner = service.user().await.id.parse().expect("a user's id");
    let key = Key::input(owner, JobId::generate(), VideoFormat::Mp4);
    let database = service.database();
    database.begin_upload(owner, key.job_id(), key.as_str(), 0..=0).await.expect("it is recorded");
    let mut upload = service.storage().create(&key).await.expect("an upload starts");
    upload.write(clip_bytes(SHORT).into()).await.expect("bytes are accepted");
    upload.complete().await.expect("the upload completes");

    service.advance(ORPHAN_AGE.saturating_sub(Duration::from_mins(1)));
    let maintenance = service.maintenance();
    maintenance.delete_abandoned_uploads().await.expect("the parts respond");
    assert_eq!(service.sweep(Duration::ZERO).await, 0, "the upload may still be running");
    assert_eq!(service.files().await.len(), 1);
    service.advance(Duration::from_mins(2));
    maintenance.delete_abandoned_uploads().await.expect("the parts respond");
    // The maintenance of the service itself may delete it at the same time.
    eventually("the file is deleted", || async { service.files().await.is_empty().then_some(()) })
        .await;
}
