//! The program contains the listed components of libav and no others, and needs few libraries.

use std::collections::BTreeSet;
use std::process::Command;

use crate::harness::programs::{fiapx, output, root, tool};

/// Kinds of components, as the names of their descriptions end.
const KINDS: [&str; 8] =
    ["decoder", "encoder", "demuxer", "muxer", "parser", "bsf", "hwaccel", "protocol"];

/// Maximum number of shared libraries, with the loader and the one of the kernel.
const MAX_LIBRARIES: usize = 10;

/// Output of a program in lines.
fn lines(command: &mut Command) -> Vec<String> {
    let printed = output(command).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect()
}

/// Whether `fiapx --version` states a static libav.
fn states_static() -> bool {
    let stated = lines(fiapx().arg("--version"));
    let libav = stated.iter().find_map(|line| line.strip_prefix("libav "));
    let libav = libav.unwrap_or_else(|| panic!("no version of libav in {stated:?}"));
    libav.contains(", static, built on ") || {
        assert!(libav.ends_with(" of the system"), "{libav}");
        false
    }
}

/// Names of the program's shared libraries.
fn libraries() -> Vec<String> {
    let listed = lines(tool("ldd").arg(fiapx().get_program()));
    let name = |line: &String| line.split_whitespace().next().unwrap_or_default().to_owned();
    listed.iter().map(name).collect()
}

/// A function or data of the program.
struct Symbol {
    name: String,
    /// As nm prints it: T and t for functions.
    kind: String,
}

fn symbols() -> Vec<Symbol> {
    let listed = lines(tool("nm").arg(fiapx().get_program()));
    let symbol = |line: &String| {
        let mut words = line.split_whitespace().skip(1).map(str::to_owned);
        Some(Symbol { kind: words.next()?, name: words.next()? })
    };
    listed.iter().filter_map(symbol).collect()
}

/// Components that the program describes, as `decoder h264`.
fn components(symbols: &[Symbol]) -> BTreeSet<String> {
    let data = symbols.iter().filter(|symbol| !symbol.kind.eq_ignore_ascii_case("t"));
    let component = |symbol: &Symbol| {
        let (name, kind) = symbol.name.strip_prefix("ff_")?.rsplit_once('_')?;
        KINDS.contains(&kind).then(|| format!("{kind} {name}"))
    };
    data.filter_map(component).collect()
}

#[test]
fn the_program_states_truly_whether_libav_is_static() {
    let shared = libraries();
    let of_libav: Vec<_> = shared
        .iter()
        .filter(|name| name.starts_with("libav") || name.starts_with("libsw"))
        .collect();
    assert_eq!(states_static(), of_libav.is_empty(), "{shared:?}");
}

#[test]
fn a_static_libav_needs_few_libraries() {
    let shared = libraries();
    assert!(!states_static() || shared.len() <= MAX_LIBRARIES, "{shared:?}");
}

#[test]
fn a_static_libav_has_the_listed_components_only() {
    if !states_static() {
        // The components are those of the system.
        return;
    }
    let path = root().join("crates/frames/libav/components.txt");
    let list = std::fs::read_to_string(path).expect("the list can be read");
    let entries = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let words: Vec<_> = line.trim_start_matches("selected ").split_whitespace().collect();
        words[..2].join(" ")
    };
    let listed: BTreeSet<String> = entries.map(entry).collect();
    assert_eq!(components(&symbols()), listed);
}

/// Beginnings of the names of libav's functions for networks, devices and filters, and of those of
/// filters.
const ABSENT: [&str; 14] = [
    "ff_network_",
    "ff_socket",
    "ff_listen",
    "ff_tls_",
    "ff_http_",
    "ff_rtp_",
    "ff_rtsp_",
    "ff_hls_",
    "ff_dash_",
    "ff_vf_",
    "ff_af_",
    "avfilter_",
    "avdevice_",
    "swr_",
];

#[test]
fn a_static_libav_has_no_code_for_networks_devices_and_filters() {
    if !states_static() {
        return;
    }
    let symbols = symbols();
    let names: Vec<_> = symbols.iter().map(|symbol| symbol.name.as_str()).collect();
    assert!(names.contains(&"av_read_frame"), "the program has no names of functions");
    let is_absent = |name: &&str| ABSENT.iter().any(|start| name.starts_with(start));
    let found: Vec<_> = names.into_iter().filter(is_absent).collect();
    assert!(found.is_empty(), "{found:?}");
}
