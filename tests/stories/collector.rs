//! A collector of OpenTelemetry. It takes traces by OTLP over HTTP on a socket of this machine,
//! keeps them, and misbehaves on demand.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Told;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How the collector behaves.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// It takes traces.
    Kind,
    /// It answers every request with this status.
    Answers(&'static str),
    /// It takes requests and never answers.
    Hangs,
}

/// A span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// What is said of the process: `service.name` and others.
    pub resource: BTreeMap<String, Value>,
    /// The trace's id, in hexadecimal digits, as are all ids.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The id of the span around it; empty if there is none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// What it is to other processes.
    pub kind: SpanKind,
    /// What is said of it.
    pub attributes: BTreeMap<String, Value>,
    /// Whether it failed.
    pub failed: bool,
    /// The message as it is printed.
    pub text: String,
}

/// A collector with the requests that it was given. It runs in the run-time of the test that starts
/// it.
pub struct Collector {
    endpoint: String,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    /// All that serves.
    _tasks: JoinSet<()>,
}

impl Collector {
    /// One that behaves so.
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it has one"));
        let (requests, mut tasks) = (Arc::<Mutex<Vec<_>>>::default(), JoinSet::new());
        let kept = Arc::clone(&requests);
        tasks.spawn(async move {
            // Ends with this task.
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                clients.spawn(serve(stream, manner, Arc::clone(&kept)));
            }
        });
        Self { endpoint, requests, _tasks: tasks }
    }

    /// Its address, as processes are told of it.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.requests.lock().expect("nobody panicked").len()
    }

    /// The spans that have come.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().expect("nobody panicked").clone();
        let mut spans = Vec::new();
        for of_process in requests.into_iter().flat_map(|request| request.resource_spans) {
            let resource =
                named(&of_process.resource.map(|resource| resource.attributes).unwrap_or_default());
            for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(Span {
                    resource: resource.clone(),
                    trace: hexadecimal(&span.trace_id),
                    id: hexadecimal(&span.span_id),
                    parent: hexadecimal(&span.parent_span_id),
                    name: span.name.clone(),
                    kind: span.kind(),
                    attributes: named(&span.attributes),
                    failed: span
                        .status
                        .as_ref()
                        .is_some_and(|status| status.code() == StatusCode::Error),
                    text: format!("{span:?}"),
                });
            }
        }
        spans
    }
}

fn hexadecimal(id: &[u8]) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn named(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    let value = |value: Option<&AnyValue>| match value.and_then(|value| value.value.as_ref()) {
        Some(Told::StringValue(text)) => text.as_str().into(),
        Some(Told::IntValue(number)) => (*number).into(),
        other => panic!("no attribute of ours is like {other:?}"),
    };
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), value(attribute.value.as_ref())))
        .collect()
}

/// Serve a connection (RFC 9112), as far as an exporter needs it.
async fn serve(
    stream: TcpStream,
    manner: Manner,
    kept: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if read.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = head.to_ascii_lowercase();
        let field = |name: &str| {
            head.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
        };
        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
        assert_eq!(field("content-type:").as_deref(), Some("application/x-protobuf"), "{head}");
        let mut body =
            vec![
                0;
                field("content-length:").and_then(|length| length.parse().ok()).expect("a length")
            ];
        read.read_exact(&mut body).await?;
        let request = ExportTraceServiceRequest::decode(&*body).expect("it is protobuf");
        kept.lock().expect("nobody panicked").push(request);
        let status = match manner {
            Manner::Kind => "200 OK",
            Manner::Answers(status) => status,
            Manner::Hangs => return std::future::pending().await,
        };
        write
            .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .await?;
    }
}
