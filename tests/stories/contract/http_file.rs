//! Minimal interpreter of .http files in the format of REST Client: variables, named requests and
//! their responses, bodies, and files in bodies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use crate::harness::checks::TIMEOUT;

/// File of requests, with the responses of the named ones.
pub struct HttpFile {
    directory: PathBuf,
    variables: BTreeMap<String, String>,
    requests: Vec<HttpRequest>,
    responses: BTreeMap<String, Value>,
}

/// Request that may contain variables.
#[derive(Clone)]
pub struct HttpRequest {
    /// Text after `###`.
    pub title: String,
    /// Text after `# @name`.
    pub name: Option<String>,
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<String>,
}

/// Response, with the method and path of its request.
pub struct HttpResponse {
    pub method: Method,
    pub path: String,
    pub sent_body: bool,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// State of the job in the body.
    pub fn job_status(&self) -> &'static str {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let known = ["QUEUED", "PROCESSING", "DONE", "FAILED"];
        known.into_iter().find(|status| body["status"] == *status).unwrap_or_default()
    }
}

impl HttpFile {
    /// Read a file and replace its base URL.
    pub fn read(path: &Path, base: &str) -> Self {
        let text = std::fs::read_to_string(path).expect("the file exists");
        let mut blocks = text.split("\n### ");
        let head = blocks.next().expect("a text has a first part");
        let variables = head.lines().filter_map(|line| line.strip_prefix('@')?.split_once(" = "));
        let mut variables: BTreeMap<String, String> =
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        variables
            .insert("base_url".to_owned(), base.to_owned())
            .expect("the file has a variable base_url");
        let directory = path.parent().expect("a file has a directory").to_owned();
        Self {
            directory,
            variables,
            requests: blocks.map(HttpRequest::read).collect(),
            responses: BTreeMap::new(),
        }
    }

    /// All requests, in order.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.requests.clone()
    }

    /// Send a request, as the extension does, and keep its response if it has a name.
    pub async fn send(&mut self, request: &HttpRequest) -> HttpResponse {
        let line = self.replace_variables(&request.line);
        let (method, url) = line.split_once(' ').expect("a method and a URL");
        let (method, url): (Method, Url) =
            (method.parse().expect("a method"), url.parse().expect("a URL"));
        let mut body = Vec::new();
        for line in &request.body {
            if let Some(path) = line.strip_prefix("< ") {
                body.extend(
                    std::fs::read(self.directory.join(path))
                        .unwrap_or_else(|error| panic!("{path}: {error}")),
                );
            } else {
                body.extend(self.replace_variables(line).into_bytes());
            }
            // Multipart bodies need CRLF (RFC 2046, 5.1.1), and JSON allows it.
            body.extend(b"\r\n");
        }
        let sent_body = !body.is_empty();
        let mut sending =
            reqwest::Client::new().request(method.clone(), url.clone()).timeout(TIMEOUT).body(body);
        for (name, value) in &request.headers {
            sending = sending.header(name, self.replace_variables(value));
        }
        let response = sending.send().await.expect("the service responds");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("the response is complete").to_vec();
        if let Some(name) = &request.name {
            self.responses.insert(name.clone(), serde_json::from_slice(&body).unwrap_or_default());
        }
        HttpResponse { method, path: url.path().to_owned(), sent_body, status, headers, body }
    }

    /// Replace the variables in a text.
    fn replace_variables(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("{{") else { return text.to_owned() };
        let (name, after) = rest.split_once("}}").expect("a variable ends with }}");
        let value = match name.split_once(".response.body.") {
            Some((request, property)) => {
                let response = self
                    .responses
                    .get(request)
                    .unwrap_or_else(|| panic!("{request} has not been sent"));
                response[property]
                    .as_str()
                    .unwrap_or_else(|| panic!("no {property} in {response}"))
                    .to_owned()
            }
            None => self.replace_variables(
                self.variables.get(name).unwrap_or_else(|| panic!("unknown variable {name}")),
            ),
        };
        format!("{before}{value}{}", self.replace_variables(after))
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
