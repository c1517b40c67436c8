//! Objects read and written by synchronous code.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::{content, get, listing, new_key, put, random, users};
use crate::blocking::{Reader, Writer};
use crate::{Error, Storage};

/// Several of the reader's largest windows.
const SIZE: usize = (13 << 20) + 5;

pub(super) async fn read_as_from_memory(storage: &Arc<dyn Storage>) {
    for size in [0, 1, SIZE] {
        let (key, bytes) = (new_key(), content(1, size));
        let object = put(&**storage, &key, &bytes).await;
        let (storage_there, runtime) = (Arc::clone(storage), Handle::current());
        let thread = spawn_blocking(move || {
            let mut memory = Cursor::new(bytes.clone());
            let mut reader = Reader::new(storage_there, &object, runtime);
            let mut whole = Vec::new();
            reader.read_to_end(&mut whole).expect("the object can be read");
            assert!(whole == bytes, "{size} bytes are read in order");
            memory.seek(SeekFrom::End(0)).expect("memory has an end");

            let mut state = 1;
            for step in 0..400 {
                let number = random(&mut state);
                // Far jumps and near ones, to places before the start and past the end as well.
                let far = (number >> 8) as i64 % (size as i64 + size as i64 / 8 + 2);
                let near = (number >> 8) as i64 % 400_000;
                let to = match number % 5 {
                    0 => SeekFrom::Start(far.unsigned_abs()),
                    1 => SeekFrom::End(-far),
                    2 => SeekFrom::Current(-near),
                    3 => SeekFrom::Current(near),
                    _ => SeekFrom::Current(0),
                };
                let (ours, its) = (reader.seek(to), memory.seek(to));
                assert_eq!(
                    ours.map_err(|error| error.kind()),
                    its.map_err(|error| error.kind()),
                    "step {step}: {to:?}"
                );
                let length = (number >> 40) % 300_000;
                let (mut ours, mut its) = (Vec::new(), Vec::new());
                reader
                    .by_ref()
                    .take(length)
                    .read_to_end(&mut ours)
                    .expect("the object can be read");
                memory.by_ref().take(length).read_to_end(&mut its).expect("memory can be read");
                assert!(ours == its, "step {step}: {length} bytes after {to:?} of {size}");
                assert_eq!(reader.stream_position().ok(), memory.stream_position().ok());
            }
        });
        thread.await.expect("the reader does as memory does");
        storage.delete(&key).await.expect("the object can be deleted");
    }
}

pub(super) async fn write_in_order(storage: &Arc<dyn Storage>) {
    for size in [0, 1, SIZE] {
        let (key, bytes) = (new_key(), content(2, size));
        let upload = storage.create(&key).await.expect("an upload begins");
        let (written, runtime) = (bytes.clone(), Handle::current());
        let thread = spawn_blocking(move || -> io::Result<_> {
            let mut writer = Writer::new(upload, runtime);
            let (mut rest, mut state) = (&written[..], 3);
            while !rest.is_empty() {
                // Single bytes, and more than is gathered.
                let length =
                    1 + random(&mut state) as usize % if state % 2 == 0 { 3 } else { 3_000_000 };
                let (piece, after) = rest.split_at(length.min(rest.len()));
                writer.write_all(piece)?;
                rest = after;
            }
            writer.into_upload()
        });
        let upload = thread.await.expect("the writer does not panic").expect("the writer writes");
        assert_eq!(
            listing(&**storage, &users(&key)).await,
            [],
            "what is written is not complete yet"
        );
        assert_eq!(upload.complete().await.expect("the upload is completed"), size as u64);
        assert!(get(&**storage, &key).await == bytes);
        storage.delete(&key).await.expect("the object can be deleted");
    }

    let key = new_key();
    let (upload, runtime) =
        (storage.create(&key).await.expect("an upload begins"), Handle::current());
    let thread = spawn_blocking(move || Writer::new(upload, runtime).write_all(&content(3, SIZE)));
    thread.await.expect("the writer does not panic").expect("the writer writes");
    assert_eq!(listing(&**storage, &users(&key)).await, [], "a dropped writer leaves nothing");
    // An adapter may still be at it, so what is left is not counted.
    storage.sweep(Duration::ZERO).await.expect("sweeping works");
}

pub(super) async fn tell_what_is_missing(storage: &Arc<dyn Storage>) {
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
        other => panic!("the object is gone, but reading gave {other:?}"),
    }
}
