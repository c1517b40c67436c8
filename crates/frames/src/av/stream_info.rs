//! Properties of the video stream that a container states.

use std::ffi::CStr;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;
use jobs::Ratio;
use jobs::manifest::{Orientation, Source};
use jobs::video::Container;

use crate::orientation;
use crate::time::{MICROSECONDS, rescale};

use super::frame::{DisplayMatrix, Frame, display_matrix};

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
    /// Distance of frames in units of the time base, if it exceeds the duration that their packets
    /// state.
    pub(super) frame_distance: Option<i64>,
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
        let duration_us = match (self.source.frame_rate, self.frame_distance) {
            _ if duration > 0 => rescale(duration, base, MICROSECONDS),
            (_, Some(distance)) => rescale(distance, base, MICROSECONDS),
            (rate, None) => rate.map_or(0, |rate| 1_000_000 * rate.den / rate.num.max(1)),
        };
        let end_us = rescale(time, base, MICROSECONDS).saturating_add(duration_us);
        rescale(end_us, MICROSECONDS, base)
    }

    /// Time up to which a frame with this timestamp and duration is on screen, even if packets
    /// state only a part of its duration. For the ffmpeg command, a video that ends with it ends
    /// at [`StreamInfo::end`].
    pub(crate) fn display_end(&self, time: i64, duration: i64) -> i64 {
        self.end(time, duration.max(self.frame_distance.unwrap_or(0)))
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

pub(super) fn stream_info(
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
            frame_distance: frame_distance(stream, container),
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

/// Distance of the frames of an AVI file that counts fields, in units of its time base; `None` for
/// others.
///
/// libav's muxer gives H.264 and MPEG-2 the rate of fields as their only rate, and writes an empty
/// chunk behind each frame (FFmpeg, libavformat/avienc.c, `write_skip_frames`), so packets state
/// half the duration of their frames. The timestamps at the start of the video reveal that, and the
/// chunks, as far as they are indexed, must not contradict it.
fn frame_distance(stream: &ffi::AVStream, container: Container) -> Option<i64> {
    /// Fields of a frame.
    const FIELDS: i64 = 2;
    if container != Container::Avi {
        return None;
    }
    let rate = positive(stream.r_frame_rate)?;
    let unit = positive(stream.time_base)?;
    let counts_fields = rate.den * unit.den == FIELDS * rate.num * unit.num;
    // SAFETY: the entries belong to the stream, and nothing is called that changes them. Null is
    // none.
    let times: Vec<i64> = unsafe {
        let stream = std::ptr::from_ref(stream).cast_mut();
        let numbers = 0..ffi::avformat_index_get_entries_count(stream);
        let entry = |number| ffi::avformat_index_get_entry(stream, number).as_ref();
        let with_data = numbers.filter_map(entry).filter(|entry| entry.size() > 0);
        with_data.map(|entry| entry.timestamp).collect()
    };
    let alternate = times.windows(2).all(|pair| pair[1].saturating_sub(pair[0]) >= FIELDS);
    (counts_fields && alternate).then_some(FIELDS)
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
