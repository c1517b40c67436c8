//! A file of requests, as the extension REST Client of Visual Studio Code reads it
//! (<https://github.com/Huachao/vscode-restclient>): `# @name` names a request, and
//! `{{name.response.body.property}}` is what it was answered.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::{Body, Collection, Optional, Request, SAMPLE};

const SYNTAX: &str = "# In the syntax of REST Client, an extension of Visual Studio Code.";

const WALK: &str = "\
# The walk of the README, from an account to an archive. Send these one after another: what an answer gives goes into the next request.
# Send the one for the status again until it says DONE.";
/// A form with one video, whose path is relative to the file's directory, docs/api.
const FORM: &str = "Content-Type: multipart/form-data; boundary=fiapx\n\n--fiapx\nContent-Disposition: form-data; name=\"file\"; \
    filename=\"sample.mp4\"\nContent-Type: video/mp4\n\n";

/// The document as such a file.
pub fn http_file(document: &str) -> Result<String> {
    let value = serde_json::from_str(document).context("the document is no JSON")?;
    let Collection { title, description, variables, walk, groups } =
        Collection::of(document, &value)?;
    let mut lines = vec![format!("# {title}: {description}"), SYNTAX.to_owned(), String::new()];
    lines.extend(variables.into_iter().map(|(name, value)| format!("@{name} = {value}")));
    let mut known = BTreeSet::new();
    for (step, request) in &walk {
        // What the walk was answered is what all other requests are made of.
        let new = request.answered.iter().filter(|name| known.insert(**name));
        lines.extend(new.map(|name| format!("@{name} = {{{{{step}.response.body.{name}}}}}")));
    }
    lines.extend([String::new(), WALK.to_owned()]);
    lines.extend(walk.iter().flat_map(|(step, request)| block("Walk", request, Some(step))));
    for (group, requests) in &groups {
        lines.extend(requests.iter().flat_map(|request| block(group, request, None)));
    }
    Ok(lines.join("\n"))
}

/// A request. Whatever stands behind an empty line up to the next `###` is sent as its body, so
/// comments stand before it.
fn block(group: &str, request: &Request, step: Option<&str>) -> Vec<String> {
    let mut lines = vec![String::new(), format!("### {group}: {}", request.name)];
    let described = request.description.lines().filter(|line| !line.is_empty());
    lines.extend(described.map(|line| format!("# {line}")));
    lines.extend(request.optional.iter().map(|Optional { place, name, default, description }| {
        let default =
            if default.is_empty() { String::new() } else { format!(", by default {default}") };
        format!("# May be added ({place}{default}): {name}. {}", description.replace('\n', " "))
    }));
    lines.extend(step.map(|step| format!("# @name {step}")));
    lines.push(format!("{} {}", request.method, request.url));
    if request.logged_in {
        lines.push("Authorization: Bearer {{access_token}}".to_owned());
    }
    match &request.body {
        None => {}
        Some(Body::Json(body)) => lines.push(format!("Content-Type: application/json\n\n{body:#}")),
        Some(Body::Video) => lines.push(format!("{FORM}< ../../{SAMPLE}\n--fiapx--")),
    }
    lines
}
