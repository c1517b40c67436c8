//! How the packets of a video are decoded.

/// How the packets of a video are decoded. Where the first choice turns out not to be exact, the
/// extraction starts again with another, and keeps the frames that it has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Whether a plan is made from the timestamps of the packets. If not, all packets are decoded
    /// in order by one decoder, as in the ffmpeg command.
    pub planned: bool,
    /// Whether an error was found in a span that is not held as a whole, or another reason not to
    /// decode it with threads. With threads of its own, libav conceals damage differently from run
    /// to run.
    pub damaged: bool,
}

impl Mode {
    /// The same without a plan.
    pub(crate) fn in_order(self) -> Self {
        Self { planned: false, ..self }
    }
}
