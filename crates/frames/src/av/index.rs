//! Index of a container: where its key frames are, and reading from there.

use ffmpeg_next::ffi;

use super::demuxer::Demuxer;

/// Entry of a container's index: a packet of the video stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Offset in the file, of the packet or of the cluster that contains it.
    pub position: u64,
    /// Time in units of the stream's time base: that of decoding in MP4 and AVI, that of
    /// presentation in Matroska.
    pub time: i64,
    /// Size in bytes; 0 if the index does not state it.
    pub size: u32,
    pub is_key: bool,
    /// Whether the frame is decoded but not displayed (edit lists).
    pub is_hidden: bool,
}

impl Demuxer {
    /// Entries of the index in the order of the file, as far as libav has loaded it. That of
    /// Matroska is loaded by the first [`Demuxer::seek`]. Empty if an entry is invalid.
    pub(crate) fn index(&mut self) -> Vec<IndexEntry> {
        self.index_of(self.stream)
    }

    /// Offset and size of each entry of all streams, in ascending order.
    pub(crate) fn indexed_bytes(&mut self) -> Vec<(u64, u32)> {
        let streams = 0..self.input.streams().len();
        let entries = streams.flat_map(|stream| self.index_of(stream));
        let mut bytes: Vec<_> = entries.map(|entry| (entry.position, entry.size)).collect();
        bytes.sort_unstable();
        bytes
    }

    fn index_of(&mut self, stream: usize) -> Vec<IndexEntry> {
        // SAFETY: the stream belongs to the open context. Each entry is read before anything else
        // is called, so it is still valid. Null is none.
        unsafe {
            let context = &*self.input.as_mut_ptr();
            let stream = *context.streams.add(stream);
            let numbers = 0..ffi::avformat_index_get_entries_count(stream);
            let entry = |number| {
                let entry = ffi::avformat_index_get_entry(stream, number).as_ref()?;
                Some(IndexEntry {
                    position: u64::try_from(entry.pos).ok()?,
                    time: entry.timestamp,
                    size: u32::try_from(entry.size()).ok()?,
                    is_key: entry.flags() & ffi::AVINDEX_KEYFRAME != 0,
                    is_hidden: entry.flags() & ffi::AVINDEX_DISCARD_FRAME != 0,
                })
            };
            numbers.map(entry).collect::<Option<Vec<_>>>().unwrap_or_default()
        }
    }

    /// Id of the stream in its container: that of the track in MP4.
    pub(crate) fn track_id(&mut self) -> u32 {
        // SAFETY: the stream belongs to the open context; the field is public and only read.
        unsafe { (**(*self.input.as_mut_ptr()).streams.add(self.stream)).id as u32 }
    }

    /// Continue at the last entry with a key frame whose time, as libav compares it, is not after
    /// `time`. Return whether there is one. The packets there show where that is.
    pub(crate) fn seek(&mut self, time: i64) -> bool {
        self.times.restart();
        let stream = self.stream as i32;
        // SAFETY: the context is open and owned by `input`, and no packet of it is borrowed.
        let result = unsafe {
            ffi::av_seek_frame(self.input.as_mut_ptr(), stream, time, ffi::AVSEEK_FLAG_BACKWARD)
        };
        result >= 0
    }
}
