//! What the process tells of single jobs and requests: spans, each a part of a trace that goes on
//! in other processes, sent to a collector by OTLP.
//!
//! The rest of the program knows `tracing` alone. Here its spans get the names that OpenTelemetry
//! has for them (Semantic Conventions for HTTP and messaging spans), and what is not named here
//! leaves no process: no address, no file name, no token, no line of the log.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _,
    SpanProcessor,
};
use tokio::runtime::Handle;
use tracing::{Metadata, Subscriber, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::registry::LookupSpan;

use super::collector::{Collector, Trouble};

/// The crates whose spans are told.
const CRATES: [&str; 3] = ["api", "notifier", "worker"];

/// Their spans, with what is done in them.
const SPANS: [(&str, SpanKind, &str); 9] = [
    ("request", SpanKind::Server, ""),
    ("receive", SpanKind::Internal, "receive video"),
    ("accept", SpanKind::Internal, "accept videos"),
    ("publish", SpanKind::Producer, "send"),
    ("attempt", SpanKind::Consumer, "process"),
    ("engine", SpanKind::Internal, "extract frames"),
    ("complete", SpanKind::Internal, "complete archive"),
    ("outcome", SpanKind::Consumer, "process"),
    ("mail", SpanKind::Client, "send mail"),
];

/// Our fields that go out, and as what.
const FIELDS: [(&str, &str); 11] = [
    ("method", "http.request.method"),
    ("route", "http.route"),
    ("status", "http.response.status_code"),
    ("queue", "messaging.destination.name"),
    ("message_id", "messaging.message.id"),
    ("error_code", "error.type"),
    ("request_id", "fiapx.request.id"),
    ("job_id", "fiapx.job.id"),
    ("attempt", "fiapx.attempt"),
    ("outcome", "fiapx.outcome"),
    ("size_bytes", "fiapx.video.size"),
];

/// Those of them that are numbers. `tracing` tells the unsigned ones as texts.
const NUMBERS: [&str; 3] = ["status", "attempt", "size_bytes"];

/// Methods that may be told (RFC 9110 and 5789). Another is the client's invention (Semantic
/// Conventions, http.request.method).
const METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// What machines ask every few seconds, which is no part of anything.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// How long the process waits at its end for the collector to take the last spans.
const LAST: Duration = Duration::from_secs(3);

/// Lets our spans through, and nothing else.
pub(super) fn spans() -> FilterFn {
    let is_ours: fn(&Metadata<'_>) -> bool = |metadata| {
        let of = metadata.target().split("::").next().unwrap_or_default();
        metadata.is_span()
            && CRATES.contains(&of)
            && SPANS.iter().any(|(name, ..)| *name == metadata.name())
    };
    FilterFn::new(is_ours).with_max_level_hint(LevelFilter::INFO)
}

/// Where in which trace the caller is, as a `traceparent`; nothing where nobody traces.
#[must_use]
pub fn here() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let here = span.span_context();
    here.is_valid()
        .then(|| format!("00-{}-{}-{:02x}", here.trace_id(), here.span_id(), here.trace_flags()))
}

/// The way of spans to a collector. Spans wait in a queue of 2,048 and are thrown away when it is
/// full; nothing else waits for them.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Send spans of `service` to the collector at `endpoint` from now on. `messaging` is the kind
    /// of the broker.
    pub fn start(
        endpoint: &str,
        service: &'static str,
        messaging: &'static str,
        runtime: &Handle,
    ) -> Result<Self> {
        let next =
            BatchSpanProcessor::builder(exporter(endpoint, runtime, Trouble::default())?).build();
        let provider = SdkTracerProvider::builder().with_resource(resource(service));
        Ok(Self {
            provider: provider.with_span_processor(Conventional { next, messaging }).build(),
        })
    }

    /// What makes spans of ours OpenTelemetry's, whatever the log's level is.
    pub fn layer<S: Subscriber + for<'lookup> LookupSpan<'lookup>>(
        &self,
    ) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(Tracer(self.provider.tracer("fiapx")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(spans())
    }

    /// Send what is left, if the collector takes it soon. To be called while the run-time still
    /// runs.
    pub fn stop(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST) {
            warn!(%error, "the last traces get lost");
        }
    }
}

/// Whether the collector at `endpoint` takes traces: it is sent none (OTLP, full success).
pub async fn check(endpoint: &str) -> Result<()> {
    let trouble = Trouble::default();
    let sent = exporter(endpoint, &Handle::current(), trouble.clone())?.export(Vec::new()).await;
    sent.map_err(|error| {
        let why = trouble.now().unwrap_or_else(|| error.to_string());
        anyhow!("OTEL_EXPORTER_OTLP_ENDPOINT: {endpoint} does not take traces: {why}")
    })
}

fn exporter(endpoint: &str, runtime: &Handle, trouble: Trouble) -> Result<SpanExporter> {
    let exporter = SpanExporter::builder().with_http();
    let exporter = if endpoint.starts_with("https:") {
        exporter.with_http_client(Collector::by_tls(runtime.clone(), trouble)?)
    } else {
        exporter.with_http_client(Collector::plain(runtime.clone(), trouble))
    };
    // An endpoint for all signals has a path for each (OpenTelemetry Protocol Exporter, endpoint
    // URLs for OTLP/HTTP).
    let exporter = exporter.with_endpoint(format!("{endpoint}/v1/traces")).build();
    exporter.with_context(|| format!("cannot send traces to {endpoint}"))
}

/// Who we are (Semantic Conventions, service). `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`
/// go before.
fn resource(service: &'static str) -> Resource {
    let ours = [
        KeyValue::new("service.name", service),
        KeyValue::new("service.version", crate::version::VERSION),
        KeyValue::new("service.instance.id", crate::serve::instance()),
    ];
    let told = Resource::builder_empty().with_attributes(ours).with_detectors(&[
        Box::new(TelemetryResourceDetector),
        Box::new(EnvResourceDetector::new()),
    ]);
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => told.with_service_name(name).build(),
        _ => told.build(),
    }
}

/// Begins a span that says a `traceparent` there, and every other inside the one around it.
struct Tracer(SdkTracer);

impl opentelemetry::trace::Tracer for Tracer {
    type Span = Span;

    fn build_with_context(&self, builder: SpanBuilder, around: &Context) -> Span {
        let said = builder
            .attributes
            .iter()
            .flatten()
            .find(|attribute| attribute.key.as_str() == "traceparent");
        match said.and_then(|attribute| remote(&attribute.value.as_str())) {
            Some(remote) => {
                self.0.build_with_context(builder, &Context::new().with_remote_span_context(remote))
            }
            None => self.0.build_with_context(builder, around),
        }
    }
}

fn remote(traceparent: &str) -> Option<SpanContext> {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    context.has_active_span().then(|| context.span().span_context().clone())
}

/// Puts spans that have ended into OpenTelemetry's words.
#[derive(Debug)]
struct Conventional {
    next: BatchSpanProcessor,
    messaging: &'static str,
}

impl SpanProcessor for Conventional {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if let Some(span) = conventional(span, self.messaging) {
            self.next.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// A span of ours in OpenTelemetry's words; none if nobody wants to know of it.
fn conventional(mut span: SpanData, messaging: &'static str) -> Option<SpanData> {
    let (_, kind, does) = SPANS.iter().find(|(name, ..)| *name == span.name)?;
    let said = std::mem::take(&mut span.attributes);
    // What was recorded last counts.
    let said = |field: &str| {
        said.iter()
            .rev()
            .find(|attribute| attribute.key.as_str() == field)
            .map(|said| said.value.clone())
    };
    let mut told: Vec<KeyValue> = FIELDS
        .iter()
        .filter_map(|(field, name)| Some(KeyValue::new(*name, value(field, said(field)?))))
        .collect();
    let text = |field| said(field).map(|value| value.as_str().into_owned());
    let mut error = text("error_code");
    span.name = match kind {
        SpanKind::Server => {
            let route = text("route").filter(|route| route != "none");
            if route.as_ref().is_some_and(|route| PROBES.contains(&route.as_str())) {
                return None;
            }
            error = text("status").filter(|status| status.starts_with('5'));
            told.extend(error.clone().map(|status| KeyValue::new("error.type", status)));
            if route.is_none() {
                told.retain(|attribute| attribute.key.as_str() != "http.route");
            }
            let method = text("method")
                .filter(|method| METHODS.contains(&method.as_str()))
                .unwrap_or_else(|| "HTTP".to_owned());
            Cow::Owned([Some(method), route].into_iter().flatten().collect::<Vec<_>>().join(" "))
        }
        SpanKind::Producer | SpanKind::Consumer => {
            told.push(KeyValue::new("messaging.system", messaging));
            told.push(KeyValue::new("messaging.operation.type", *does));
            told.push(KeyValue::new("messaging.operation.name", *does));
            Cow::Owned(format!("{does} {}", text("queue").unwrap_or_default()))
        }
        _ => Cow::Borrowed(*does),
    };
    if error.is_some() {
        span.status = Status::error("");
    }
    span.span_kind = kind.clone();
    span.attributes = told;
    Some(span)
}

fn value(field: &str, value: Value) -> Value {
    match (field, value.as_str()) {
        ("method", method) if !METHODS.contains(&&*method) => "_OTHER".into(),
        (_, text) if NUMBERS.contains(&field) => {
            text.parse::<i64>().map_or_else(|_| value.clone(), Value::I64)
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::SpanId;
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    fn ended(name: &'static str, fields: &[(&'static str, &str)]) -> Option<SpanData> {
        let attributes = fields
            .iter()
            .map(|(field, value)| KeyValue::new(*field, (*value).to_owned()))
            .collect();
        let span = SpanData {
            span_context: SpanContext::empty_context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: SystemTime::UNIX_EPOCH,
            end_time: SystemTime::UNIX_EPOCH,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        };
        conventional(span, "rabbitmq")
    }

    fn told(span: &SpanData) -> Vec<(&str, String)> {
        span.attributes
            .iter()
            .map(|attribute| (attribute.key.as_str(), format!("{:?}", attribute.value)))
            .collect()
    }

    #[test]
    fn requests_are_named_by_method_and_route() {
        let fields = [
            ("method", "GET"),
            ("route", "/videos/:param0"),
            ("status", "404"),
            ("client", "203.0.113.7"),
            ("user_id", "u"),
        ];
        let span = ended("request", &fields).expect("it is told");
        assert_eq!(
            (&*span.name, span.span_kind.clone(), span.status.clone()),
            ("GET /videos/:param0", SpanKind::Server, Status::Unset)
        );
        let expected = [
            ("http.request.method", "String(Owned(\"GET\"))"),
            ("http.route", "String(Owned(\"/videos/:param0\"))"),
            ("http.response.status_code", "I64(404)"),
        ];
        assert_eq!(
            told(&span),
            expected.map(|(name, value)| (name, value.to_owned())),
            "no more than that is told"
        );

        // What a client may invent names nothing.
        let span = ended("request", &[("method", "SECRET"), ("route", "none"), ("status", "500")])
            .expect("it is told");
        assert_eq!((&*span.name, span.status.clone()), ("HTTP", Status::error("")));
        let text = format!("{span:?}");
        assert!(
            text.contains("_OTHER")
                && text.contains("error.type")
                && !text.contains("SECRET")
                && !text.contains("none"),
            "{text}"
        );
        for probe in PROBES {
            assert!(
                ended("request", &[("method", "GET"), ("route", probe), ("status", "200")])
                    .is_none()
            );
        }
    }

    #[test]
    fn the_last_value_of_a_field_counts() {
        let span = ended(
            "attempt",
            &[("queue", "video.process"), ("outcome", "lost"), ("outcome", "done")],
        )
        .expect("it is told");
        assert_eq!(
            (&*span.name, span.span_kind.clone()),
            ("process video.process", SpanKind::Consumer)
        );
        let outcome =
            span.attributes.iter().filter(|attribute| attribute.key.as_str() == "fiapx.outcome");
        assert_eq!(
            outcome.map(|outcome| outcome.value.as_str().into_owned()).collect::<Vec<_>>(),
            ["done"]
        );
    }

    #[test]
    fn whose_spans_nobody_knows_are_not_told() {
        assert!(ended("handshake", &[]).is_none());
    }
}
