//! Serving the video to a cell.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

use jobs::FailureCode;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::protocol::{self, CellTask, MAX_CHUNK, RangeRequest};
use crate::attempt_error::AttemptError;

/// Number of times that a cell may read the whole video. An extraction that starts again because
/// its plan was contradicted does so a few times.
const MAX_PASSES: u64 = 32;

/// Bytes that a cell may read of any video in addition. Small files are read in many small ranges.
const EXTRA_BYTES: u64 = 1 << 30;

/// Bytes for which a shorter range counts: what a request costs, whatever its length.
const MIN_COST: u64 = 16 << 10;

/// Text of any error of reading for the cell. It must not learn more.
const UNREADABLE: &str = "the video cannot be read";

/// What is known of the ranges that a cell has requested.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// Bytes that were sent.
    bytes: AtomicU64,
    /// First error of reading.
    read_error: Mutex<Option<AttemptError>>,
    /// First violation of the protocol.
    violation: Mutex<Option<String>>,
    /// Cancelled at a violation.
    violated: CancellationToken,
}

impl Served {
    /// Bytes that were sent.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// First error of reading, if there was one.
    pub(super) fn read_error(&self) -> Option<AttemptError> {
        self.read_error.lock().clone()
    }

    /// Wait for a violation of the protocol. Return its description.
    pub(super) async fn violation(&self) -> String {
        self.violated.cancelled().await;
        self.violation.lock().clone().unwrap_or_default()
    }

    fn violate(&self, description: String) {
        self.violation.lock().get_or_insert(description);
        self.violated.cancel();
    }
}

/// Send a cell its task and the ranges of the video that it requests, until it closes the channel
/// or violates the protocol.
pub(super) fn serve(
    channel: &mut UnixStream,
    mut video: impl Read + Seek,
    task: &CellTask,
    served: &Served,
) -> io::Result<()> {
    protocol::send_task(channel, task)?;
    let mut buffer = vec![0; MAX_CHUNK];
    let mut budget = task.video_bytes.saturating_mul(MAX_PASSES).saturating_add(EXTRA_BYTES);
    loop {
        let request = match protocol::receive_range_request(channel) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                served.violate(format!("the cell requested an invalid range: {error}"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let RangeRequest { offset, length } = request;
        let cost = MIN_COST.max(length as u64);
        if offset.checked_add(length as u64).is_none_or(|end| end > task.video_bytes) {
            let size = task.video_bytes;
            served.violate(format!(
                "the cell requested {length} bytes at {offset} of a video of {size} bytes"
            ));
            return Ok(());
        }
        let Some(left) = budget.checked_sub(cost) else {
            let bytes = served.bytes();
            served.violate(format!("the cell has read {bytes} bytes and requests more"));
            return Ok(());
        };
        budget = left;
        let range = &mut buffer[..length];
        let read = video.seek(SeekFrom::Start(offset)).and_then(|_| video.read_exact(range));
        let range = match read {
            Ok(()) => Ok(&*range),
            Err(error) => {
                served.read_error.lock().get_or_insert_with(|| read_error(&error));
                Err(UNREADABLE)
            }
        };
        served.bytes.fetch_add(length as u64, Ordering::Relaxed);
        protocol::send_range(channel, range)?;
    }
}

/// The error of an attempt whose video cannot be read: in the store, unless it is another one.
fn read_error(error: &io::Error) -> AttemptError {
    AttemptError::within(error).unwrap_or_else(|| {
        AttemptError::new(FailureCode::StorageError, format!("the video cannot be read: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::num::NonZeroUsize;

    use jobs::Recipe;

    use super::super::protocol::CellLimits;
    use super::*;
    use crate::engine::EngineLimits;

    fn task(video_bytes: u64) -> CellTask {
        let engine = EngineLimits { archive_bytes: 0, frame_pixels: 0, frames: 0 };
        let limits = CellLimits { engine, memory_bytes: 0, cpu_seconds: 0 };
        CellTask { video_bytes, recipe: Recipe::default(), threads: NonZeroUsize::MIN, limits }
    }

    /// Serve a video to a cell that sends these requests. Return what is known afterwards.
    fn serve_requests(video: impl Read + Seek, size: u64, requests: &[(u64, u32)]) -> Served {
        let (mut channel, mut cell) = UnixStream::pair().expect("a pair");
        let served = Served::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                protocol::receive_task(&mut cell).expect("a task");
                for (offset, length) in requests {
                    let request = [&offset.to_le_bytes()[..], &length.to_le_bytes()].concat();
                    let answer = cell.write_all(&request).and_then(|()| {
                        let mut header = [0; 5];
                        cell.read_exact(&mut header)?;
                        let [_, length @ ..] = header;
                        let length = u32::from_le_bytes(length) as usize;
                        cell.read_exact(&mut vec![0; length])
                    });
                    if answer.is_err() {
                        break;
                    }
                }
                drop(cell);
            });
            serve(&mut channel, video, &task(size), &served).expect("the channel works");
            drop(channel);
        });
        served
    }

    fn violation(served: &Served) -> Option<String> {
        served.violation.lock().clone()
    }

    #[test]
    fn ranges_of_the_video_are_served() {
        let served = serve_requests(Cursor::new([0; 1000]), 1000, &[(0, 1000), (990, 10), (5, 0)]);
        assert_eq!((served.bytes(), violation(&served)), (1010, None));
    }

    #[test]
    fn ranges_outside_of_the_video_are_violations() {
        for request in [(991, 10), (u64::MAX, 1), (u64::MAX - 5, 1 << 20), (0, u32::MAX)] {
            let served = serve_requests(Cursor::new([0; 1000]), 1000, &[request]);
            assert!(violation(&served).is_some(), "{request:?}");
            assert_eq!((served.bytes(), served.read_error()), (0, None), "{request:?}");
        }
    }

    #[test]
    fn an_error_of_the_storage_is_kept() {
        let served = serve_requests(Cursor::new([0; 10]), 1000, &[(0, 1000), (0, 5)]);
        let error = served.read_error().expect("an error");
        assert_eq!(error.code, FailureCode::StorageError);
        assert_eq!(violation(&served), None);
    }

    #[test]
    fn reading_without_end_is_a_violation() {
        let requests = vec![(0, 1 << 20); (EXTRA_BYTES >> 20) as usize + MAX_PASSES as usize + 1];
        let served = serve_requests(Cursor::new(vec![0; 1 << 20]), 1 << 20, &requests);
        let read = violation(&served).expect("a violation");
        assert!(read.contains("has read"), "{read}");
    }
}
