//! Demuxer: opens a container over a custom reader and returns the packets of its video stream.

use std::ffi::{CStr, CString};
use std::ptr;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;
use jobs::Ratio;
use jobs::manifest::{Orientation, Source};
use jobs::video::Container;

use crate::error::Error;
use crate::limits::Limits;
use crate::orientation;
use crate::source::GuardedReader;
use crate::time::{MICROSECONDS, rescale};

use super::frame::{DisplayMatrix, Frame, display_matrix};
use super::library;
use super::packet::{Packet, Place};
use super::packet_times::PacketTimes;

/// Size of libav's read buffer in bytes. Its default of 32 KiB costs one call per frame.
const READ_BUFFER: usize = 1 << 20;

/// Copy of a stream's codec parameters.
#[derive(Clone)]
pub(super) struct Parameters(pub(super) ff::codec::Parameters);

// SAFETY: the copy belongs to this value alone and is never modified after its creation.
unsafe impl Sync for Parameters {}

/// Properties of the video stream that are known before its first packet.
#[derive(Clone)]
pub(crate) struct StreamInfo {
    /// What the manifest states about the video.
    pub source: Source,
    pub container: Container,
    pub(super) parameters: Parameters,
    /// Start of the container in units of the time base. Timestamps count from here.
    pub start: i64,
    /// Duration from the start that the container states, in microseconds: that of the video stream
    /// if stated, else that of the longest stream.
    pub duration_us: Option<i64>,
    /// Whether `duration_us` is that of the video stream.
    pub duration_is_own: bool,
    /// Codec configuration out of band (`avcC`, `hvcC`, sequence headers).
    pub extradata: Vec<u8>,
    /// Whether the codec has only intra-coded frames.
    pub intra_only: bool,
    /// Number of frames by which the decoder delays its output, as far as the first frames and the
    /// codec configuration reveal it.
    pub reorder_delay: usize,
    /// Sample aspect ratio that the container states, even if samples are square. It takes
    /// precedence over the codec's, as in the ffmpeg command.
    pub sample_aspect_ratio: Option<Ratio>,
}

impl StreamInfo {
    /// End of a video whose last frame has this timestamp and duration, in units of the time base.
    ///
    /// The ffmpeg command converts through microseconds (FFmpeg 5.1, fftools/ffmpeg.c,
    /// `process_input_packet` and `send_filter_eof`), which decides whether 10.5 seconds have ten
    /// frames or eleven.
    pub(crate) fn end(&self, time: i64, duration: i64) -> i64 {
        let base = self.source.time_base;
        let duration_us = if duration > 0 {
            rescale(duration, base, MICROSECONDS)
        } else {
            self.source.frame_rate.map_or(0, |rate| 1_000_000 * rate.den / rate.num.max(1))
        };
        let end_us = rescale(time, base, MICROSECONDS).saturating_add(duration_us);
        rescale(end_us, MICROSECONDS, base)
    }

    /// Sample aspect ratio of a frame that is rotated for display; `None` if unknown.
    pub(crate) fn displayed_aspect(&self, frame: &Frame, rotation: Orientation) -> Option<Ratio> {
        let stored = self.sample_aspect_ratio.or(frame.sample_aspect_ratio());
        stored.map(|aspect| orientation::displayed_aspect(rotation, aspect))
    }

    /// Duration of the video stream in microseconds if its container derives it from its list of
    /// all frames, as MP4 does (FFmpeg, libavformat/mov.c, `mov_read_stts`). A number in a header
    /// may be anything.
    pub(crate) fn listed_duration_us(&self) -> Option<i64> {
        let is_listed = self.duration_is_own && self.container == Container::Mov;
        self.duration_us.filter(|_| is_listed)
    }

    /// A time in units of the time base, in seconds.
    pub(crate) fn seconds(&self, time: i64) -> f64 {
        time.max(0) as f64 * self.source.time_base.as_f64()
    }

    /// End that the container states, in microseconds from the start, if the video ends earlier: at
    /// `end`, in units of the time base. `damaged` is whether truncation or damage was found.
    ///
    /// MP4 and AVI state the length of the video stream. The others state only that of the longest
    /// stream, which is often the audio, so it counts only if there is damage, or if the difference
    /// is large.
    pub(crate) fn missing_end(&self, end: i64, damaged: bool) -> Option<i64> {
        const TOLERANCE_US: i64 = 1_000_000;
        const LARGE_US: i64 = 3_000_000;
        let stated = self.duration_us?;
        let tolerance = match (self.duration_is_own || damaged, self.container) {
            (true, _) => TOLERANCE_US,
            (false, Container::Flv | Container::Asf) => LARGE_US,
            (false, _) => return None,
        };
        let actual = rescale(end, self.source.time_base, MICROSECONDS);
        (actual.saturating_add(tolerance) <= stated).then_some(stated)
    }
}

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

fn stream_info(
    input: &ff::format::context::Input,
    index: usize,
    container: Container,
    size_bytes: u64,
) -> StreamInfo {
    // SAFETY: `index` is a stream of the open context; every pointer read here is owned by it and
    // only read. Names are static C strings of libav or null.
    unsafe {
        let context = &*input.as_ptr();
        let stream = &**context.streams.add(index);
        let codec = &*stream.codecpar;
        let time_base = Ratio::new(stream.time_base.num.into(), stream.time_base.den.into());
        let start = match context.start_time {
            ffi::AV_NOPTS_VALUE => 0,
            start => rescale(start, MICROSECONDS, time_base),
        };
        let own_duration = own_duration(stream, container, time_base);
        let whole_duration = (context.duration != ffi::AV_NOPTS_VALUE && context.duration > 0)
            .then_some(context.duration);
        let descriptor = ffi::avcodec_descriptor_get(codec.codec_id);
        let format = std::mem::transmute::<i32, ffi::AVPixelFormat>(codec.format.max(-1));
        let duration_us = own_duration.or(whole_duration);
        let sample_aspect_ratio = positive(stream.sample_aspect_ratio);
        let source = Source {
            size_bytes,
            container: container.name().to_owned(),
            codec: name(ffi::avcodec_get_name(codec.codec_id)),
            duration_s: duration_us.map(|duration| duration as f64 / 1e6),
            width: codec.width.max(0) as u32,
            height: codec.height.max(0) as u32,
            frame_rate: positive(stream.avg_frame_rate),
            time_base,
            rotation: orientation::from_display_matrix(stream_matrix(stream)),
            sample_aspect_ratio: sample_aspect_ratio.filter(|aspect| aspect.num != aspect.den),
            pixel_format: name(ffi::av_get_pix_fmt_name(format)),
            color_space: name(ffi::av_color_space_name(codec.color_space)),
            color_range: name(ffi::av_color_range_name(codec.color_range)),
            color_primaries: name(ffi::av_color_primaries_name(codec.color_primaries)),
            color_transfer: name(ffi::av_color_transfer_name(codec.color_trc)),
            interlaced: false,
        };
        let parameters = input.stream(index).map(|stream| stream.parameters().clone());
        StreamInfo {
            source,
            container,
            parameters: Parameters(parameters.unwrap_or_default()),
            start,
            duration_us,
            duration_is_own: own_duration.is_some(),
            extradata: extradata(codec),
            intra_only: !descriptor.is_null()
                && (*descriptor).props & ffi::AV_CODEC_PROP_INTRA_ONLY != 0,
            reorder_delay: codec.video_delay.max(0) as usize,
            sample_aspect_ratio,
        }
    }
}

/// Duration that the container states for the video stream, in microseconds.
fn own_duration(stream: &ffi::AVStream, container: Container, time_base: Ratio) -> Option<i64> {
    // The header of an AVI counts frames in units of the time base. Without an index, libav
    // estimates the duration from the size of the file instead.
    let counted = if container == Container::Avi { stream.nb_frames } else { 0 };
    let duration = stream.duration.max(counted);
    (duration > 0).then(|| rescale(duration, time_base, MICROSECONDS))
}

/// Codec configuration out of band.
fn extradata(codec: &ffi::AVCodecParameters) -> Vec<u8> {
    if codec.extradata.is_null() || codec.extradata_size <= 0 {
        return Vec::new();
    }
    // SAFETY: libav allocates `extradata_size` bytes, which live as long as the parameters.
    unsafe { std::slice::from_raw_parts(codec.extradata, codec.extradata_size as usize).to_vec() }
}

/// A fraction of libav; `None` unless both numbers are positive.
fn positive(ratio: ffi::AVRational) -> Option<Ratio> {
    (ratio.num > 0 && ratio.den > 0).then(|| Ratio::new(ratio.num.into(), ratio.den.into()))
}

/// Convert a static C string of libav. Null, which libav returns for unknown values, becomes
/// `unknown`.
///
/// # Safety
/// `text` is null or a C string that is never freed.
unsafe fn name(text: *const libc::c_char) -> String {
    if text.is_null() {
        return "unknown".to_owned();
    }
    // SAFETY: the caller guarantees a valid string.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("unknown").to_owned()
}

/// Display matrix that the container states for a stream.
fn stream_matrix(stream: &ffi::AVStream) -> Option<DisplayMatrix> {
    const MATRIX: ffi::AVPacketSideDataType = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
    #[cfg(not(ffmpeg_6_1))]
    // SAFETY: side data of an open stream, of the length that libav reports.
    let bytes = unsafe {
        let mut size = 0;
        let data = ffi::av_stream_get_side_data(stream, MATRIX, &raw mut size);
        if data.is_null() {
            return None;
        }
        std::slice::from_raw_parts(data, size)
    };
    #[cfg(ffmpeg_6_1)]
    // SAFETY: side data of an open stream, of the length that libav reports.
    let bytes = unsafe {
        let codec = &*stream.codecpar;
        let entry =
            ffi::av_packet_side_data_get(codec.coded_side_data, codec.nb_coded_side_data, MATRIX);
        if entry.is_null() {
            return None;
        }
        std::slice::from_raw_parts((*entry).data, (*entry).size)
    };
    display_matrix(bytes)
}
