//! The engine's run on a thread of its own, between a stored video and an upload.

use std::sync::Arc;

use frames::{Options, Report};
use jobs::FailureCode;
use storage::blocking::{Reader, Writer};
use storage::{Object, Storage, Upload};
use tokio::runtime::Handle;

use crate::lease::Progress;

/// Why an attempt gave no archive.
#[derive(Debug)]
pub struct Failure {
    /// The code that its user will see.
    pub code: FailureCode,
    /// What happened, for the history and the log.
    pub message: String,
}

impl Failure {
    /// A failure of the store.
    pub fn storage(doing: &str, error: &storage::Error) -> Self {
        Self { code: FailureCode::StorageError, message: format!("{doing}: {error}") }
    }
}

impl From<frames::Error> for Failure {
    fn from(error: frames::Error) -> Self {
        // A code that the vocabulary does not know would be a fault of this program, not of the video.
        let code = error.code().parse().unwrap_or(FailureCode::InternalError);
        Self { code, message: error.to_string() }
    }
}

/// Take the pictures of a video and write their archive to an upload, which is given back unfinished.
///
/// The reading and writing sides enter the run-time from the engine's threads. When the returned future is dropped, the engine goes on
/// until its stop is turned.
pub async fn run(
    storage: Arc<dyn Storage>,
    video: Object,
    upload: Box<dyn Upload>,
    options: Options,
    progress: Arc<Progress>,
) -> Result<(Report, Box<dyn Upload>), Failure> {
    let runtime = Handle::current();
    let engine = tokio::task::spawn_blocking(move || {
        let source = Reader::new(storage, &video, runtime.clone());
        let mut sink = Writer::new(upload, runtime);
        let report = frames::extract(source, &mut sink, &options, |now| progress.set(now))?;
        let upload = sink.into_upload().map_err(frames::Error::Write)?;
        Ok((report, upload))
    });
    engine.await.unwrap_or_else(|panic| {
        Err(Failure { code: FailureCode::InternalError, message: format!("the engine broke down: {panic}") })
    })
}
