//! Receiving the output of a cell. Nothing in it is trusted: a video may have taken the cell over.

use std::io::{ErrorKind, PipeReader, Write};
use std::sync::Arc;

use frames::{Preview, Progress, Report};
use jobs::FailureCode;

use super::protocol::{self, CellLimits, CellMessage, CellOutput, MAX_CHUNK};
use super::text::{printable, printable_list, printable_warnings};
use crate::archive_quota::ArchiveWriter;
use crate::attempt_error::AttemptError;
use crate::attempt_io::ExtractedArchive;
use crate::previews::PreviewSender;
use crate::progress::SharedProgress;

/// Number of messages that a cell may send in addition to one for each frame.
const MAX_OTHER_MESSAGES: u64 = 16;

/// Number of previews that a cell may send: more than the engine makes in the longest attempt.
const MAX_PREVIEWS: u64 = 1024;

/// First bytes of a JPEG: start of image, and the next marker (ITU-T T.81, B.1.1.3).
const JPEG_START: [u8; 3] = [0xFF, 0xD8, 0xFF];

/// Number of pieces of the archive that may be shorter than [`MAX_CHUNK`].
const MAX_SHORT_PIECES: u64 = 16;

/// Reason why no archive was received from a cell.
#[derive(Debug)]
pub(super) enum ReceiveError {
    /// The video caused an error, or the worker's side failed.
    Attempt(AttemptError),
    /// The cell reported a code that only the service may choose.
    ServiceCode { code: FailureCode, message: String },
    /// The output ended before the last message.
    EndOfOutput {
        /// Whether the cell had reported its confinement, so that it has seen the video.
        was_confined: bool,
    },
}

impl From<frames::Error> for ReceiveError {
    fn from(error: frames::Error) -> Self {
        Self::Attempt(error.into())
    }
}

/// Error of a cell that violates the protocol.
pub(super) fn violation(message: String) -> AttemptError {
    AttemptError::new(FailureCode::DecoderCrashed, message)
}

/// Whether a cell may report a failure with this code: whether a video can be the cause, as far as
/// the engine itself decides it. The others are for what the worker observes.
pub(super) const fn may_be_reported(code: FailureCode) -> bool {
    match code {
        FailureCode::EmptyFile
        | FailureCode::UnsupportedContainer
        | FailureCode::VideoDamaged
        | FailureCode::NoVideoStream
        | FailureCode::TooManyStreams
        | FailureCode::FfmpegCodecError
        | FailureCode::PictureTooLarge
        | FailureCode::NothingSelected
        | FailureCode::TooManyFrames
        | FailureCode::VideoTooLong
        | FailureCode::ArchiveTooLarge
        | FailureCode::OutOfMemory => true,
        FailureCode::ProcessingTimeout
        | FailureCode::QuotaExceeded
        | FailureCode::DecoderCrashed
        | FailureCode::WorkerLost
        | FailureCode::StorageError
        | FailureCode::VideoMissing
        | FailureCode::SourceUnreachable
        | FailureCode::SourceRefused
        | FailureCode::SourceTooLarge
        | FailureCode::SourceChanged
        | FailureCode::InternalError => false,
    }
}

/// Receives the output of a cell and uploads the archive.
pub(super) struct Receiver {
    pub output: PipeReader,
    pub upload: ArchiveWriter,
    pub limits: CellLimits,
    pub require_confinement: bool,
    pub progress: Arc<SharedProgress>,
    pub previews: PreviewSender,
    pub received: Received,
}

/// What a cell has sent so far.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Whether the first message was received.
    is_confined: bool,
    /// Bytes of the archive.
    archive_bytes: u64,
    /// Number of pieces of the archive that are not full.
    short_pieces: u64,
    messages: u64,
    previews: u64,
}

impl Receiver {
    /// Receive until the last message.
    pub(super) fn run(mut self) -> Result<ExtractedArchive, ReceiveError> {
        loop {
            let output = protocol::receive_output(&mut self.output).map_err(|error| {
                let was_confined = self.received.is_confined;
                match error.kind() {
                    ErrorKind::UnexpectedEof => ReceiveError::EndOfOutput { was_confined },
                    _ => violated(format!("the cell sent invalid data: {error}")),
                }
            })?;
            match (output, self.received.is_confined) {
                (CellOutput::Message(CellMessage::Confined { missing }), false) => {
                    self.received.is_confined = true;
                    self.check_confinement(&missing)?;
                }
                (CellOutput::Message(CellMessage::Confined { .. }), true) | (_, false) => {
                    return Err(violated("the cell sent its messages in a wrong order".to_owned()));
                }
                (CellOutput::Archive(bytes), true) => self.write(&bytes)?,
                (CellOutput::Preview(preview), true) => self.forward(preview)?,
                (CellOutput::Message(CellMessage::Progress(progress)), true) => {
                    self.count_message()?;
                    self.set_progress(progress)?;
                }
                (CellOutput::Message(CellMessage::Failed { code, message }), true) => {
                    return Err(if may_be_reported(code) {
                        ReceiveError::Attempt(AttemptError { code, message: printable(&message) })
                    } else {
                        ReceiveError::ServiceCode { code, message: printable(&message) }
                    });
                }
                (CellOutput::Message(CellMessage::Done(report)), true) => {
                    return self.finish(report);
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ReceiveError> {
        let received = &mut self.received;
        received.short_pieces += u64::from(bytes.len() < MAX_CHUNK);
        if bytes.is_empty() || received.short_pieces > MAX_SHORT_PIECES {
            return Err(violated("the cell sent too many short pieces of its archive".to_owned()));
        }
        received.archive_bytes += bytes.len() as u64;
        let limit = self.limits.engine.archive_bytes;
        if received.archive_bytes > limit {
            return Err(frames::Error::ArchiveTooLarge { limit }.into());
        }
        Ok(self.upload.write_all(bytes).map_err(frames::Error::Write)?)
    }

    /// Forward a preview. It is shown to the owner of the job only, as an image and nothing else.
    fn forward(&mut self, preview: Preview) -> Result<(), ReceiveError> {
        self.received.previews += 1;
        let Preview { number, timestamp_s, ref jpeg } = preview;
        let is_plausible = (1..=self.limits.engine.frames).contains(&number)
            && timestamp_s.is_finite()
            && jpeg.starts_with(&JPEG_START);
        if !is_plausible || self.received.previews > MAX_PREVIEWS {
            return Err(violated("the cell sent an invalid preview, or too many".to_owned()));
        }
        self.previews.send(preview);
        Ok(())
    }

    fn count_message(&mut self) -> Result<(), ReceiveError> {
        self.received.messages += 1;
        let limit = self.limits.engine.frames.saturating_add(MAX_OTHER_MESSAGES);
        if self.received.messages > limit {
            return Err(violated(format!("the cell sent more than {limit} messages")));
        }
        Ok(())
    }

    fn set_progress(&self, progress: Progress) -> Result<(), ReceiveError> {
        let Progress { done, expected } = progress;
        let limit = self.limits.engine.frames;
        if done.max(expected.unwrap_or(0)) > limit {
            return Err(violated(format!(
                "the cell reported {done} frames of {expected:?}, and at most {limit} are allowed"
            )));
        }
        self.progress.set(progress);
        Ok(())
    }

    fn check_confinement(&self, missing: &[String]) -> Result<(), ReceiveError> {
        if !self.require_confinement || missing.is_empty() {
            return Ok(());
        }
        let missing = printable_list(missing).join("; ");
        let message = format!("the cell is not confined: {missing}");
        Err(ReceiveError::Attempt(AttemptError::new(FailureCode::InternalError, message)))
    }

    fn finish(self, report: Report) -> Result<ExtractedArchive, ReceiveError> {
        let report = checked_report(report, self.received.archive_bytes, &self.limits);
        let report = report.map_err(violated)?;
        let upload = self.upload.into_upload().map_err(frames::Error::Write)?;
        Ok(ExtractedArchive { report, upload })
    }
}

fn violated(message: String) -> ReceiveError {
    ReceiveError::Attempt(violation(message))
}

/// The report of a cell that has sent `archive_bytes`, with texts and times within bounds. An error
/// describes a contradiction.
fn checked_report(
    mut report: Report,
    archive_bytes: u64,
    limits: &CellLimits,
) -> Result<Report, String> {
    let Report { frames, expected, zip_bytes, .. } = report;
    if zip_bytes != archive_bytes {
        return Err(format!("the cell sent {archive_bytes} bytes of an archive of {zip_bytes}"));
    }
    let limit = limits.engine.frames;
    if frames == 0 || frames > expected || expected > limit {
        return Err(format!(
            "the cell reported {frames} frames of {expected}, and at most {limit} are allowed"
        ));
    }
    // Reported times are for metrics only.
    let seconds = |reported: f64| {
        if reported.is_nan() { 0.0 } else { reported.clamp(0.0, limits.cpu_seconds as f64) }
    };
    report.decode_s = seconds(report.decode_s);
    report.encode_s = seconds(report.encode_s);
    report.duration_s.take_if(|duration| !duration.is_finite() || *duration < 0.0);
    report.warnings = printable_warnings(report.warnings);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use jobs::{Language, Warning};
    use proptest::prelude::*;

    use super::*;
    use crate::engine::EngineLimits;

    const LIMITS: CellLimits = CellLimits {
        engine: EngineLimits { archive_bytes: 1 << 30, frame_pixels: 1, frames: 1_000 },
        memory_bytes: 1,
        cpu_seconds: 60,
    };

    fn report(frames: u64, expected: u64, zip_bytes: u64) -> Report {
        Report {
            frames,
            expected,
            complete: true,
            skipped: 0,
            omitted: 0,
            duration_s: Some(4.0),
            zip_bytes,
            bytes_read: 0,
            decode_s: 1.5,
            encode_s: 0.5,
            warnings: vec![Warning::PacketsDamaged { packets: 1 }],
        }
    }

    #[test]
    fn a_plausible_report_is_kept() {
        let kept = checked_report(report(3, 4, 9), 9, &LIMITS).expect("it is plausible");
        assert_eq!(format!("{kept:?}"), format!("{:?}", report(3, 4, 9)));
    }

    #[test]
    fn absurd_reports_are_rejected() {
        for (frames, expected, bytes) in
            [(1 << 63, 1 << 63, 9), (0, 0, 9), (5, 4, 9), (1, 1_001, 9), (1, 1, 10)]
        {
            let rejected = checked_report(report(frames, expected, bytes), 9, &LIMITS);
            assert!(rejected.is_err(), "{frames} of {expected} in {bytes}");
        }
    }

    proptest! {
        #[test]
        fn reports_become_bounded(
            decode_s in any::<f64>(),
            encode_s in any::<f64>(),
            duration in any::<f64>(),
            warnings in prop::collection::vec(".*", 0..40),
        ) {
            let duration_s = Some(duration);
            let warnings = warnings.into_iter().map(|text| Warning::Other { text }).collect();
            let report = Report { decode_s, encode_s, duration_s, warnings, ..report(1, 1, 9) };
            let kept = checked_report(report, 9, &LIMITS).expect("the numbers are plausible");
            for seconds in [kept.decode_s, kept.encode_s] {
                prop_assert!((0.0..=60.0).contains(&seconds));
            }
            let mut texts = kept.warnings.iter().map(|warning| warning.text(Language::En));
            prop_assert!(texts.all(|text| text.chars().count() <= 301));
            prop_assert!(kept.warnings.len() <= 20);
        }
    }

    #[test]
    fn cells_may_report_only_what_a_video_can_cause() {
        for code in FailureCode::ALL {
            let is_free = code.retry() == jobs::failure::Retry::Free;
            assert!(!(may_be_reported(*code) && is_free), "{code} would be retried for ever");
        }
    }
}
