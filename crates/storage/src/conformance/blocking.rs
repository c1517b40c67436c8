//! Synchronous readers and writers.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::content::{content, get, list_all, new_key, put, user_prefix};
use crate::blocking::{Reader, Writer};
use crate::error::Error;
use crate::interface::Storage;

/// Size of several windows of the reader.
const SIZE: usize = (13 << 20) + 5;

pub(super) async fn reader_behaves_like_memory(storage: &Arc<dyn Storage>) {
    for size in [0, 1, SIZE] {
        let (key, bytes) = (new_key(), content(1, size));
        let object = put(&**storage, &key, &bytes).await;
        let (storage_clone, runtime) = (Arc::clone(storage), Handle::current());
        let thread = spawn_blocking(move || {
            compare_with_memory(Reader::new(storage_clone, &object, runtime), &bytes);
        });
        thread.await.expect("the reader behaves like memory");
        storage.delete(&key).await.expect("the object can be deleted");
    }
}

/// Read the whole object, and then at random positions.
fn compare_with_memory(mut reader: Reader, bytes: &Bytes) {
    let size = bytes.len() as i64;
    let mut memory = Cursor::new(bytes);
    let mut whole = Vec::new();
    reader.read_to_end(&mut whole).expect("the object can be read");
    assert!(whole == *bytes, "{size} bytes are read in order");
    memory.seek(SeekFrom::End(0)).expect("memory has an end");

    let mut rng = SmallRng::seed_from_u64(1);
    for step in 0..400 {
        // Long and short jumps, including positions before the start and past the end.
        let far = rng.random_range(0..=size + size / 8);
        let near = rng.random_range(0..400_000);
        let to = match rng.random_range(0..5) {
            0 => SeekFrom::Start(far.unsigned_abs()),
            1 => SeekFrom::End(-far),
            2 => SeekFrom::Current(-near),
            3 => SeekFrom::Current(near),
            _ => SeekFrom::Current(0),
        };
        let (actual, expected) = (reader.seek(to), memory.seek(to));
        assert_eq!(
            actual.map_err(|error| error.kind()),
            expected.map_err(|error| error.kind()),
            "step {step}: {to:?}"
        );
        let length = rng.random_range(0..300_000);
        let (mut actual, mut expected) = (Vec::new(), Vec::new());
        let read = reader.by_ref().take(length).read_to_end(&mut actual);
        read.expect("the object can be read");
        memory.by_ref().take(length).read_to_end(&mut expected).expect("memory can be read");
        assert!(actual == expected, "step {step}: {length} bytes after {to:?} of {size}");
        assert_eq!(reader.stream_position().ok(), memory.stream_position().ok());
    }
}

pub(super) async fn writer_keeps_the_order(storage: &Arc<dyn Storage>) {
    for size in [0, 1, SIZE] {
        let (key, bytes) = (new_key(), content(2, size));
        let upload = storage.create(&key).await.expect("an upload starts");
        let (source, runtime) = (bytes.clone(), Handle::current());
        let thread = spawn_blocking(move || -> io::Result<_> {
            let mut writer = Writer::new(upload, runtime);
            let (mut rest, mut rng) = (&source[..], SmallRng::seed_from_u64(3));
            while !rest.is_empty() {
                // Single bytes as well as more than the buffer of the writer.
                let limit = if rng.random() { 3 } else { 3_000_000 };
                let length = rng.random_range(1..=limit);
                let (chunk, after) = rest.split_at(length.min(rest.len()));
                writer.write_all(chunk)?;
                rest = after;
            }
            writer.into_upload()
        });
        let upload = thread.await.expect("the writer does not panic").expect("the writer succeeds");
        let listed = list_all(&**storage, &user_prefix(&key)).await;
        assert_eq!(listed, [], "the upload is not complete yet");
        assert_eq!(upload.complete().await.expect("the upload completes"), size as u64);
        assert!(get(&**storage, &key).await == bytes);
        storage.delete(&key).await.expect("the object can be deleted");
    }

    let key = new_key();
    let upload = storage.create(&key).await.expect("an upload starts");
    let runtime = Handle::current();
    let thread = spawn_blocking(move || Writer::new(upload, runtime).write_all(&content(3, SIZE)));
    thread.await.expect("the writer does not panic").expect("the writer succeeds");
    let listed = list_all(&**storage, &user_prefix(&key)).await;
    assert_eq!(listed, [], "a dropped writer leaves no object");
    // The adapter may still be cleaning up, so the number of remains is unknown.
    storage.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds");
}

pub(super) async fn reader_reports_a_missing_object(storage: &Arc<dyn Storage>) {
    let key = new_key();
    let object = put(&**storage, &key, &content(4, 100)).await;
    storage.delete(&key).await.expect("the object can be deleted");
    let mut reader = Reader::new(Arc::clone(storage), &object, Handle::current());
    let read = spawn_blocking(move || {
        reader.read(&mut [0; 10]).map_err(|error| (error.kind(), error.downcast::<Error>()))
    });
    match read.await.expect("the reader does not panic") {
        Err((io::ErrorKind::NotFound, Ok(Error::NotFound { key: missing }))) => {
            assert_eq!(missing, key);
        }
        other => panic!("the object was deleted, but the result is {other:?}"),
    }
}
