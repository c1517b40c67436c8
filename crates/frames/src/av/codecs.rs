//! Decoders that a video may reach.
//!
//! libav has more than two hundred. Most are for formats of long ago that few people have tested
//! against hostile input, so only those of the codecs in `docs/archives.md` are opened: by the
//! engine's own choice, and by libav's allowlist, which also applies to probing.

use std::ffi::{CStr, CString};
use std::sync::LazyLock;

use ffmpeg_next as ff;

/// libav's names of the decoders. None of them uses hardware. `libav/components.txt` has the same
/// ones.
pub(super) const DECODERS: [&str; 47] = [
    // Cameras, phones, streaming.
    "h264",
    "hevc",
    "vp8",
    "vp9",
    "libdav1d",
    "libaom-av1",
    "mpeg4",
    "mpeg2video",
    "mpeg1video",
    "h261",
    "h263",
    "h263i",
    "h263p",
    "mjpeg",
    "mjpegb",
    "dvvideo",
    // WMV and older AVI.
    "wmv1",
    "wmv2",
    "wmv3",
    "vc1",
    "msmpeg4v1",
    "msmpeg4v2",
    "msmpeg4",
    "cinepak",
    "msvideo1",
    "msrle",
    // FLV, Ogg's codec in Matroska, and older MOV.
    "flv",
    "flashsv",
    "vp6",
    "vp6a",
    "vp6f",
    "theora",
    "svq1",
    "svq3",
    "qtrle",
    "rpza",
    "png",
    // Editing, archives and screen recording.
    "prores",
    "dnxhd",
    "cfhd",
    "jpeg2000",
    "ffv1",
    "huffyuv",
    "ffvhuff",
    "utvideo",
    "magicyuv",
    "rawvideo",
];

/// The decoders, as the options `codec_whitelist` of libavformat and libavcodec expect them.
pub(super) fn whitelist() -> &'static CStr {
    static LIST: LazyLock<CString> =
        LazyLock::new(|| CString::new(DECODERS.join(",")).unwrap_or_default());
    &LIST
}

/// Decoder that the ffmpeg command would choose for a codec, or, if that is not listed, the first
/// one that is. `None` if no decoder of it is listed.
pub(super) fn decoder(codec: ff::codec::Id) -> Option<ff::Codec> {
    let default = ff::decoder::find(codec).filter(|found| DECODERS.contains(&found.name()));
    default.or_else(|| {
        let mut listed = DECODERS.into_iter().filter_map(ff::decoder::find_by_name);
        listed.find(|found| found.id() == codec)
    })
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::ffi;

    use super::*;

    /// Open a decoder with the allowlist only. A static libav has no others.
    fn opens(name: &str) -> bool {
        let Some(found) = ff::decoder::find_by_name(name) else { return false };
        let mut context = ff::codec::Context::new_with_codec(found);
        // SAFETY: the context is not open yet, and libav frees the copy with it.
        unsafe {
            (*context.as_mut_ptr()).codec_whitelist = ffi::av_strdup(whitelist().as_ptr());
        }
        context.decoder().open_as(found).is_ok()
    }

    #[test]
    fn libav_knows_the_decoders() {
        // Builds differ in the libraries for AV1.
        let missing = |name: &&str| ff::decoder::find_by_name(name).is_none_or(|d| !d.is_video());
        let missing: Vec<_> = DECODERS.into_iter().filter(missing).collect();
        assert!(missing.iter().all(|name| name.starts_with("lib")), "{missing:?}");
        assert!(missing.len() < 2, "none of the decoders of AV1 exists");
    }

    #[test]
    fn libav_opens_no_others() {
        assert!(opens("h264") && opens("mpeg4"));
        for name in ["snow", "zmbv", "aac", "ass"] {
            assert!(!opens(name), "{name} is not listed");
        }
    }

    #[test]
    fn only_listed_decoders_are_chosen() {
        let name = |id| decoder(id).map(|found| found.name().to_owned());
        assert_eq!(name(ff::codec::Id::H264).as_deref(), Some("h264"));
        assert_eq!(name(ff::codec::Id::MSMPEG4V3).as_deref(), Some("msmpeg4"));
        assert!(name(ff::codec::Id::AV1).is_some_and(|name| name.starts_with("lib")));
        assert_eq!(name(ff::codec::Id::SNOW), None);
        assert_eq!(name(ff::codec::Id::AAC), None);
    }
}
