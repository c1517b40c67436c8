//! Opens a container over our own reader and hands out the packets of its video stream.

use std::ffi::{CStr, CString};
use std::ptr;

use ffmpeg_next as ff;
use ffmpeg_next::ffi;

use jobs::Ratio;
use jobs::manifest::Orientation;

use crate::orientation;
use crate::source::{Container, Watched};
use crate::time::{MICROSECONDS, rescale};
use crate::{Error, Limits};

use super::reason;

/// Bytes that libav reads at a time. Its default of 32 KiB costs a call per picture.
const READ_BUFFER: usize = 1 << 20;

/// A copy of a stream's codec parameters.
#[derive(Clone)]
pub(super) struct Parameters(pub(super) ff::codec::Parameters);

// SAFETY: the copy belongs to this value alone and is never written to after it was made.
unsafe impl Sync for Parameters {}

/// What is known of the video stream before its first packet.
#[derive(Clone)]
pub(crate) struct StreamInfo {
    pub container: Container,
    /// libav's name of the codec, such as `h264`.
    pub codec: String,
    pub(super) parameters: Parameters,
    /// Unit of the packets' timestamps, in seconds.
    pub time_base: Ratio,
    /// The container's start, in units of the time base; subtracted from every timestamp.
    pub start: i64,
    /// Average pictures a second, if the container or the first packets tell.
    pub frame_rate: Option<Ratio>,
    pub width: u32,
    pub height: u32,
    /// Duration that the container states, for the video stream if it can, in microseconds from its
    /// start.
    pub duration_us: Option<i64>,
    /// Whether that duration is the video stream's own rather than the longest stream's.
    pub duration_is_own: bool,
    pub orientation: Orientation,
    /// Codec configuration out of band (`avcC`, `hvcC`, sequence headers).
    pub extradata: Vec<u8>,
    /// Pictures whose codec says that each stands alone.
    pub intra_only: bool,
    pub pixel_format: String,
    pub color_space: &'static str,
    pub color_range: &'static str,
    pub color_primaries: &'static str,
    pub color_transfer: &'static str,
    /// Sample aspect ratio of the container, where it states one; it wins over the codec's, as on
    /// ffmpeg's command line.
    pub sample_aspect: Option<Ratio>,
}

impl StreamInfo {
    /// Where the video should end by its container, in microseconds from its start, if it ends
    /// before that at `end`, in units of the time base. `broken` says that reading met a cut or
    /// damage.
    ///
    /// MP4 and AVI state the video's own length. The others state only that of the longest stream,
    /// which is often the sound, so they are believed only if something is broken, or by far.
    pub(crate) fn shortfall(&self, end: i64, broken: bool) -> Option<i64> {
        const SLACK_US: i64 = 1_000_000;
        const BY_FAR_US: i64 = 3_000_000;
        let promised = self.duration_us?;
        let slack = match (self.duration_is_own || broken, self.container) {
            (true, _) => SLACK_US,
            (false, Container::Flv | Container::Asf) => BY_FAR_US,
            (false, _) => return None,
        };
        let reached = rescale(end, self.time_base, MICROSECONDS);
        (reached.saturating_add(slack) <= promised).then_some(promised)
    }
}

/// Why there is no next packet.
pub(crate) enum ReadError {
    /// The container ended where it should.
    End,
    /// The container breaks off or is damaged from here on.
    Damaged(String),
}

/// An open container of which only the video stream is read.
pub(crate) struct Demuxer {
    input: ff::format::context::Input,
    stream: usize,
}

/// libav asks this before it opens anything by name; nothing may ever be opened besides our reader.
unsafe extern "C" fn refuse_to_open(
    _: *mut ffi::AVFormatContext,
    _: *mut *mut ffi::AVIOContext,
    _: *const libc::c_char,
    _: libc::c_int,
    _: *mut *mut ffi::AVDictionary,
) -> libc::c_int {
    ffi::AVERROR(libc::EACCES)
}

impl Demuxer {
    /// Open `source` as a `container` and find its video stream: the one that the ffmpeg command
    /// would take.
    pub(crate) fn open(
        source: Watched,
        container: Container,
        limits: &Limits,
    ) -> Result<(Self, StreamInfo), Error> {
        super::prepare(limits.max_allocation);
        let unreadable = |error| Error::UnreadableContainer {
            container: container.name(),
            reason: reason(error),
        };
        let mut input = open_input(source, container, limits).map_err(|error| match error {
            // Past its own ceilings libav only says that memory is short. Another try would not
            // help.
            ff::Error::Other { errno: libc::ENOMEM } => Error::UnreadableContainer {
                container: container.name(),
                reason: "its index, or the number of its streams, is past all measure".into(),
            },
            error => unreadable(error),
        })?;
        // SAFETY: the context is open and owned by `input`; no options are passed.
        let found = unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), ptr::null_mut()) };
        if found < 0 {
            return Err(unreadable(ff::Error::from(found)));
        }
        if input.nb_streams() > limits.max_streams {
            return Err(Error::TooManyStreams { limit: limits.max_streams });
        }
        let stream = choose_stream(&input).ok_or(Error::NoVideoStream)?;
        let info = describe(&input, stream, container);
        limits.check_frame(info.width, info.height)?;
        for (index, mut other) in input.streams_mut().enumerate() {
            if index != stream {
                // SAFETY: the stream belongs to the open context; discard is a setting that callers
                // may change at any time.
                unsafe { (*other.as_mut_ptr()).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
        }
        Ok((Self { input, stream }, info))
    }

    /// The next packet of the video stream, in decoding order.
    pub(crate) fn read(&mut self) -> Result<ff::Packet, ReadError> {
        loop {
            let mut packet = ff::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => return Ok(packet),
                Ok(()) => {}
                Err(ff::Error::Eof) => return Err(ReadError::End),
                Err(error) => return Err(ReadError::Damaged(reason(error))),
            }
        }
    }
}

/// Whether the container says that the packet's picture is decoded but not shown (edit lists;
/// FFmpeg, libavcodec/packet.h).
pub(crate) fn is_hidden(packet: &ff::Packet) -> bool {
    // SAFETY: the packet is valid and only one number is read.
    unsafe { (*ff::packet::Ref::as_ptr(packet)).flags & ffi::AV_PKT_FLAG_DISCARD != 0 }
}

fn open_input(
    source: Watched,
    container: Container,
    limits: &Limits,
) -> Result<ff::format::context::Input, ff::Error> {
    let mut io = ff::format::context::StreamIo::from_read_seek_with_capacity(source, READ_BUFFER)?;
    let name = CString::new(container.name()).map_err(|_| ff::Error::InvalidData)?;
    // SAFETY: the name is a C string that outlives the call.
    let demuxer = unsafe { ffi::av_find_input_format(name.as_ptr()) };
    if demuxer.is_null() {
        return Err(ff::Error::DemuxerNotFound);
    }
    // SAFETY: a fresh context is set up before it is opened, as avformat_open_input documents. The
    // demuxer is named, so nothing is probed. `io` outlives the context: `wrap_with_custom_io`
    // takes both, and on failure libav frees the context, not custom I/O.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(ff::Error::Other { errno: libc::ENOMEM });
        }
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        (*context).io_open = Some(refuse_to_open);
        // Our own limit is looked at afterwards, when it can be told apart from other failures;
        // libav's default stands before it.
        (*context).max_streams = (*context).max_streams.max(limits.max_streams.min(1 << 16) as i32);
        // Behind the refusal above stands libav's own: a list on which no protocol is.
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

/// The stream with the best score by the rule of the ffmpeg command (FFmpeg 5.1,
/// fftools/ffmpeg_opt.c, `open_output_file`): most pixels, then packets seen while probing, then
/// the container's default; cover art is no video.
fn choose_stream(input: &ff::format::context::Input) -> Option<usize> {
    const PACKETS_SEEN: i64 = 100_000_000;
    const IS_DEFAULT: i64 = 5_000_000;
    let mut best = (0, None);
    for stream in input.streams() {
        // SAFETY: the stream belongs to the open context and these fields are public and only read.
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
            score += PACKETS_SEEN;
        }
        if disposition & ffi::AV_DISPOSITION_DEFAULT != 0 {
            score += IS_DEFAULT;
        }
        if score > best.0 {
            best = (score, Some(stream.index()));
        }
    }
    best.1
}

fn describe(input: &ff::format::context::Input, index: usize, container: Container) -> StreamInfo {
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
        // An AVI's header counts pictures in units of the time base; where its index is lost, libav
        // guesses the duration from the file's size instead.
        let counted = if container == Container::Avi { stream.nb_frames } else { 0 };
        let own = Some(stream.duration.max(counted)).filter(|duration| *duration > 0);
        let own = own.map(|duration| rescale(duration, time_base, MICROSECONDS));
        let whole = (context.duration != ffi::AV_NOPTS_VALUE && context.duration > 0)
            .then_some(context.duration);
        let rate = stream.avg_frame_rate;
        let aspect = stream.sample_aspect_ratio;
        let descriptor = ffi::avcodec_descriptor_get(codec.codec_id);
        let extradata = if codec.extradata.is_null() || codec.extradata_size <= 0 {
            Vec::new()
        } else {
            std::slice::from_raw_parts(codec.extradata, codec.extradata_size as usize).to_vec()
        };
        let format = std::mem::transmute::<i32, ffi::AVPixelFormat>(codec.format.max(-1));
        StreamInfo {
            container,
            codec: name(ffi::avcodec_get_name(codec.codec_id)).to_owned(),
            parameters: Parameters(
                input.stream(index).map(|stream| stream.parameters().clone()).unwrap_or_default(),
            ),
            time_base,
            start,
            frame_rate: (rate.num > 0 && rate.den > 0)
                .then(|| Ratio::new(rate.num.into(), rate.den.into())),
            width: codec.width.max(0) as u32,
            height: codec.height.max(0) as u32,
            duration_us: own.or(whole),
            duration_is_own: own.is_some(),
            orientation: orientation::from_display_matrix(display_matrix(stream)),
            extradata,
            intra_only: !descriptor.is_null()
                && (*descriptor).props & ffi::AV_CODEC_PROP_INTRA_ONLY != 0,
            pixel_format: name(ffi::av_get_pix_fmt_name(format)).to_owned(),
            color_space: name(ffi::av_color_space_name(codec.color_space)),
            color_range: name(ffi::av_color_range_name(codec.color_range)),
            color_primaries: name(ffi::av_color_primaries_name(codec.color_primaries)),
            color_transfer: name(ffi::av_color_transfer_name(codec.color_trc)),
            sample_aspect: (aspect.num > 0 && aspect.den > 0)
                .then(|| Ratio::new(aspect.num.into(), aspect.den.into())),
        }
    }
}

/// A static C string of libav's; null, as libav gives for what it does not know, is `unknown`.
///
/// # Safety
/// `text` is null or a C string that is never freed.
unsafe fn name(text: *const libc::c_char) -> &'static str {
    if text.is_null() {
        return "unknown";
    }
    // SAFETY: the caller vouches for the string.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("unknown")
}

/// The stream's display matrix: nine 32-bit numbers in the machine's byte order (FFmpeg,
/// libavutil/display.h).
fn display_matrix(stream: &ffi::AVStream) -> Option<[i32; 9]> {
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
    let mut matrix = [0; 9];
    if bytes.len() < 36 {
        return None;
    }
    for (number, bytes) in matrix.iter_mut().zip(bytes.chunks_exact(4)) {
        *number = i32::from_ne_bytes(bytes.try_into().ok()?);
    }
    Some(matrix)
}
