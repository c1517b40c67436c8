//! What may stand where in the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::harness::root;

/// All files under these directories of the repository whose names end so, without what was built.
fn files(directories: &[&str], suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = directories
        .iter()
        .map(|directory| root().join(directory))
        .filter(|path| path.is_dir())
        .collect();
    while let Some(directory) = left.pop() {
        for entry in directory.read_dir().expect("the sources can be read") {
            let path = entry.expect("the sources can be read").path();
            if path.is_dir() && !path.ends_with("target") {
                left.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                found
                    .push(path.strip_prefix(root()).expect("it lies in the repository").to_owned());
            }
        }
    }
    assert!(!found.is_empty(), "no {suffix} under {directories:?}");
    found
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).expect("the sources can be read")
}

/// Whether a word stands in a file, outside comments that begin so.
fn names(path: &Path, word: &str, comment: &str) -> bool {
    let text = text(path);
    let code = text.lines().map(|line| line.split(comment).next().unwrap_or_default());
    let is_part = |char: char| char.is_alphanumeric() || char == '_' || char == '-';
    code.flat_map(|line| line.split(|char| !is_part(char))).any(|found| found == word)
}

/// The directories in which a word stands.
fn places(suffix: &str, word: &str, comment: &str) -> BTreeSet<PathBuf> {
    let naming = files(&["crates", "tests", "benches"], suffix)
        .into_iter()
        .filter(|path| names(path, word, comment));
    naming.map(|path| path.parent().expect("a file lies somewhere").to_owned()).collect()
}

#[test]
fn only_the_wrapper_of_libav_is_unsafe() {
    let word = concat!("un", "safe");
    assert_eq!(places(".rs", word, "//"), BTreeSet::from(["crates/frames/src/av".into()]));
}

/// What tests may make a process do, a release cannot be made to do: it takes features that nobody
/// gets without asking.
#[test]
fn a_release_has_no_hooks_for_tests() {
    for manifest in files(&["crates"], "Cargo.toml") {
        assert!(
            !text(&manifest).contains("\ndefault ="),
            "{} has default features",
            manifest.display()
        );
    }
    let build = text(Path::new("Makefile"));
    let releases = build.lines().filter(|line| line.contains("--release"));
    assert!(
        releases.clone().count() > 0 && releases.into_iter().all(|line| !line.contains("features")),
        "{build}"
    );
}

#[test]
fn only_the_engine_depends_on_libav() {
    assert_eq!(places("Cargo.toml", "ffmpeg-next", "#"), BTreeSet::from(["crates/frames".into()]));
    for other in ["ffmpeg-sys-next", "rsmpeg", "ac-ffmpeg"] {
        assert_eq!(places("Cargo.toml", other, "#"), BTreeSet::new(), "{other}");
    }
}

/// Each of these is known to the crates whose duty it is, and to nobody else.
#[test]
fn every_dependency_has_its_place() {
    for (dependency, places_of_it) in [
        ("sea-orm", vec!["crates/database"]),
        ("sea-orm-migration", vec!["crates/database", "migrations"]),
        // The benches hold the service against what the SDK itself does.
        ("aws-sdk-s3", vec!["benches", "crates/storage"]),
        ("lapin", vec!["crates/broker"]),
        ("redis", vec!["crates/api"]),
        ("lettre", vec!["crates/notifier"]),
        ("opentelemetry", vec!["crates/app"]),
        ("opentelemetry_sdk", vec!["crates/app"]),
        ("opentelemetry-http", vec!["crates/app"]),
        ("opentelemetry-otlp", vec!["crates/app"]),
        ("opentelemetry-proto", vec!["tests"]),
        ("tracing-opentelemetry", vec!["crates/app"]),
        ("poem", vec!["crates/api", "crates/app", "crates/web", "tests/fuzz"]),
        ("poem-openapi", vec!["crates/api"]),
        ("jsonwebtoken", vec!["crates/api", "tests"]),
        ("argon2", vec!["crates/api"]),
        (
            "frames",
            vec!["benches", "crates/app", "crates/frames", "crates/worker", "tests", "tests/fuzz"],
        ),
    ] {
        let naming = files(&["crates", "migrations", "tests", "benches"], "Cargo.toml")
            .into_iter()
            .filter(|path| names(path, dependency, "#"));
        let found: BTreeSet<PathBuf> =
            naming.filter_map(|path| Some(path.parent()?.to_owned())).collect();
        assert_eq!(found, places_of_it.into_iter().map(PathBuf::from).collect(), "{dependency}");
    }
}

/// Dependencies run downwards: app, then api, web, worker and notifier, then database, broker and
/// storage, then jobs.
#[test]
fn crates_know_only_what_lies_below_them() {
    let layers: [&[&str]; 5] = [
        &["app"],
        &["api", "notifier", "web", "worker"],
        &["broker", "database", "storage"],
        &["frames", "migrations"],
        &["jobs"],
    ];
    for (depth, layer) in layers.iter().enumerate() {
        for name in *layer {
            let manifest = if *name == "migrations" {
                "migrations/Cargo.toml".into()
            } else {
                PathBuf::from(format!("crates/{name}/Cargo.toml"))
            };
            for other in layers[..=depth].concat().into_iter().filter(|other| other != name) {
                assert!(
                    !text(&manifest).contains(&format!("\n{other}.workspace")),
                    "{name} knows {other}"
                );
            }
        }
    }
    for name in layers.concat() {
        assert!(
            !text(Path::new("benches/load/Cargo.toml")).contains(&format!("\n{name}.workspace")),
            "the load generator knows {name}"
        );
    }
}

/// Object keys are built in one place, so that a change of their form changes that place alone.
#[test]
fn object_keys_are_built_in_one_place() {
    let forms = ["input.{", "output-{"];
    let building: Vec<PathBuf> = files(&["crates/api", "crates/storage", "crates/worker"], ".rs")
        .into_iter()
        .filter(|path| forms.iter().any(|form| text(path).contains(form)))
        .collect();
    assert_eq!(building, [PathBuf::from("crates/storage/src/key.rs")]);
}

#[test]
fn the_engine_knows_no_async_run_time() {
    for word in ["tokio", "async", "futures", "reqwest", "hyper", "sqlx"] {
        for (suffix, comment) in [(".rs", "//"), ("Cargo.toml", "#")] {
            let naming: Vec<_> = files(&["crates/frames"], suffix)
                .into_iter()
                .filter(|path| names(path, word, comment))
                .collect();
            assert_eq!(naming, Vec::<PathBuf>::new(), "{word}");
        }
    }
}

/// Fail if modules of the page import each other in a cycle.
#[test]
fn modules_of_the_page_have_no_import_cycles() {
    let mut imports: BTreeMap<PathBuf, Vec<PathBuf>> = files(&["crates/web/page"], ".js")
        .into_iter()
        .map(|module| {
            let text = text(&module).replace('"', "'");
            let targets =
                text.split(" from './").skip(1).filter_map(|rest| rest.split('\'').next());
            let imported = targets.map(|name| module.with_file_name(name)).collect();
            (module, imported)
        })
        .collect();
    assert!(imports.values().any(|imported| !imported.is_empty()), "no imports were found");
    // Remove modules whose imports are all removed, until there are none. A cycle stays.
    while !imports.is_empty() {
        let known: BTreeSet<PathBuf> = imports.keys().cloned().collect();
        imports.retain(|_, imported| imported.iter().any(|module| known.contains(module)));
        assert!(imports.len() < known.len(), "import cycle: {imports:#?}");
    }
}

/// A crate with such a name becomes the place for everything.
#[test]
fn every_crate_has_a_purpose_in_its_name() {
    let crates = files(&["crates"], "Cargo.toml");
    let names: BTreeSet<String> = crates
        .iter()
        .filter_map(|path| {
            text(path).lines().find_map(|line| Some(line.strip_prefix("name = ")?.to_owned()))
        })
        .collect();
    assert_eq!(names.len(), crates.len(), "a crate without a name of its own");
    for vague in ["common", "core", "shared", "utils", "util", "helpers"] {
        assert!(!names.contains(&format!("\"{vague}\"")), "{vague}");
    }
}

#[test]
fn files_stay_short_enough_to_read() {
    const LINES: usize = 700;
    let lengths = files(&["crates", "tests", "benches"], ".rs")
        .into_iter()
        .map(|path| (text(&path).lines().count(), path));
    let long: Vec<_> = lengths.filter(|(lines, _)| *lines > LINES).collect();
    assert_eq!(long, [], "lines of files that are too long");
}
