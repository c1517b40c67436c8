//! What is known about the work of a decoder besides its output. Callbacks of libav record it, also
//! in the decoder's own threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use ffmpeg_next::ffi;
use parking_lot::Mutex;

use super::frame::Frame;
use super::marks;

/// Maximum number of frames that a decoder works on or may still output: 16 of each.
const MAX_UNCHECKED: usize = 32;

/// Frames whose marks were not checked, in decoding order.
#[derive(Default)]
pub(super) struct UncheckedFrames(VecDeque<Frame>);

impl UncheckedFrames {
    pub(super) fn push(&mut self, frame: Frame) {
        self.0.push_back(frame);
        if self.0.len() > MAX_UNCHECKED {
            self.0.pop_front();
        }
    }

    /// Whether this frame, or one decoded before it, was not written completely. When a decoder
    /// outputs a frame, it has finished all that precede it in decoding order.
    pub(super) fn are_incomplete_until(&mut self, frame: &Frame) -> bool {
        let Some(position) = self.0.iter().position(|other| other.shares_memory_with(frame)) else {
            return false;
        };
        // All of them are checked.
        self.0.drain(..=position).filter(marks::are_in).count() > 0
    }

    /// Forget all frames.
    pub(super) fn clear(&mut self) {
        self.0.clear();
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
    pub(super) unsafe fn attach(&self, context: &mut ffi::AVCodecContext) {
        // libav copies the pointer to the contexts of a decoder's threads.
        context.opaque = std::ptr::from_ref(self).cast_mut().cast();
    }

    /// Record of a decoder, if it has one.
    ///
    /// # Safety
    /// Nobody else may have set the pointer `opaque` of the context.
    pub(super) unsafe fn of(context: &ffi::AVCodecContext) -> Option<&Self> {
        // SAFETY: `attach` has set the pointer, and its caller keeps the record.
        unsafe { context.opaque.cast::<Self>().as_ref() }
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
