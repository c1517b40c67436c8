//! File of requests for the extension REST Client of Visual Studio Code
//! (<https://github.com/Huachao/vscode-restclient>): `# @name` names a request, and
//! `{{name.response.body.property}}` is a property of its response.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::collection::{BYTES, Body, Collection, OptionalParameter, Request, SAMPLE};

const FORMAT: &str = "# Format: REST Client, an extension of Visual Studio Code.";

const QUICK_START: &str = "\
# Quick start, from an account to an archive. Send these requests one after another: responses
# provide the values of later requests. Repeat the status request until the job is DONE.";
/// Form with one video, whose path is relative to the file's directory, docs/api.
const FORM: &str = "\
Content-Type: multipart/form-data; boundary=fiapx

--fiapx
Content-Disposition: form-data; name=\"file\"; filename=\"sample.mp4\"
Content-Type: video/mp4

";

/// Convert an OpenAPI document into a file of requests.
pub fn http_file(document: &str) -> Result<String> {
    let document = serde_json::from_str(document).context("the document is not JSON")?;
    let Collection { title, description, variables, quick_start, groups } =
        Collection::of(&document)?;
    let mut lines = vec![format!("# {title}"), "#".to_owned()];
    lines.extend(comments(description));
    lines.extend([FORMAT.to_owned(), String::new()]);
    lines.extend(variables.into_iter().map(|(name, value)| format!("@{name} = {value}")));
    let mut known = BTreeSet::new();
    for (step, request) in &quick_start {
        let new = request.provides.iter().filter(|name| known.insert(**name));
        lines.extend(new.map(|name| format!("@{name} = {{{{{step}.response.body.{name}}}}}")));
    }
    lines.extend([String::new(), QUICK_START.to_owned()]);
    for (step, request) in &quick_start {
        lines.extend(block("Quick start", request, Some(step)));
    }
    for (group, requests) in &groups {
        lines.extend(requests.iter().flat_map(|request| block(group, request, None)));
    }
    Ok(lines.join("\n"))
}

/// Lines of a request. All lines after an empty one, up to the next `###`, are its body, so
/// comments come before it.
fn block(group: &str, request: &Request, step: Option<&str>) -> Vec<String> {
    let mut lines = vec![String::new(), format!("### {group}: {}", request.name)];
    lines.extend(comments(request.description));
    lines.extend(request.optional.iter().map(comment_of_parameter));
    lines.extend(step.map(|step| format!("# @name {step}")));
    lines.push(format!("{} {}", request.method, request.url));
    if request.needs_token {
        lines.push("Authorization: Bearer {{access_token}}".to_owned());
    }
    lines.extend(request.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    match &request.body {
        None => {}
        Some(Body::Bytes) => lines.push(format!("Content-Type: {BYTES}")),
        Some(Body::Json(body)) => lines.push(format!("Content-Type: application/json\n\n{body:#}")),
        Some(Body::Video) => lines.push(format!("{FORM}< ../../{SAMPLE}\n--fiapx--")),
    }
    lines
}

/// Lines of a text as comments.
fn comments(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| !line.is_empty()).map(|line| format!("# {line}"))
}

fn comment_of_parameter(parameter: &OptionalParameter) -> String {
    let OptionalParameter { place, name, default, description } = parameter;
    let default = if default.is_empty() { String::new() } else { format!(", default {default}") };
    let description = description.replace('\n', " ");
    format!("# Optional ({place}{default}): {name}. {description}")
}
