//! The commands of the README work, links lead somewhere, and the manual covers every alert.

mod translation;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{root, run, tool};

/// First block of shell commands in the README.
fn commands() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README can be read");
    let (_, rest) = readme.split_once("```sh\n").expect("it has shell commands");
    rest.split_once("```").expect("the block ends").0.to_owned()
}

#[test]
fn the_curl_commands_work_as_printed() {
    let (data, work) = (scratch(), scratch());
    let service = Process::start(data.path(), &[]);
    tool("curl");
    tool("python3");
    let script = commands()
        .replace("http://localhost:8000", service.base())
        .replace("data/mails", &data.path().join("mails").to_string_lossy())
        .replace("fixtures/", &format!("{}/", root().join("fixtures").display()));
    // The mail is written a moment after the job is done, so wait for it.
    let waiting = format!(
        "until ls {}/*.eml >&2; do sleep 0.1; done\ncat ",
        data.path().join("mails").display()
    );
    let script = format!("set -euo pipefail\n{}", script.replace("cat ", &waiting));
    let run = run(Command::new("bash").arg("-c").arg(&script).current_dir(work.path()));
    let output = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.code, Some(0), "{output}\n{}", run.stderr);
    for shown in [
        "\"email\":\"ana@example.com\"",
        "\"status\":\"DONE\"",
        "frame_00010_",
        "manifest.json",
        "Subject:",
    ] {
        assert!(output.contains(shown), "no {shown} in {output}");
    }
}

/// Content of a file of the repository.
fn text(path: &Path) -> String {
    std::fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Pages of the documentation, relative to the root of the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = [
        "README",
        "README.pt-BR",
        "ARCHITECTURE",
        "CONTRIBUTING",
        "SECURITY",
        "CHANGELOG",
        "docker/k8s/README",
    ]
    .map(|page| format!("{page}.md").into())
    .into();
    for entry in root().join("docs").read_dir().expect("the directory can be read") {
        let name = entry.expect("the directory can be read").file_name();
        if name.to_string_lossy().ends_with(".md") {
            pages.push(Path::new("docs").join(name));
        }
    }
    pages
}

/// Lines of a page outside of its code blocks.
fn prose(page: &str) -> Vec<&str> {
    let mut in_code = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    };
    page.lines().filter(is_prose).collect()
}

/// Relative links of a page, and the sources of its images.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page).join("\n");
    let after = |start: &'static str, end: char| {
        let rests = prose.split(start).skip(1);
        rests.filter_map(move |rest| rest.split(end).next())
    };
    let all = after("](", ')').chain(after("src=\"", '"'));
    all.filter(|link| !link.contains("://")).map(str::to_owned).collect()
}

/// Anchors of a page's headings, by GitHub's rule: lower case, without punctuation, with hyphens
/// for spaces, and numbered from the second heading of the same text.
fn anchors(page: &str) -> Vec<String> {
    let mut counts = HashMap::new();
    let headings = prose(page).into_iter().filter_map(|line| {
        let text = line.trim_start_matches('#');
        if text.len() < line.len() { text.strip_prefix(' ') } else { None }
    });
    let is_kept = |char: &char| char.is_alphanumeric() || " -_".contains(*char);
    let anchor = |heading: &str| {
        let lower = heading.trim().to_lowercase();
        let slug = lower.chars().filter(is_kept).collect::<String>().replace(' ', "-");
        let count = counts.entry(slug.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
    };
    headings.map(anchor).collect()
}

#[test]
fn links_and_anchors_are_found_as_github_does() {
    let page = "# One: *a* `b_c`\n[x](y.md#z), [w](https://example.com)\n```sh\n# no\n[v](u)\n```\n\
                ## Ações - 1.0\n## Ações - 1.0\n#no\n<img src=\"i.png\">";
    assert_eq!(anchors(page), ["one-a-b_c", "ações---10", "ações---10-1"]);
    assert_eq!(links(page), ["y.md#z", "i.png"]);
}

#[test]
fn every_relative_link_leads_somewhere() {
    let (mut checked, mut dead) = (0, Vec::new());
    for page in pages() {
        for link in links(&text(&page)) {
            checked += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.with_file_name(path),
            };
            let exists = root().join(&target).exists();
            let has_anchor = |anchor| anchors(&text(&target)).iter().any(|known| known == anchor);
            if !exists || !anchor.is_empty() && !has_anchor(anchor) {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} links were found");
    assert!(dead.is_empty(), "links without a target:\n{}", dead.join("\n"));
}

/// Each alert has a section in the operator's manual, and links to it.
#[test]
fn every_alert_has_a_section_in_the_manual() {
    let [alerts, manual] =
        ["docker/prometheus/alerts.yml", "docs/operations.md"].map(|path| text(Path::new(path)));
    let named: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(named.len() >= 10, "{named:?}");
    for alert in named {
        assert!(
            manual.contains(&format!("\n### {alert}\n")),
            "docs/operations.md has no section {alert}"
        );
        let link = format!("runbook_url: docs/operations.md#{}\n", alert.to_lowercase());
        assert!(alerts.contains(&link), "{alert} has no {link}");
    }
}

/// Texts between double quotes after `security_event = ` or `let event = ` in the interface.
fn security_events() -> Vec<String> {
    let directory = root().join("crates/api/src");
    let mut events = Vec::new();
    for entry in directory.read_dir().expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        if path.extension().is_some_and(|suffix| suffix == "rs") {
            let source = std::fs::read_to_string(&path).expect("a source is text");
            for start in ["security_event = \"", "let event = \""] {
                let rests = source.split(start).skip(1);
                events.extend(rests.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
    }
    events
}

#[test]
fn the_manual_covers_every_security_event() {
    let manual = text(Path::new("docs/operations.md"));
    let events = security_events();
    assert!(events.len() >= 15, "{events:?}");
    for event in events {
        assert!(manual.contains(&format!("\n| `{event}` |")), "docs/operations.md lacks {event}");
    }
}
