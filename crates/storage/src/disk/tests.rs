//! What only holds of directories and files.

use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use jobs::{JobId, UserId};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use super::*;
use crate::conformance;

fn open_disk(directory: &Path) -> Result<Disk, Error> {
    Disk::open(directory, &SecretSlice::from(vec![7; SHORTEST_SIGNING_KEY]), Clock::default())
}

fn new_disk() -> (TempDir, Disk) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let disk = open_disk(&directory.path().join("data")).expect("the directory can be used");
    (directory, disk)
}

fn new_key() -> Key {
    Key::archive(UserId::generate(), JobId::generate(), 1)
}

async fn put(disk: &Disk, key: &Key, bytes: &'static [u8]) {
    let mut upload = disk.create(key).await.expect("an upload begins");
    upload.write(Bytes::from_static(bytes)).await.expect("bytes are taken");
    upload.complete().await.expect("the upload is completed");
}

/// Paths below the storage's directory, with their modes.
fn tree(disk: &Disk) -> Vec<(String, u32)> {
    fn visit(root: &Path, directory: &Path, found: &mut Vec<(String, u32)>) {
        for entry in fs::read_dir(directory).expect("the directory can be read") {
            let path = entry.expect("the entry can be read").path();
            let metadata = fs::symlink_metadata(&path).expect("the file is there");
            let name = path
                .strip_prefix(root)
                .expect("it lies below")
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
    vec![("unfinished".to_owned(), 0o700), ("videos".to_owned(), 0o700)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_conforms() {
    let (_directory, disk) = new_disk();
    let disk = Arc::new(disk);
    conformance::all(Arc::clone(&disk) as Arc<dyn Storage>).await;
    assert_eq!(tree(&disk), empty_tree(), "empty folders go with the last object in them");
}

#[tokio::test]
async fn nobody_else_can_read() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"a picture").await;
    let mut upload = disk.create(&key).await.expect("an upload begins");
    upload.write(Bytes::from_static(b"another")).await.expect("bytes are taken");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&disk.directory), 0o700);
    let modes = tree(&disk);
    assert_eq!(modes.len(), 6, "two directories, two folders, two files: {modes:?}");
    for (name, mode) in modes {
        let expected = if disk.directory.join(&name).is_file() { 0o600 } else { 0o700 };
        assert_eq!(mode, expected, "{name}");
    }
}

#[tokio::test]
async fn an_upload_given_up_is_gone_at_once() {
    let (_directory, disk) = new_disk();
    for size in [0, 5 << 20] {
        let mut upload = disk.create(&new_key()).await.expect("an upload begins");
        upload.write(vec![1; size].into()).await.expect("bytes are taken");
        assert_eq!(tree(&disk).len(), 3);
        drop(upload);
        assert_eq!(tree(&disk), empty_tree());
    }
}

#[test]
fn a_write_given_up_loses_the_upload() {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    let (_directory, disk) = new_disk();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime starts");
    let mut upload = runtime.block_on(disk.create(&new_key())).expect("an upload begins");
    // The only thread that may write is busy, so the write cannot be over when it is given up.
    let (release, busy) = mpsc::channel::<()>();
    let thread = runtime.spawn_blocking(move || busy.recv());
    {
        let _entered = runtime.enter();
        let polled = pin!(upload.write(vec![1; 2 << 20].into()))
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    drop(release);
    runtime.block_on(thread).expect("it does not panic").expect_err("nothing was sent");
    assert!(matches!(
        runtime.block_on(upload.write(Bytes::from_static(b"more"))),
        Err(Error::CutShort { .. })
    ));
    assert!(matches!(runtime.block_on(upload.complete()), Err(Error::CutShort { .. })));
    drop(runtime);
    assert_eq!(tree(&disk), empty_tree());
}

#[tokio::test]
async fn what_a_crash_left_is_swept_by_age() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"a picture").await;
    let hours_ago = |hours| SystemTime::now() - Duration::from_hours(hours);
    for (name, hours) in [("old", 25), ("young", 23)] {
        let file =
            File::create(disk.directory.join(UNFINISHED).join(name)).expect("a file can be made");
        file.set_modified(hours_ago(hours)).expect("times can be set");
    }
    let object = OpenOptions::new()
        .write(true)
        .open(disk.directory.join(key.as_str()))
        .expect("the object is a file");
    object.set_modified(hours_ago(1000)).expect("times can be set");

    assert_eq!(disk.sweep(Duration::from_hours(24)).await.expect("sweeping works"), 1);
    let unfinished: Vec<String> = tree(&disk)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("unfinished/"))
        .collect();
    assert_eq!(unfinished, ["unfinished/young"]);
    assert_eq!(disk.head(&key).await.expect("the object is there").size, 9);
}

#[tokio::test]
async fn a_directory_can_be_opened_again() {
    let (directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"a picture").await;
    drop(disk);
    let disk = open_disk(&directory.path().join("data")).expect("the directory can be used again");
    assert_eq!(disk.read(&key, 2..9).await.expect("the object is there"), "picture");
}

#[tokio::test]
async fn files_of_others_are_no_objects() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"a picture").await;
    let file = disk.directory.join(key.as_str());
    let folder = file.parent().expect("a key has a folder");
    fs::write(folder.join("notes.txt"), "mine").expect("a file can be written");
    fs::write(disk.directory.join("videos/notes.txt"), "mine").expect("a file can be written");
    let listed: Vec<Key> = disk
        .list("", None)
        .await
        .expect("it can be listed")
        .into_iter()
        .map(|object| object.key)
        .collect();
    assert_eq!(listed, std::slice::from_ref(&key));
    let directory = Key::archive(key.job().0, key.job().1, 2);
    fs::create_dir(disk.directory.join(directory.as_str())).expect("a directory can be made");
    assert!(matches!(disk.head(&directory).await, Err(Error::NotFound { .. })));
    assert!(matches!(disk.read(&directory, 0..0).await, Err(Error::NotFound { .. })));
    assert!(matches!(disk.open_file(&directory).await, Err(Error::NotFound { .. })));
    disk.delete(&key).await.expect("the object can be deleted");
    assert!(folder.join("notes.txt").exists());
}

#[tokio::test]
async fn a_link_leads_to_a_file() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    put(&disk, &key, b"a picture").await;
    let link =
        disk.link(&key, "film.zip", Duration::from_mins(15)).await.expect("links can be made");
    let (path, query) = link.split_once('?').expect("there is a query");
    let values: Vec<&str> =
        query.split('&').filter_map(|pair| pair.split_once('=').map(|(_, value)| value)).collect();
    let [expires, filename, signature] = values[..] else { panic!("{query}") };
    let text = path.strip_prefix(LINKS).expect("the path begins as all do");
    let verified = disk.verify(text, expires.parse().expect("a number"), filename, signature);
    assert_eq!(verified, Ok(key.clone()));
    let mut bytes = Vec::new();
    disk.open_file(&key)
        .await
        .expect("the object is there")
        .read_to_end(&mut bytes)
        .await
        .expect("it can be read");
    assert_eq!(bytes, b"a picture");
    disk.delete(&key).await.expect("the object can be deleted");
    assert!(
        matches!(disk.open_file(&key).await, Err(Error::NotFound { key: missing }) if missing == key)
    );
}

#[tokio::test]
async fn what_is_in_the_way_is_named() {
    let (directory, disk) = new_disk();
    let file = directory.path().join("file");
    fs::write(&file, "").expect("a file can be written");
    let refused = open_disk(&file).expect_err("a file is no directory").to_string();
    assert!(refused.contains(file.to_str().expect("names are UTF-8")), "{refused}");

    disk.check().await.expect("the storage can be used");
    fs::remove_dir(disk.directory.join(UNFINISHED)).expect("the directory can be removed");
    let refused = disk.check().await.expect_err("there is no place for uploads");
    assert!(matches!(refused, Error::Unavailable { .. }), "{refused}");
    assert!(disk.create(&new_key()).await.is_err_and(|error| error.retry_may_help()));
}

#[tokio::test]
async fn an_upload_swept_away_leaves_no_folder() {
    let (_directory, disk) = new_disk();
    let mut upload = disk.create(&new_key()).await.expect("an upload begins");
    upload.write(Bytes::from_static(b"a picture")).await.expect("bytes are taken");
    assert_eq!(disk.sweep(Duration::ZERO).await.expect("sweeping works"), 1);
    assert!(matches!(upload.complete().await, Err(Error::CutShort { .. })));
    assert_eq!(tree(&disk), empty_tree());
}

#[tokio::test]
async fn a_file_in_place_of_a_folder_is_an_error() {
    let (_directory, disk) = new_disk();
    let key = new_key();
    fs::write(disk.directory.join(format!("videos/{}", key.job().0)), "mine")
        .expect("a file can be written");
    let upload = disk.create(&key).await.expect("an upload begins");
    assert!(matches!(upload.complete().await, Err(Error::Unavailable { .. })));
    assert!(matches!(disk.head(&key).await, Err(Error::NotFound { .. })));
    disk.delete(&key).await.expect("there is nothing to delete");
    assert_eq!(tree(&disk).len(), 3, "the file stays, the upload does not");
}

/// Writing to `/dev/full` fails as it does on a file system without room (full(4)).
#[test]
fn the_system_says_when_a_disk_is_full() {
    use std::io::Write;
    let mut full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let error = full.write_all(b"a picture").expect_err("nothing fits");
    assert!(matches!(Error::of_system(|| "write".to_owned(), error), Error::Full));
}
