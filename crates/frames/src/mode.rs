//! How the packets of a video are decoded.

/// How the packets of a video are decoded. Where the first choice turns out not to be exact, the
/// extraction starts again with another, and keeps the frames that it has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    pub reading: Reading,
    /// Whether a plan is made from the timestamps of the packets. If not, all packets are decoded
    /// in order by one decoder, as in the ffmpeg command.
    pub planned: bool,
    /// Whether an error was found in a span that is not held as a whole, or another reason not to
    /// decode it with threads. With threads of its own, libav conceals damage differently from run
    /// to run.
    pub damaged: bool,
}

/// Part of a video that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Those parts to which the index leads, because they hold the wanted frames.
    Parts,
    Whole,
    /// The whole video, because its index contradicts its packets.
    WholeByContradiction,
}

impl Mode {
    /// The same with the whole video read.
    pub(crate) fn reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// The same without a plan.
    pub(crate) fn in_order(self) -> Self {
        Self { planned: false, ..self }
    }
}
