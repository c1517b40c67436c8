//! What is known about the work of a decoder besides its output. Callbacks of libav record it, also
//! in the decoder's own threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ffmpeg_next::ffi;
use parking_lot::Mutex;

use super::frame::Frame;
use super::marks;

/// Frames whose marks were not checked.
#[derive(Default)]
pub(super) struct UncheckedFrames {
    /// In decoding order.
    frames: VecDeque<Frame>,
    /// Whether one that the decoder has released was not written completely.
    was_incomplete: bool,
}

impl UncheckedFrames {
    /// Add a frame that the decoder begins. Those that it has released without output are checked,
    /// so that no more memory is in use than the decoder itself uses.
    pub(super) fn push(&mut self, frame: Frame) {
        let was_incomplete = &mut self.was_incomplete;
        self.frames.retain(|frame| {
            let is_released = frame.is_only_reference();
            *was_incomplete |= is_released && marks::are_in(frame);
            !is_released
        });
        self.frames.push_back(frame);
    }

    /// Whether this frame, or one decoded before it, was not written completely. When a decoder
    /// outputs a frame, it has finished all that precede it in decoding order.
    pub(super) fn are_incomplete_until(&mut self, frame: &Frame) -> bool {
        let position = self.frames.iter().position(|other| other.shares_memory_with(frame));
        // All of them are checked.
        let finished = self.frames.drain(..position.map_or(0, |position| position + 1));
        let incomplete = finished.filter(marks::are_in).count();
        std::mem::take(&mut self.was_incomplete) || incomplete > 0
    }

    /// Forget all frames.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Record of a decoder's work.
#[derive(Default)]
pub(super) struct Watch {
    has_logged_error: AtomicBool,
    pub unchecked_frames: Mutex<UncheckedFrames>,
}

impl Watch {
    /// Record the work of a decoder here.
    ///
    /// # Safety
    /// The context must not be open yet, and must be freed before the record.
    pub(super) unsafe fn attach(self: &Arc<Self>, context: &mut ffi::AVCodecContext) {
        // libav copies the pointer to the contexts of a decoder's threads.
        context.opaque = Arc::as_ptr(self).cast_mut().cast();
    }

    /// Record of a decoder, if it has one.
    ///
    /// # Safety
    /// The context must be valid, and nobody else may have set its pointer `opaque`.
    pub(super) unsafe fn of<'a>(context: *const ffi::AVCodecContext) -> Option<&'a Self> {
        // SAFETY: `attach` has set the pointer, and its caller keeps the record.
        unsafe { (&raw const (*context).opaque).read().cast::<Self>().as_ref() }
    }

    /// Record that the decoder has logged an error.
    pub(super) fn add_logged_error(&self) {
        self.has_logged_error.store(true, Ordering::Relaxed);
    }

    /// Return whether the decoder has logged an error since the last call.
    pub(super) fn take_logged_error(&self) -> bool {
        self.has_logged_error.swap(false, Ordering::Relaxed)
    }

    /// Forget everything.
    pub(super) fn clear(&self) {
        self.take_logged_error();
        self.unchecked_frames.lock().clear();
    }
}
