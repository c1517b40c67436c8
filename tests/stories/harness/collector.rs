//! An OpenTelemetry collector. It receives traces by OTLP over HTTP, keeps them, and misbehaves on
//! demand.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as OtlpValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use parking_lot::Mutex;
use prost::Message;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Behavior of the collector.
#[derive(Debug, Clone, Copy)]
pub enum Behavior {
    /// Accept traces.
    Accept,
    /// Respond to every request with this status.
    Respond(&'static str),
    /// Read requests and never respond.
    Hang,
}

/// A span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// Attributes of the process, such as `service.name`.
    pub resource: BTreeMap<String, Value>,
    /// Id of the trace, in hexadecimal digits, as are all ids.
    pub trace: String,
    /// Id of the span.
    pub id: String,
    /// Id of the parent span; empty if there is none.
    pub parent: String,
    /// Name.
    pub name: String,
    /// Relation to other processes.
    pub kind: SpanKind,
    /// Attributes.
    pub attributes: BTreeMap<String, Value>,
    /// Whether its status is an error.
    pub failed: bool,
    /// Debug representation of the whole message.
    pub text: String,
}

/// A collector with the requests that it has received. It runs in the runtime of the test that
/// starts it.
pub struct Collector {
    endpoint: String,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    /// Ends with the collector.
    _tasks: JoinSet<()>,
}

impl Collector {
    /// Start a collector.
    pub async fn start(behavior: Behavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it has an address"));
        let (requests, mut tasks) = (Arc::<Mutex<Vec<_>>>::default(), JoinSet::new());
        let kept = Arc::clone(&requests);
        tasks.spawn(async move {
            // Connections end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, behavior, Arc::clone(&kept)));
            }
        });
        Self { endpoint, requests, _tasks: tasks }
    }

    /// Its URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Number of requests that it has received.
    pub fn requests(&self) -> usize {
        self.requests.lock().len()
    }

    /// Spans that it has received.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().clone();
        let mut spans = Vec::new();
        for of_process in requests.into_iter().flat_map(|request| request.resource_spans) {
            let resource = by_name(
                &of_process.resource.map(|resource| resource.attributes).unwrap_or_default(),
            );
            for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(Span {
                    resource: resource.clone(),
                    trace: hexadecimal(&span.trace_id),
                    id: hexadecimal(&span.span_id),
                    parent: hexadecimal(&span.parent_span_id),
                    name: span.name.clone(),
                    kind: span.kind(),
                    attributes: by_name(&span.attributes),
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

fn by_name(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    let value = |value: Option<&AnyValue>| match value.and_then(|value| value.value.as_ref()) {
        Some(OtlpValue::StringValue(text)) => text.as_str().into(),
        Some(OtlpValue::IntValue(number)) => (*number).into(),
        other => panic!("unexpected type of an attribute: {other:?}"),
    };
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), value(attribute.value.as_ref())))
        .collect()
}

/// Serve a connection (RFC 9112), as far as an exporter needs it.
async fn serve(
    stream: TcpStream,
    behavior: Behavior,
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
        let length = field("content-length:").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        read.read_exact(&mut body).await?;
        let request = ExportTraceServiceRequest::decode(&*body).expect("the body is protobuf");
        kept.lock().push(request);
        let status = match behavior {
            Behavior::Accept => "200 OK",
            Behavior::Respond(status) => status,
            Behavior::Hang => return std::future::pending().await,
        };
        write
            .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .await?;
    }
}
