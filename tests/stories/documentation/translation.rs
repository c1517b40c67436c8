//! The Portuguese README has the structure and the commands of the English one.

use std::path::Path;

use super::{links, prose, text};

const ENGLISH: &str = "README.md";
const PORTUGUESE: &str = "README.pt-BR.md";

/// Content of both pages.
fn both() -> [String; 2] {
    [ENGLISH, PORTUGUESE].map(|page| text(Path::new(page)))
}

/// Levels of the headings, in order.
fn levels(page: &str) -> Vec<usize> {
    let level = |line: &str| line.len() - line.trim_start_matches('#').len();
    prose(page).into_iter().map(level).filter(|level| *level > 0).collect()
}

/// Lines of the code blocks: fenced ones, and those that are indented by four spaces.
fn code(page: &str) -> Vec<&str> {
    let mut fenced = false;
    let is_code = |line: &&str| {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        fenced || is_fence || line.starts_with("    ")
    };
    page.lines().filter(is_code).collect()
}

/// Code between backticks outside of code blocks, sorted. Lines may be wrapped within it.
fn inline_code(page: &str) -> Vec<String> {
    let prose: Vec<&str> =
        prose(page).into_iter().filter(|line| !line.starts_with("    ")).collect();
    let text = prose.join(" ");
    let mut code: Vec<String> = text.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    code.sort();
    code
}

#[test]
fn levels_and_code_of_a_page_are_found() {
    let page = "# A\n\n    make `b`\n\nc `d\ne` f\n```sh\n# no\n```\n## G `h`\n";
    assert_eq!(levels(page), [1, 2]);
    assert_eq!(code(page), ["    make `b`", "```sh", "# no", "```"]);
    assert_eq!(inline_code(page), ["d e", "h"]);
}

#[test]
fn both_readmes_have_the_same_headings_and_commands() {
    let [english, portuguese] = both();
    assert!(levels(&english).len() > 10 && code(&english).len() > 30, "{english}");
    assert_eq!(levels(&portuguese), levels(&english), "headings of {PORTUGUESE}");
    assert_eq!(code(&portuguese), code(&english), "commands of {PORTUGUESE}");
    assert_eq!(inline_code(&portuguese), inline_code(&english), "code in {PORTUGUESE}");
}

#[test]
fn both_readmes_link_to_each_other_and_to_the_same_pages() {
    let [english, portuguese] = both();
    let sorted = |page: &str, other: &str| {
        let mut links = links(page);
        let before = links.len();
        links.retain(|link| link != other);
        assert_eq!(before - links.len(), 1, "links to {other}");
        links.sort();
        links
    };
    assert_eq!(sorted(&portuguese, ENGLISH), sorted(&english, PORTUGUESE), "links of {PORTUGUESE}");
}
