//! Rules for the sources: dependencies, order of modules, unsafe code, and the size of files.

mod sources;
mod modules;
mod page;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use modules::Crate;
use sources::{files, text};

use crate::harness::clips::scratch;

/// Whether a file contains a word, outside comments that begin with `comment`.
fn contains_word(path: &Path, word: &str, comment: &str) -> bool {
    let text = text(path);
    let code = text.lines().map(|line| line.split(comment).next().unwrap_or_default());
    let is_part = |char: char| char.is_alphanumeric() || char == '_' || char == '-';
    code.flat_map(|line| line.split(|char| !is_part(char))).any(|found| found == word)
}

/// Whether a manifest declares a dependency on a crate, in any form that Cargo accepts.
fn depends_on(manifest: &str, name: &str) -> bool {
    let table = format!("dependencies.{name}]");
    let renamed = format!("package = \"{name}\"");
    manifest.lines().map(str::trim).any(|line| {
        let rest = line.strip_prefix(name).unwrap_or_default().trim_start();
        let is_entry = rest.starts_with('=') || rest.starts_with('.');
        is_entry || (line.starts_with('[') && line.ends_with(&table)) || line.contains(&renamed)
    })
}

/// Directories of the crates that depend on a library.
fn dependents(library: &str) -> BTreeSet<PathBuf> {
    let found = files(&["crates", "migrations", "tests", "benches"], "Cargo.toml").into_iter();
    let directory = |path: PathBuf| path.parent().expect("a file is in a directory").to_owned();
    found.filter(|path| depends_on(&text(path), library)).map(directory).collect()
}

/// Directories with Rust files that contain a word.
fn directories_with(word: &str) -> BTreeSet<PathBuf> {
    let found = rust_files().into_iter().filter(|path| contains_word(path, word, "//"));
    found.map(|path| path.parent().expect("a file is in a directory").to_owned()).collect()
}

/// Crates in these directories, each read from the file of its root.
fn crates() -> Vec<Crate> {
    let members = ["benches/database", "benches/load", "tests/model", "tests/servers"];
    let roots = [["crates", "migrations"].as_slice(), &members].concat();
    let files = ["src/lib.rs", "src/main.rs"].map(|root| files(&roots, root));
    files.concat().iter().map(|root| Crate::read(root)).collect()
}

/// Write a crate to a directory, and read it.
fn example(directory: &Path, sources: &[(&str, &str)]) -> Crate {
    for (file, source) in sources {
        std::fs::write(directory.join(file), source).expect("it can be written");
    }
    Crate::read(&directory.join("lib.rs"))
}

#[test]
fn cycles_and_upward_uses_are_found() {
    let directory = scratch();
    let uses = |pairs: &[(&str, &str)]| -> Vec<String> {
        let file = |name: &str| directory.path().join(name).display().to_string();
        pairs.iter().map(|(user, used)| format!("{} uses {}", file(user), file(used))).collect()
    };
    let lower = ("a.rs", "pub struct A; // crate::b\nconst B: &str = \"crate::b::B\";");
    let tests = "#[cfg(test)] mod tests { use crate::c::C; }";

    let upper = format!("use crate::a::A as Other;\npub struct B; {tests}");
    let root = ("lib.rs", "mod a;\nmod b;\nmod c;\npub use a::A;");
    let last = ("c.rs", "pub struct C(super::b::B);");
    let valid = example(directory.path(), &[lower, ("b.rs", &upper), root, last]);
    assert_eq!((valid.cycles(), valid.upward_uses()), (Vec::new(), Vec::new()));
    assert_eq!(valid.glob_imports(), [] as [&str; 0]);

    for upper in ["use crate::A;\npub struct B;", "use super::{a, A};\npub struct B;"] {
        let invalid = example(directory.path(), &[lower, ("b.rs", upper), root, last]);
        assert_eq!(invalid.upward_uses(), uses(&[("b.rs", "lib.rs")]), "{upper}");
    }
    let upper = ("b.rs", "use crate::{a::*, c};\npub struct B;");
    let invalid = example(directory.path(), &[lower, upper, root, last]);
    let glob = format!("{} imports crate::a::*", directory.path().join("b.rs").display());
    assert_eq!(invalid.glob_imports(), [glob]);
    assert_eq!(invalid.upward_uses(), uses(&[("b.rs", "c.rs")]));

    let upper = ("b.rs", "pub fn b(c: &crate::c::C) -> crate::Item { unimplemented!() }");
    let root = ("lib.rs", "mod a;\nmod b;\nmod c;\npub struct Item;");
    let invalid = example(directory.path(), &[lower, upper, root, last]);
    assert_eq!(invalid.cycles(), uses(&[("b.rs", "c.rs"), ("c.rs", "b.rs")]));
    assert_eq!(invalid.upward_uses(), uses(&[("b.rs", "lib.rs"), ("b.rs", "c.rs")]));
}

#[test]
fn modules_have_no_cycles() {
    let cycles: Vec<String> = crates().iter().flat_map(Crate::cycles).collect();
    assert!(cycles.is_empty(), "uses in cycles of modules:\n{}", cycles.join("\n"));
}

/// The order of the `mod` declarations is the order of dependencies: a module uses only modules
/// that are declared above it, and nothing that the root of its crate defines or re-exports.
#[test]
fn modules_are_declared_in_dependency_order() {
    let upward: Vec<String> = crates().iter().flat_map(Crate::upward_uses).collect();
    assert!(upward.is_empty(), "uses of modules that are declared below:\n{}", upward.join("\n"));
}

/// An import of everything hides what a module uses.
#[test]
fn imports_name_their_items() {
    let globs: Vec<String> = crates().iter().flat_map(Crate::glob_imports).collect();
    assert!(globs.is_empty(), "imports of everything:\n{}", globs.join("\n"));
}

#[test]
fn unsafe_code_is_only_in_the_wrapper_of_libav() {
    let word = concat!("un", "safe");
    let expected = BTreeSet::from(["crates/frames/src/av".into()]);
    assert_eq!(directories_with(word), expected);
}

/// Hooks for tests need features that no release enables.
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

/// Only the wrapper of libav names its bindings.
#[test]
fn bindings_of_libav_are_used_only_in_their_wrapper() {
    let expected = BTreeSet::from(["crates/frames/src/av".into()]);
    assert_eq!(directories_with(concat!("ffmpeg", "_next")), expected);
}

#[test]
fn only_the_engine_depends_on_libav() {
    let expected = BTreeSet::from(["crates/frames".into()]);
    assert_eq!(dependents("ffmpeg-next"), expected);
    for other in ["ffmpeg-sys-next", "rsmpeg", "ac-ffmpeg"] {
        assert_eq!(dependents(other), BTreeSet::new(), "{other}");
    }
}

/// Each of these libraries is a dependency of the crates that wrap it, and of no others.
#[test]
fn libraries_are_dependencies_only_of_their_wrappers() {
    for (dependency, expected) in [
        ("sea-orm", vec!["crates/database"]),
        ("sea-orm-migration", vec!["crates/database", "migrations"]),
        // The benches compare the store with the SDK.
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
        ("frames", vec!["benches", "crates/app", "crates/worker", "tests", "tests/fuzz"]),
    ] {
        let expected = expected.into_iter().map(PathBuf::from).collect();
        assert_eq!(dependents(dependency), expected, "{dependency}");
    }
}

#[test]
fn every_form_of_a_dependency_is_found() {
    for manifest in [
        "jobs.workspace = true",
        "jobs = { path = \"../jobs\", features = [\"x\"] }",
        "jobs = \"1\"",
        "jobs={workspace=true}",
        "[target.'cfg(unix)'.dependencies.jobs]",
        "vocabulary = { workspace = true, package = \"jobs\" }",
    ] {
        assert!(depends_on(manifest, "jobs"), "{manifest}");
    }
    for manifest in ["jobs-macros.workspace = true", "name = \"jobs\"", "f = [\"jobs/f\"]"] {
        assert!(!depends_on(manifest, "jobs"), "{manifest}");
    }
}

/// A crate depends only on crates of the layers below its own.
#[test]
fn crates_depend_only_on_lower_layers() {
    let layers: [&[&str]; 5] = [
        &["app"],
        &["api", "notifier", "web", "worker"],
        &["broker", "database", "egress", "remote", "storage"],
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
                assert!(!depends_on(&text(&manifest), other), "{name} depends on {other}");
            }
        }
    }
    for name in layers.concat() {
        let manifest = text(Path::new("benches/load/Cargo.toml"));
        assert!(!depends_on(&manifest, name), "the load generator depends on {name}");
    }
}

/// Object keys are built in one file, so that a change of their format changes only that file.
#[test]
fn object_keys_are_built_in_one_file() {
    let forms = ["input.{", "output-{"];
    let building: Vec<PathBuf> = files(&["crates/api", "crates/storage", "crates/worker"], ".rs")
        .into_iter()
        .filter(|path| forms.iter().any(|form| text(path).contains(form)))
        .collect();
    assert_eq!(building, [PathBuf::from("crates/storage/src/key.rs")]);
}

#[test]
fn the_engine_has_no_async_code() {
    for word in ["tokio", "async", "futures", "reqwest", "hyper", "sqlx"] {
        for (suffix, comment) in [(".rs", "//"), ("Cargo.toml", "#")] {
            let found: Vec<_> = files(&["crates/frames"], suffix)
                .into_iter()
                .filter(|path| contains_word(path, word, comment))
                .collect();
            assert_eq!(found, Vec::<PathBuf>::new(), "{word}");
        }
    }
}

/// A crate with a vague name collects unrelated code.
#[test]
fn crate_names_state_a_purpose() {
    let crates = files(&["crates"], "Cargo.toml");
    let names: BTreeSet<String> = crates
        .iter()
        .filter_map(|path| {
            text(path).lines().find_map(|line| Some(line.strip_prefix("name = ")?.to_owned()))
        })
        .collect();
    assert_eq!(names.len(), crates.len(), "a crate without a name, or a name used twice");
    for vague in ["common", "core", "shared", "utils", "util", "helpers"] {
        assert!(!names.contains(&format!("\"{vague}\"")), "{vague}");
    }
}

/// The goal of the design is about 400 lines. A file that reaches the limit should be split.
#[test]
fn files_stay_short_enough_to_read() {
    const LINES: usize = 450;
    let lengths = rust_files().into_iter().map(|path| (text(&path).lines().count(), path));
    let long: Vec<_> = lengths.filter(|(lines, _)| *lines > LINES).collect();
    assert_eq!(long, [], "lines of files that are too long");
}

/// rustfmt leaves comments and strings as they are.
#[test]
fn lines_are_at_most_100_characters_long() {
    const CHARACTERS: usize = 100;
    let mut long = Vec::new();
    for path in rust_files() {
        for (number, line) in (1..).zip(text(&path).lines()) {
            if line.chars().count() > CHARACTERS {
                long.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "lines that are too long:\n{}", long.join("\n"));
}

fn rust_files() -> Vec<PathBuf> {
    files(&["crates", "migrations", "tests", "benches"], ".rs")
}
