//! Imports of the page's modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::sources::{files, text};

/// Files that a module imports, re-exports or loads dynamically, by their names in its directory.
fn imports(module: &str) -> Vec<String> {
    let quoted = module.replace(['"', '`'], "'");
    let mut found = Vec::new();
    for (at, start) in quoted.match_indices("'./") {
        let is_space = |char: char| char.is_whitespace() || char == '(';
        let before = quoted[..at].trim_end_matches(is_space);
        let name = quoted[at + start.len()..].split('\'').next().unwrap_or_default();
        if before.ends_with("from") || before.ends_with("import") {
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn every_form_of_an_import_is_found() {
    let module = "import { a } from './a.js';\nimport \"./b.js\";\nexport * from\n  './c.js';\n\
                  const d = await import( `./d.js` );\nfetch('./e.js');";
    assert_eq!(imports(module), ["a.js", "b.js", "c.js", "d.js"]);
}

#[test]
fn modules_of_the_page_have_no_import_cycles() {
    let mut left: BTreeMap<PathBuf, Vec<PathBuf>> = files(&["crates/web/page"], ".js")
        .into_iter()
        .map(|module| {
            let imported = imports(&text(&module)).into_iter();
            let imported = imported.map(|name| module.with_file_name(name)).collect();
            (module, imported)
        })
        .collect();
    assert!(left.values().any(|imported| !imported.is_empty()), "no imports were found");
    // Remove modules whose imports are all removed, until there are none. A cycle stays.
    while !left.is_empty() {
        let known: BTreeSet<PathBuf> = left.keys().cloned().collect();
        left.retain(|_, imported| imported.iter().any(|module| known.contains(module)));
        assert!(left.len() < known.len(), "import cycle: {left:#?}");
    }
}
