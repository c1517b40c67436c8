//! A small reader of .http files in the syntax of REST Client: variables, names of requests, what
//! named requests were answered, bodies, and files in bodies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use crate::harness::checks::TIMEOUT;

/// A file, and what the requests that have names were answered.
pub struct HttpFile {
    directory: PathBuf,
    variables: BTreeMap<String, String>,
    requests: Vec<HttpRequest>,
    answers: BTreeMap<String, Value>,
}

/// A request, with variables.
#[derive(Clone)]
pub struct HttpRequest {
    /// What stands behind `###`.
    pub title: String,
    /// What stands behind `# @name`.
    pub name: Option<String>,
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<String>,
}

/// An answer, and to which method and path.
pub struct HttpAnswer {
    pub method: Method,
    pub path: String,
    pub sent_body: bool,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// Where the job stands that the body tells of.
    pub fn status_of_job(&self) -> &'static str {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let known = ["QUEUED", "PROCESSING", "DONE", "FAILED"];
        known.into_iter().find(|status| body["status"] == *status).unwrap_or_default()
    }
}

impl HttpFile {
    /// Read a file, for a service at another place.
    pub fn read(path: &Path, base: &str) -> Self {
        let text = std::fs::read_to_string(path).expect("the file is there");
        let mut blocks = text.split("\n### ");
        let head = blocks.next().expect("there is a beginning");
        let variables = head.lines().filter_map(|line| line.strip_prefix('@')?.split_once(" = "));
        let mut variables: BTreeMap<String, String> =
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        variables
            .insert("base_url".to_owned(), base.to_owned())
            .expect("the file has that variable");
        let directory = path.parent().expect("it lies somewhere").to_owned();
        Self {
            directory,
            variables,
            requests: blocks.map(HttpRequest::read).collect(),
            answers: BTreeMap::new(),
        }
    }

    /// All requests, in their order.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.requests.clone()
    }

    /// Send one, as the extension does, and keep its answer if it has a name.
    pub async fn send(&mut self, request: &HttpRequest) -> HttpAnswer {
        let line = self.filled(&request.line);
        let (method, url) = line.split_once(' ').expect("method and address");
        let (method, url): (Method, Url) =
            (method.parse().expect("a method"), url.parse().expect("an address"));
        let mut body = Vec::new();
        for line in &request.body {
            if let Some(path) = line.strip_prefix("< ") {
                body.extend(
                    std::fs::read(self.directory.join(path))
                        .unwrap_or_else(|error| panic!("{path}: {error}")),
                );
            } else {
                body.extend(self.filled(line).into_bytes());
            }
            // Multipart bodies need both (RFC 2046, 5.1.1), and JSON does not mind.
            body.extend(b"\r\n");
        }
        let sent_body = !body.is_empty();
        let mut sending =
            reqwest::Client::new().request(method.clone(), url.clone()).timeout(TIMEOUT).body(body);
        for (name, value) in &request.headers {
            sending = sending.header(name, self.filled(value));
        }
        let answer = sending.send().await.expect("the service answers");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.expect("the answer comes whole").to_vec();
        if let Some(name) = &request.name {
            self.answers.insert(name.clone(), serde_json::from_slice(&body).unwrap_or_default());
        }
        HttpAnswer { method, path: url.path().to_owned(), sent_body, status, headers, body }
    }

    /// A text with its variables filled in.
    fn filled(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("{{") else { return text.to_owned() };
        let (name, after) = rest.split_once("}}").expect("a variable ends");
        let value = match name.split_once(".response.body.") {
            Some((request, property)) => {
                let answer = self
                    .answers
                    .get(request)
                    .unwrap_or_else(|| panic!("{request} was not sent yet"));
                answer[property]
                    .as_str()
                    .unwrap_or_else(|| panic!("no {property} in {answer}"))
                    .to_owned()
            }
            None => self.filled(
                self.variables.get(name).unwrap_or_else(|| panic!("there is no variable {name}")),
            ),
        };
        format!("{before}{value}{}", self.filled(after))
    }
}

impl HttpRequest {
    fn read(block: &str) -> Self {
        let mut lines = block.lines();
        let title = lines.next().expect("a title").to_owned();
        let (mut name, mut line) = (None, String::new());
        for comment in lines.by_ref() {
            if let Some(named) = comment.strip_prefix("# @name ") {
                name = Some(named.to_owned());
            } else if !comment.starts_with('#') {
                comment.clone_into(&mut line);
                break;
            }
        }
        let headers = lines.by_ref().take_while(|line| !line.is_empty());
        let headers = headers
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = headers.collect();
        let mut body: Vec<String> = lines.map(str::to_owned).collect();
        while body.last().is_some_and(String::is_empty) {
            body.pop();
        }
        Self { title, name, line, headers, body }
    }
}
