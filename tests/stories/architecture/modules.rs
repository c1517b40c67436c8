//! Modules of a crate, in the order of their declarations, and the paths by which they use each
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::sources::{text, tokens};
use crate::harness::programs::root;

/// Index of a module in its crate.
type Id = usize;

/// The root of the crate.
const ROOT: Id = 0;

/// Imports everything from a module.
const GLOB: &str = "*";

/// A module that is a file.
struct Module {
    file: PathBuf,
    /// Itself for the root.
    parent: Id,
    /// Modules that it declares, by name, in the order of their declarations.
    children: Vec<(String, Id)>,
    /// Paths that `use` declarations bring into its scope, by name.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths to modules of the crate or to items in them.
    paths: Vec<Vec<String>>,
    /// Modules of the crate from which it imports everything (`use module::*`).
    globs: Vec<Vec<String>>,
}

/// The modules of a crate.
pub struct Crate {
    modules: Vec<Module>,
    /// Pairs of a module and another one that it uses.
    uses: BTreeSet<(Id, Id)>,
}

impl Crate {
    /// Read a crate from the file of its root.
    pub fn read(file: &Path) -> Self {
        let mut read = Self { modules: Vec::new(), uses: BTreeSet::new() };
        read.add(file.to_owned(), ROOT);
        let mut uses = BTreeSet::new();
        for (user, module) in read.modules.iter().enumerate() {
            let used = module.paths.iter().filter_map(|path| read.resolve(user, path));
            uses.extend(used.filter(|used| *used != user).map(|used| (user, used)));
        }
        read.uses = uses;
        read
    }

    /// Add a file and the modules that it declares.
    fn add(&mut self, file: PathBuf, parent: Id) -> Id {
        let (id, tokens) = (self.modules.len(), tokens(&text(&file)));
        let directory = directory_of_children(&file);
        self.modules.push(Module {
            file,
            parent,
            children: Vec::new(),
            imports: BTreeMap::new(),
            paths: Vec::new(),
            globs: Vec::new(),
        });
        for declaration in tokens.windows(3).filter(|tokens| tokens[0] == "mod" && tokens[2] == ";")
        {
            let name = declaration[1].clone();
            let mut files = [format!("{name}.rs"), format!("{name}/mod.rs")]
                .into_iter()
                .map(|file| directory.join(file));
            let file = files.find(|file| root().join(file).is_file());
            let file =
                file.unwrap_or_else(|| panic!("no file for {name} in {}", directory.display()));
            let child = self.add(file, id);
            self.modules[id].children.push((name, child));
        }
        let module = &mut self.modules[id];
        let is_local = |word: &str| {
            ["crate", "super", "self"].contains(&word)
                || module.children.iter().any(|(child, _)| child == word)
        };
        let mut at = 0;
        while at < tokens.len() {
            let in_use = tokens[at] == "use";
            let start = at + usize::from(in_use);
            let continues = at > 0 && ["::", "."].contains(&tokens[at - 1].as_str());
            let begins = tokens.get(start).is_some_and(|word| is_local(word))
                && tokens.get(start + 1).is_some_and(|next| next == "::");
            if begins && !continues {
                let mut found = Vec::new();
                at = expand(&tokens, start, &[], &mut found);
                for Reference { path, name } in found {
                    if name == GLOB {
                        module.globs.push(path.clone());
                    } else if in_use {
                        module.imports.insert(name, path.clone());
                    }
                    module.paths.push(path);
                }
            } else {
                at = start.max(at + 1);
            }
        }
        id
    }

    /// Module that a path leads to from another one: that of the item it names, even if another
    /// module re-exports it. The root's own re-exports are for other crates, so a path to one leads
    /// to the root. `None` if the path leads to another crate.
    fn resolve(&self, from: Id, path: &[String]) -> Option<Id> {
        let mut module = from;
        for (index, word) in path.iter().enumerate() {
            let Module { parent, children, imports, .. } = &self.modules[module];
            match word.as_str() {
                "crate" => module = ROOT,
                "super" => module = *parent,
                "self" => {}
                word => {
                    if let Some((_, child)) = children.iter().find(|(name, _)| name == word) {
                        module = *child;
                    } else if let Some(import) = imports.get(word).filter(|import| {
                        // An import of the path itself does not resolve further.
                        module != ROOT && (module != from || import.as_slice() != path)
                    }) {
                        let rest = &path[index + 1..];
                        return self.resolve(module, &[import, rest].concat());
                    } else {
                        break;
                    }
                }
            }
        }
        Some(module)
    }

    /// Cycles of modules, each with the items that it uses.
    pub fn cycles(&self) -> Vec<String> {
        let mut left = self.uses.clone();
        loop {
            // A module that nothing uses, or that uses nothing, is in no cycle.
            let users: BTreeSet<Id> = left.iter().map(|(user, _)| *user).collect();
            let used: BTreeSet<Id> = left.iter().map(|(_, used)| *used).collect();
            let before = left.len();
            left.retain(|(user, other)| used.contains(user) && users.contains(other));
            if left.len() == before {
                break;
            }
        }
        left.iter().map(|(user, used)| self.describe(*user, *used)).collect()
    }

    /// Imports of everything from a module of the crate.
    pub fn glob_imports(&self) -> Vec<String> {
        let globs = self.modules.iter().flat_map(|module| {
            let file = module.file.display();
            module.globs.iter().map(move |path| format!("{file} imports {}::*", path.join("::")))
        });
        globs.collect()
    }

    /// Uses of a module that is declared below its user, and of what the root defines or
    /// re-exports.
    pub fn upward_uses(&self) -> Vec<String> {
        let upward = self.uses.iter().filter(|(user, used)| {
            let (user, used) = (self.ancestry(*user), self.ancestry(*used));
            let common = user.iter().zip(&used).take_while(|(one, other)| one == other).count();
            let position = |ancestry: &[Id]| {
                let children = &self.modules[ancestry[common - 1]].children;
                let child = ancestry.get(common)?;
                children.iter().position(|(_, other)| other == child)
            };
            match (position(&user), position(&used)) {
                (Some(user), Some(used)) => used > user,
                (Some(_), None) => common == 1,
                (None, _) => false,
            }
        });
        upward.map(|(user, used)| self.describe(*user, *used)).collect()
    }

    /// The modules from the root to this one.
    fn ancestry(&self, module: Id) -> Vec<Id> {
        let mut ancestry = vec![module];
        while let Some(first) = ancestry.last().filter(|first| **first != ROOT) {
            ancestry.push(self.modules[*first].parent);
        }
        ancestry.reverse();
        ancestry
    }

    fn describe(&self, user: Id, used: Id) -> String {
        let [user, used] = [user, used].map(|module| self.modules[module].file.display());
        format!("{user} uses {used}")
    }
}

/// Directory of the modules that a file declares.
fn directory_of_children(file: &Path) -> PathBuf {
    let is_root = ["lib.rs", "main.rs", "mod.rs"].iter().any(|name| file.ends_with(name));
    if is_root { file.with_file_name("") } else { file.with_extension("") }
}

/// A path, and the name that it has after an import, or [`GLOB`].
struct Reference {
    path: Vec<String>,
    name: String,
}

/// Read the path at `at`, which may be a tree of a `use` declaration such as `a::{b, c::d as e}`;
/// return the index after it.
fn expand(
    tokens: &[String],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<Reference>,
) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = expand(tokens, at, &path, found);
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                return at + 1;
            }
            Some(GLOB) => {
                found.push(Reference { path, name: GLOB.to_owned() });
                return at + 1;
            }
            Some(word) if word.starts_with(|char: char| char.is_alphabetic() || char == '_') => {
                path.push(word.to_owned());
                at += 1;
            }
            // Behind `::` in an expression, such as `::<u32>`.
            _ => break,
        }
        if tokens.get(at).is_none_or(|token| token != "::") {
            break;
        }
        at += 1;
    }
    let mut name = path.iter().rfind(|word| *word != "self").cloned().unwrap_or_default();
    if tokens.get(at).is_some_and(|token| token == "as") {
        name.clone_from(&tokens[at + 1]);
        at += 2;
    }
    found.push(Reference { path, name });
    at
}
