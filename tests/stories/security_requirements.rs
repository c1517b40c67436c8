//! The list of security requirements is complete, and the tests that it names exist.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::harness::programs::root;

/// Requirements of levels 1 and 2 of OWASP's Application Security Verification Standard 5.0.0, by
/// id, with ranges of the last number.
const REQUIREMENTS: &str = "\
    V1.1.1-2 V1.2.1-9 V1.3.1-11 V1.4.1-3 V1.5.1-2 V2.1.1-3 V2.2.1-3 V2.3.1-4 V2.4.1 V3.2.1-2 \
    V3.3.1-4 V3.4.1-6 V3.5.1-5 V3.7.1-2 V4.1.1-3 V4.2.1 V4.3.1-2 V4.4.1-4 V5.1.1 V5.2.1-3 \
    V5.3.1-2 V5.4.1-3 V6.1.1-3 V6.2.1-12 V6.3.1-4 V6.4.1-4 V6.5.1-5 V6.6.1-3 V6.8.1-4 V7.1.1-3 \
    V7.2.1-4 V7.3.1-2 V7.4.1-5 V7.5.1-2 V7.6.1-2 V8.1.1-2 V8.2.1-3 V8.3.1 V8.4.1 V9.1.1-3 \
    V9.2.1-4 V10.1.1-2 V10.2.1-2 V10.3.1-4 V10.4.1-11 V10.5.1-5 V10.6.1-2 V10.7.1-3 V11.1.1-2 \
    V11.2.1-3 V11.3.1-3 V11.4.1-4 V11.5.1 V11.6.1 V12.1.1-3 V12.2.1-2 V12.3.1-4 V13.1.1 \
    V13.2.1-5 V13.3.1-2 V13.4.1-5 V14.1.1-2 V14.2.1-4 V14.3.1-3 V15.1.1-3 V15.2.1-3 V15.3.1-7 \
    V16.1.1 V16.2.1-5 V16.3.1-4 V16.4.1-3 V16.5.1-3 V17.1.1 V17.2.1-4 V17.3.1-2";

/// Directory with the source files of a program or crate that the list names.
fn sources(name: &str) -> PathBuf {
    match name {
        "stories" => root().join("tests/stories"),
        name => root().join("crates").join(name).join("src"),
    }
}

/// All ids of a list with commas or spaces, in which `V1.2.3-5` are three.
fn ids(list: &str) -> Vec<String> {
    let words = list.split([',', ' ']).filter(|word| !word.is_empty());
    words
        .flat_map(|word| {
            let (section, numbers) = word.rsplit_once('.').expect("an id has three numbers");
            let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
            let number = |text: &str| text.parse::<u32>().expect("a number");
            (number(first)..=number(last)).map(move |number| format!("{section}.{number}"))
        })
        .collect()
}

/// Row of a table of requirements.
struct Row<'a> {
    ids: Vec<String>,
    state: &'a str,
}

/// All rows about requirements.
fn rows(page: &str) -> Vec<Row<'_>> {
    let cells = page.lines().filter(|line| line.starts_with("| V")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [list, _, state] = cells.as_slice() else { panic!("not three cells: {line}") };
        Row { ids: ids(list), state }
    });
    cells.collect()
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/security.md")).expect("the page can be read")
}

#[test]
fn every_requirement_is_listed_once() {
    let expected = ids(REQUIREMENTS);
    assert_eq!(expected.len(), 253);
    let page = page();
    let mut listed: Vec<String> = rows(&page).into_iter().flat_map(|row| row.ids).collect();
    // All ids of a section that occur in another row or twice are found by the comparison.
    let order = |id: &String| {
        let numbers: Vec<u32> =
            id[1..].split('.').map(|number| number.parse().expect("a number")).collect();
        numbers
    };
    listed.sort_by_key(order);
    assert_eq!(listed, expected);
}

#[test]
fn the_number_of_requirements_in_each_state_is_stated() {
    let page = page();
    let (mut met, mut unmet, mut other) = (0, 0, 0);
    for Row { ids, state } in rows(&page) {
        let count = match state {
            state if state.starts_with("NOT MET") => &mut unmet,
            state if state.starts_with("Does not apply") => &mut other,
            _ => &mut met,
        };
        *count += ids.len();
        assert!(state.starts_with("NOT MET") || !state.contains("NOT MET"), "{state}");
    }
    let stated = format!(
        "Of 253 requirements, {met} are met, {unmet} are not or only in part (`NOT MET`), and \
         {other} do not apply."
    );
    let text = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&stated), "the page does not state: {stated}");
}

/// Tests that a text names, such as `stories: accounts::sessions::tokens_expire`: the program or
/// crate, the module, and the function.
fn named_tests(text: &str) -> BTreeSet<(&str, &str, &str)> {
    let spans = text.split('`').skip(1).step_by(2);
    let tests = spans.filter_map(|span| {
        let (program, path) = span.split_once(": ")?;
        let (module, function) = path.rsplit_once("::")?;
        sources(program).is_dir().then_some((program, module, function))
    });
    tests.collect()
}

/// Whether a source file has a test with this name: a function with an attribute that makes it one,
/// or a case of a conformance suite.
fn has_test(file: &str, function: &str) -> bool {
    let (beginning, case) = (format!("fn {function}("), format!("pub(super) async fn {function}("));
    let lines: Vec<&str> = file.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let mut attributes = attributes.filter(|line| line.contains("test"));
        line.starts_with(&case) || line.contains(&beginning) && attributes.next().is_some()
    })
}

#[test]
fn every_named_test_exists() {
    let page = page();
    let tests = named_tests(&page);
    assert!(tests.len() > 100, "only {} tests are named", tests.len());
    let exists = |(program, module, function): &(&str, &str, &str)| {
        let path = sources(program).join(module.replace("::", "/"));
        let files = [path.with_extension("rs"), path.join("mod.rs"), path.join("tests.rs")];
        let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
        texts.into_iter().any(|text| has_test(&text, function))
    };
    let missing: Vec<_> = tests.iter().filter(|test| !exists(test)).collect();
    assert!(missing.is_empty(), "the page names tests that do not exist: {missing:#?}");
}
