//! Components of libav that are linked, compared with the list of those that the product needs.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::ptr;

use ffmpeg_next::ffi;

use super::codecs;
use super::library;

/// List from which the static libav is built.
const LIST: &str = include_str!("../../libav/components.txt");

/// Names in the list of a kind, with those that others call.
fn listed(kind: &str) -> BTreeSet<&'static str> {
    let words = LIST.lines().map(|line| line.trim_start_matches("selected ").split_whitespace());
    let of_kind = words.filter_map(|mut words| (words.next()? == kind).then(|| words.next())?);
    // Here, libav's name differs from that of its build.
    of_kind.map(|name| if name == "msmpeg4v3" { "msmpeg4" } else { name }).collect()
}

/// Names of all components over which a function of libav iterates, each with another property.
fn linked<T, P>(
    next: unsafe extern "C" fn(*mut *mut libc::c_void) -> *const T,
    properties: impl Fn(&T) -> (*const libc::c_char, P),
) -> Vec<(&'static str, P)> {
    let mut position = ptr::null_mut();
    let mut found = Vec::new();
    // SAFETY: the functions return constants of libav until they return null, and change the
    // position only. Their names are constant strings.
    unsafe {
        while let Some(component) = next(&raw mut position).as_ref() {
            let (name, property) = properties(component);
            let name = CStr::from_ptr(name).to_str().expect("a name is ASCII");
            found.push((name.split(',').next().unwrap_or_default(), property));
        }
    }
    found
}

/// Names of linked decoders, or of encoders.
fn linked_codecs(encoders: bool) -> BTreeSet<&'static str> {
    let all = linked(ffi::av_codec_iterate, |codec| (codec.name, ptr::from_ref(codec)));
    // SAFETY: the pointers are constants of libav.
    let of_kind = all
        .into_iter()
        .filter(|(_, codec)| unsafe { (ffi::av_codec_is_encoder(*codec) != 0) == encoders });
    of_kind.map(|(name, _)| name).collect()
}

fn names<P>(components: Vec<(&'static str, P)>) -> BTreeSet<&'static str> {
    components.into_iter().map(|(name, _)| name).collect()
}

/// Names of protocols that libav can read, or of those that it can write.
fn protocols(output: bool) -> Vec<&'static str> {
    let mut position = ptr::null_mut();
    let mut found = Vec::new();
    // SAFETY: as in `linked`.
    unsafe {
        loop {
            let name = ffi::avio_enum_protocols(&raw mut position, output.into());
            if name.is_null() {
                return found;
            }
            found.push(CStr::from_ptr(name).to_str().expect("a name is ASCII"));
        }
    }
}

#[test]
fn the_list_and_the_decoders_that_are_opened_agree() {
    let mut opened: BTreeSet<_> = codecs::DECODERS.into();
    // Only the libav of a system has it, for AV1 if dav1d is missing.
    assert!(opened.remove("libaom-av1"));
    // Called by Theora's, and never opened by itself.
    assert!(opened.insert("vp3"));
    assert_eq!(listed("decoder"), opened);
}

#[test]
fn every_line_of_the_list_states_a_reason() {
    let lines = LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let mut words = line.trim_start_matches("selected ").split_whitespace();
        let kind = words.next().unwrap_or_default();
        assert!(["decoder", "encoder", "demuxer", "parser", "bsf"].contains(&kind), "{line}");
        assert!(words.count() > 1, "no reason: {line}");
    }
}

/// All of what a static libav has, and a part of what the system's has.
#[test]
fn the_listed_components_are_linked() {
    let demuxers = names(linked(ffi::av_demuxer_iterate, |demuxer| (demuxer.name, ())));
    let muxers = names(linked(ffi::av_muxer_iterate, |muxer| (muxer.name, ())));
    let filters = names(linked(ffi::av_bsf_iterate, |filter| (filter.name, ())));
    let kinds = [
        ("decoder", linked_codecs(false)),
        ("encoder", linked_codecs(true)),
        ("demuxer", demuxers),
        ("muxer", muxers),
        ("bsf", filters),
    ];
    let is_static = library::build().built.is_some();
    for (kind, linked) in kinds {
        if is_static {
            assert_eq!(linked, listed(kind), "{kind}");
        } else {
            let missing: Vec<_> = listed(kind).difference(&linked).copied().collect();
            assert!(missing.is_empty(), "the system's libav has no {kind} {missing:?}");
        }
    }
    if is_static {
        assert_eq!([protocols(false), protocols(true)], [[], []].map(Vec::<&str>::from));
    }
}
