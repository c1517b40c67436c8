//! Demuxer: opens a container over a custom reader and returns the packets of its video stream.

use std::ffi::CString;
use std::ptr;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;
use jobs::video::Container;

use crate::error::Error;
use crate::limits::Limits;
use crate::source::GuardedReader;

use super::codecs;
use super::library;
use super::packet::{Packet, Place};
use super::packet_times::PacketTimes;
use super::stream_info::{StreamInfo, stream_info};

/// Size of libav's read buffer in bytes. Its default of 32 KiB costs one call per frame.
const READ_BUFFER: usize = 1 << 20;

/// Reason why there is no next packet.
pub(crate) enum DemuxError {
    /// Regular end of the container.
    End,
    /// The container is truncated or damaged from here on.
    Damaged(String),
}

/// Open container of which only the video stream is read.
pub(crate) struct Demuxer {
    pub(super) input: ff::format::context::Input,
    pub(super) stream: usize,
    pub(super) times: PacketTimes,
    /// Place of the packet that was read last.
    place: Place,
}

/// An opened video stream.
pub(crate) struct OpenedStream {
    pub demuxer: Demuxer,
    pub info: StreamInfo,
}

/// Callback that libav calls to open a file or connection. Rejects all of them.
unsafe extern "C" fn reject_open(
    _: *mut ffi::AVFormatContext,
    _: *mut *mut ffi::AVIOContext,
    _: *const libc::c_char,
    _: libc::c_int,
    _: *mut *mut ffi::AVDictionary,
) -> libc::c_int {
    ffi::AVERROR(libc::EACCES)
}

impl Demuxer {
    /// Open a file of `size_bytes` as a `container` and find its video stream: the one that the
    /// ffmpeg command would choose.
    pub(crate) fn open(
        file: GuardedReader,
        container: Container,
        size_bytes: u64,
        limits: &Limits,
    ) -> Result<OpenedStream, Error> {
        library::configure(limits.max_allocation);
        let unreadable = |error| Error::UnreadableContainer {
            container: container.name(),
            reason: library::describe(error),
        };
        let mut input = open_input(file, container, limits).map_err(|error| match error {
            // libav reports values beyond its own limits as a lack of memory. A retry would not
            // help.
            ff::Error::Other { errno: libc::ENOMEM } => Error::UnreadableContainer {
                container: container.name(),
                reason: "its index or its number of streams is too large".into(),
            },
            error => unreadable(error),
        })?;
        state_audio_formats(&mut input);
        // SAFETY: the context is open and owned by `input`; no options are passed.
        let found = unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), ptr::null_mut()) };
        if found < 0 {
            return Err(unreadable(ff::Error::from(found)));
        }
        // Attached files, such as the fonts of subtitles, are streams for libav only.
        let streams = input.streams().filter(|stream| !is_attachment(stream)).count();
        if streams > limits.max_streams as usize {
            return Err(Error::TooManyStreams { limit: limits.max_streams });
        }
        let stream = choose_stream(&input).ok_or(Error::NoVideoStream)?;
        let info = stream_info(&input, stream, container, size_bytes);
        limits.check_frame(info.source.width, info.source.height)?;
        for (index, mut other) in input.streams_mut().enumerate() {
            if index != stream {
                // SAFETY: the stream belongs to the open context; callers may change `discard` at
                // any time.
                unsafe { (*other.as_mut_ptr()).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
        }
        let times = PacketTimes::new(&info.source, info.start, info.reorder_delay);
        let demuxer = Self { input, stream, times, place: Place::default() };
        Ok(OpenedStream { demuxer, info })
    }

    /// Number of packets whose times were dropped because they are far from those before them.
    pub(crate) fn dropped_times(&self) -> u64 {
        self.times.dropped()
    }

    /// Place of the packet that was read last.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Return the next packet of the video stream, in decoding order. As in the ffmpeg command,
    /// packets without data are skipped: the frame before them stays on display (FFmpeg 5.1,
    /// fftools/ffmpeg.c, `decode_video`).
    pub(crate) fn read(&mut self) -> Result<Packet, DemuxError> {
        loop {
            let mut packet = ff::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => {
                    let mut packet = Packet::new(packet);
                    let place = packet.place();
                    self.times.correct(&mut packet);
                    if packet.size() > 0 {
                        self.place = place;
                        return Ok(packet);
                    }
                }
                Ok(()) => {}
                Err(ff::Error::Eof) => return Err(DemuxError::End),
                Err(error) => return Err(DemuxError::Damaged(library::describe(error))),
            }
        }
    }
}

/// Whether a stream is an attached file.
fn is_attachment(stream: &ff::format::stream::Stream<'_>) -> bool {
    stream.parameters().medium() == ff::media::Type::Attachment
}

fn open_input(
    file: GuardedReader,
    container: Container,
    limits: &Limits,
) -> Result<ff::format::context::Input, ff::Error> {
    let mut io = ff::format::context::StreamIo::from_read_seek_with_capacity(file, READ_BUFFER)?;
    let name = CString::new(container.name()).map_err(|_| ff::Error::InvalidData)?;
    // SAFETY: the name is a C string that outlives the call.
    let demuxer = unsafe { ffi::av_find_input_format(name.as_ptr()) };
    if demuxer.is_null() {
        return Err(ff::Error::DemuxerNotFound);
    }
    // SAFETY: a new context is configured before it is opened, as avformat_open_input documents.
    // The demuxer is passed, so nothing is probed. `io` outlives the context: `wrap_with_custom_io`
    // takes both, and on failure libav frees the context but not custom I/O.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(ff::Error::Other { errno: libc::ENOMEM });
        }
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        (*context).io_open = Some(reject_open);
        // `Demuxer::open` checks the engine's limit with its own error; libav's must not be lower.
        (*context).max_streams = (*context).max_streams.max(limits.max_streams.min(1 << 16) as i32);
        // Second barrier after `reject_open`: an allowlist of protocols that contains none of them.
        (*context).protocol_whitelist = ffi::av_strdup(c"none".as_ptr());
        (*context).format_whitelist = ffi::av_strdup((*demuxer).name);
        // Probing opens decoders, too.
        (*context).codec_whitelist = ffi::av_strdup(codecs::whitelist().as_ptr());
        let opened = ffi::avformat_open_input(
            &raw mut context,
            ptr::null(),
            demuxer.cast_mut(),
            ptr::null_mut(),
        );
        if opened < 0 {
            return Err(ff::Error::from(opened));
        }
        Ok(ff::format::context::Input::wrap_with_custom_io(context, io))
    }
}

/// State what the container does not of the samples of its audio streams. They are never decoded,
/// so the values are not used. Without them, `avformat_find_stream_info` would read on to the first
/// packet of each audio stream, because it cannot open decoders of audio (FFmpeg 5.1,
/// libavformat/demux.c, `has_codec_parameters`).
fn state_audio_formats(input: &mut ff::format::context::Input) {
    for mut stream in input.streams_mut() {
        // SAFETY: the stream and its parameters belong to the open context, which nothing else
        // uses meanwhile.
        let codec = unsafe { &mut *(*stream.as_mut_ptr()).codecpar };
        if codec.codec_type != ffi::AVMediaType::AVMEDIA_TYPE_AUDIO {
            continue;
        }
        if codec.format == ffi::AVSampleFormat::AV_SAMPLE_FMT_NONE as i32 {
            codec.format = ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP as i32;
        }
        if codec.frame_size == 0 {
            codec.frame_size = 1;
        }
    }
}

/// Index of the stream that scores highest by the rule of the ffmpeg command (FFmpeg 5.1,
/// fftools/ffmpeg_opt.c, `open_output_file`): area of a frame, whether packets were seen while
/// probing, whether the container marks the stream as its default. Cover art does not count.
fn choose_stream(input: &ff::format::context::Input) -> Option<usize> {
    const HAS_PACKETS: i64 = 100_000_000;
    const IS_DEFAULT: i64 = 5_000_000;
    let (mut best_score, mut best) = (0, None);
    for stream in input.streams() {
        // SAFETY: the stream belongs to the open context; these fields are public and only read.
        let (medium, pixels, events, disposition) = unsafe {
            let stream = &*stream.as_ptr();
            let codec = &*stream.codecpar;
            (
                codec.codec_type,
                i64::from(codec.width) * i64::from(codec.height),
                stream.event_flags,
                stream.disposition,
            )
        };
        if medium != ffi::AVMediaType::AVMEDIA_TYPE_VIDEO
            || disposition & ffi::AV_DISPOSITION_ATTACHED_PIC != 0
        {
            continue;
        }
        let mut score = pixels;
        if events & ffi::AVSTREAM_EVENT_FLAG_NEW_PACKETS != 0 {
            score += HAS_PACKETS;
        }
        if disposition & ffi::AV_DISPOSITION_DEFAULT != 0 {
            score += IS_DEFAULT;
        }
        if score > best_score {
            (best_score, best) = (score, Some(stream.index()));
        }
    }
    best
}
