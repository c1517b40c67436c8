//! Behavior that is specific to directories and files.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use jobs::{JobId, UserId};
use tempfile::TempDir;

use super::*;
use crate::blocking::{Reader, Writer};
use crate::conformance::{self, content};

fn open_disk(directory: &Path) -> Result<Disk, Error> {
    Disk::open(directory, &SecretSlice::from(vec![7; MIN_SIGNING_KEY_LENGTH]), Clock::default())
}

fn new_disk() -> (TempDir, Disk) {
    let directory = tempfile::tempdir().expect("a directory can be created");
    let disk = open_disk(&directory.path().join("data")).expect("the directory is usable");
    (directory, disk)
}

fn new_key() -> Key {
    Key::archive(UserId::generate(), JobId::generate(), 1)
}

async fn put(disk: &Disk, key: &Key, bytes: &'static [u8]) {
    let mut upload = disk.create(key).await.expect("an upload starts");
    upload.write(Bytes::from_static(bytes)).await.expect("bytes are accepted");
    upload.complete().await.expect("the upload completes");
}

/// Paths in the storage's directory, with their modes.
fn tree(disk: &Disk) -> Vec<(String, u32)> {
    fn visit(root: &Path, directory: &Path, found: &mut Vec<(String, u32)>) {
        for entry in fs::read_dir(directory).expect("the directory can be read") {
            let path = entry.expect("the entry can be read").path();
            let metadata = fs::symlink_metadata(&path).expect("the file exists");
            let name = path
                .strip_prefix(root)
                .expect("the path is below the root")
                .to_str()
                .expect("names are UTF-8")
                .to_owned();
            found.push((name, metadata.permissions().mode() & 0o7777));
            if metadata.is_dir() {
                visit(root, &path, found);
            }
        }
    }
    let mut found = Vec::new();
    visit(&disk.directory, &disk.directory, &mut found);
    found.sort();
    found
}

fn empty_tree() -> Vec<(String, u32)> {
    ["resumable", "unfinished", "videos"].map(|name| (name.to_owned(), 0o700)).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_conforms() {
    let (_directory, disk) = new_disk();
    let disk = Arc::new(disk);
    conformance::all(Arc::clone(&disk) as Arc<dyn Storage>).await;
    let mut expected = empty_tree();
    expected.insert(0, ("installation".to_owned(), 0o600));
    assert_eq!(tree(&disk), expected, "directories are removed with their last object");
}

#[tokio::test]
async fn files_are_private() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"an object").await;
    let mut upload = disk.create(&key).await.expect("an upload starts");
    upload.write(Bytes::from_static(b"another")).await.expect("bytes are accepted");
    let mode =
        |path: &Path| fs::metadata(path).expect("the file exists").permissions().mode() & 0o777;
    assert_eq!(mode(&disk.directory), 0o700);
    let modes = tree(&disk);
    assert_eq!(modes.len(), 7, "five directories and two files: {modes:?}");
    for (name, mode) in modes {
        let expected = if disk.directory.join(&name).is_file() { 0o600 } else { 0o700 };
        assert_eq!(mode, expected, "{name}");
    }
}

#[tokio::test]
async fn dropping_an_upload_removes_its_file() {
    let (_directory, disk) = new_disk();
    for size in [0, 5 << 20] {
        let mut upload = disk.create(&new_key()).await.expect("an upload starts");
        upload.write(vec![1; size].into()).await.expect("bytes are accepted");
        assert_eq!(tree(&disk).len(), empty_tree().len() + 1);
        drop(upload);
        assert_eq!(tree(&disk), empty_tree());
    }
}

#[test]
fn dropping_a_write_loses_the_upload() {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    let (_directory, disk) = new_disk();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime starts");
    let mut upload = runtime.block_on(disk.create(&new_key())).expect("an upload starts");
    // The only thread that may block is busy, so the write cannot finish before it is dropped.
    let (release, busy) = mpsc::channel::<()>();
    let thread = runtime.spawn_blocking(move || busy.recv());
    {
        let _entered = runtime.enter();
        let polled = pin!(upload.write(vec![1; 2 << 20].into()))
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    drop(release);
    runtime.block_on(thread).expect("the task does not panic").expect_err("the sender was dropped");
    assert!(matches!(
        runtime.block_on(upload.write(Bytes::from_static(b"more"))),
        Err(Error::Interrupted { .. })
    ));
    assert!(matches!(runtime.block_on(upload.complete()), Err(Error::Interrupted { .. })));
    drop(runtime);
    assert_eq!(tree(&disk), empty_tree());
}

#[tokio::test]
async fn sweeps_unfinished_files_by_age() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"an object").await;
    let hours_ago = |hours| SystemTime::now() - Duration::from_hours(hours);
    for (name, hours) in [("old", 25), ("young", 23)] {
        let path = disk.directory.join(UNFINISHED).join(name);
        let file = File::create(path).expect("a file can be created");
        file.set_modified(hours_ago(hours)).expect("times can be set");
    }
    let object = OpenOptions::new()
        .write(true)
        .open(disk.directory.join(key.as_str()))
        .expect("the object is a file");
    object.set_modified(hours_ago(1000)).expect("times can be set");

    assert_eq!(disk.sweep(Duration::from_hours(24), &[]).await.expect("the sweep succeeds"), 1);
    let unfinished: Vec<String> = tree(&disk)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("unfinished/"))
        .collect();
    assert_eq!(unfinished, ["unfinished/young"]);
    assert_eq!(disk.head(&key).await.expect("the object exists").size, 9);
}

#[tokio::test]
async fn reopens_a_directory() {
    let (directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"an object").await;
    drop(disk);
    let disk = open_disk(&directory.path().join("data")).expect("the directory is usable again");
    assert_eq!(disk.read(&key, 3..9).await.expect("the object exists"), "object");
}

#[tokio::test]
async fn ignores_foreign_files() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"an object").await;
    let file = disk.directory.join(key.as_str());
    let parent = file.parent().expect("a key has a directory");
    fs::write(parent.join("notes.txt"), "foreign").expect("a file can be written");
    fs::write(disk.directory.join("videos/notes.txt"), "foreign").expect("a file can be written");
    let listed: Vec<Key> = disk
        .list("", None)
        .await
        .expect("objects can be listed")
        .into_iter()
        .map(|object| object.key)
        .collect();
    assert_eq!(listed, std::slice::from_ref(&key));
    let directory = Key::archive(key.user_id(), key.job_id(), 2);
    fs::create_dir(disk.directory.join(directory.as_str())).expect("a directory can be created");
    assert!(matches!(disk.head(&directory).await, Err(Error::NotFound { .. })));
    assert!(matches!(disk.read(&directory, 0..0).await, Err(Error::NotFound { .. })));
    disk.delete(&key).await.expect("the object can be deleted");
    assert!(parent.join("notes.txt").exists());
}

#[tokio::test]
async fn verifies_its_own_links() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"an object").await;
    let link =
        disk.link(&key, "film.zip", Duration::from_mins(15)).await.expect("links can be created");
    let (path, query) = link.split_once('?').expect("the link has a query");
    let values: Vec<&str> =
        query.split('&').filter_map(|pair| pair.split_once('=').map(|(_, value)| value)).collect();
    let [expires, filename, signature] = values[..] else { panic!("{query}") };
    let text = path.strip_prefix(LINK_PREFIX).expect("the path has the prefix");
    let verified = disk.verify_link(text, expires.parse().expect("a number"), filename, signature);
    assert_eq!(verified, Ok(key));
}

#[tokio::test]
async fn names_an_unusable_directory() {
    let (directory, disk) = new_disk();
    let file = directory.path().join("file");
    fs::write(&file, "").expect("a file can be written");
    let error = open_disk(&file).expect_err("a file is not a directory").to_string();
    assert!(error.contains(file.to_str().expect("names are UTF-8")), "{error}");

    disk.check().await.expect("the storage is usable");
    fs::remove_dir(disk.directory.join(UNFINISHED)).expect("the directory can be removed");
    let error = disk.check().await.expect_err("the directory of uploads is missing");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(disk.create(&new_key()).await.is_err_and(|error| error.retry_may_help()));
}

#[tokio::test]
async fn a_swept_upload_leaves_no_directory() {
    let (_directory, disk) = new_disk();
    let mut upload = disk.create(&new_key()).await.expect("an upload starts");
    upload.write(Bytes::from_static(b"an object")).await.expect("bytes are accepted");
    assert_eq!(disk.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds"), 1);
    assert!(matches!(upload.complete().await, Err(Error::Interrupted { .. })));
    assert_eq!(tree(&disk), empty_tree());
}

#[tokio::test]
async fn reports_a_file_in_place_of_a_directory() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    fs::write(disk.directory.join(format!("videos/{}", key.user_id())), "foreign")
        .expect("a file can be written");
    let upload = disk.create(&key).await.expect("an upload starts");
    assert!(matches!(upload.complete().await, Err(Error::Unavailable { .. })));
    assert!(matches!(disk.head(&key).await, Err(Error::NotFound { .. })));
    disk.delete(&key).await.expect("a missing object is not an error");
    assert_eq!(tree(&disk).len(), 4, "the foreign file remains, the upload does not");
}

/// Writing to `/dev/full` fails like writing to a full file system (full(4)).
#[test]
fn reports_a_full_disk() {
    let mut full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has /dev/full");
    let error = full.write_all(b"an object").expect_err("the device is full");
    assert!(matches!(Error::from_io(|| "write".to_owned(), error), Error::Full));
}

/// Size that needs several windows of the reader.
const COPY_SIZE: usize = (6 << 20) + 3;

#[test]
fn many_synchronous_copies_share_a_runtime_with_one_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime starts");
    let (_directory, disk) = new_disk();
    let (storage, key) = (Arc::new(disk), new_key());
    let bytes = content(1, COPY_SIZE);
    let object = runtime.block_on(async {
        let mut upload = storage.create(&key).await.expect("an upload starts");
        upload.write(bytes.clone()).await.expect("bytes are accepted");
        upload.complete().await.expect("the upload completes");
        storage.head(&key).await.expect("the object exists")
    });
    std::thread::scope(|scope| {
        for fence in 2..10 {
            let (storage, object, bytes) = (Arc::clone(&storage), &object, &bytes);
            let handle = runtime.handle().clone();
            scope.spawn(move || {
                let copy = Key::archive(object.key.user_id(), object.key.job_id(), fence);
                let upload = handle.block_on(storage.create(&copy)).expect("an upload starts");
                let mut writer = Writer::new(upload, handle.clone());
                let mut reader =
                    Reader::new(Arc::clone(&storage) as Arc<dyn Storage>, object, handle.clone());
                let copied = io::copy(&mut reader, &mut writer).expect("the object is copied");
                assert_eq!(copied, object.size);
                let upload = writer.into_upload().expect("the last bytes are written");
                let size = handle.block_on(upload.complete()).expect("the upload completes");
                assert_eq!(size, object.size);
                let read = handle.block_on(storage.read(&copy, 0..size));
                assert!(read.expect("the copy exists") == *bytes);
            });
        }
    });
}

#[test]
fn a_swept_file_fails_the_upload_of_a_writer() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime starts");
    let (_directory, disk) = new_disk();
    let key = new_key();
    runtime.block_on(put(&disk, &key, b"an object"));
    let object = runtime.block_on(disk.head(&key)).expect("the object exists");
    let upload = runtime.block_on(disk.create(&key)).expect("an upload starts");
    assert_eq!(runtime.block_on(disk.sweep(Duration::ZERO, &[])).expect("the sweep succeeds"), 1);
    let mut writer = Writer::new(upload, runtime.handle().clone());
    writer.write_all(b"another").expect("the bytes are buffered");
    let upload = writer.into_upload().expect("the bytes are buffered");
    let error = runtime.block_on(upload.complete()).expect_err("the file was swept");
    assert!(matches!(&error, Error::Interrupted { key: lost } if *lost == key), "{error}");
    assert_eq!(runtime.block_on(disk.head(&key)).expect("the old object remains"), object);
}
