//! Traces: spans of requests and jobs, sent to a collector with OTLP. A trace continues across
//! processes.
//!
//! Other modules use `tracing` only. This module translates their spans to the Semantic Conventions
//! of OpenTelemetry for HTTP and messaging. Only the spans and fields in the tables below are
//! exported: no addresses, file names, tokens or log lines.

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

use super::collector::{Collector, CollectorError};
use crate::{instance, version};

/// Crates whose spans are exported.
const CRATES: [&str; 3] = ["api", "notifier", "worker"];

/// Exported spans: name in `tracing`, kind, and operation.
const SPANS: [(&str, SpanKind, &str); 12] = [
    ("request", SpanKind::Server, ""),
    ("receive", SpanKind::Internal, "receive video"),
    ("copy", SpanKind::Internal, "copy video"),
    ("accept", SpanKind::Internal, "accept videos"),
    ("publish", SpanKind::Producer, "send"),
    ("attempt", SpanKind::Consumer, "process"),
    ("fetch", SpanKind::Client, "read video at its address"),
    ("engine", SpanKind::Internal, "extract frames"),
    ("complete", SpanKind::Internal, "complete archive"),
    ("outcome", SpanKind::Consumer, "process"),
    ("mail", SpanKind::Client, "send mail"),
    ("webhook", SpanKind::Client, "send webhook"),
];

/// Exported fields: name in `tracing`, and name of the attribute.
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

/// Exported fields that are numbers. `tracing-opentelemetry` records unsigned numbers as strings.
const NUMERIC_FIELDS: [&str; 3] = ["status", "attempt", "size_bytes"];

/// Known HTTP methods (RFC 9110 and 5789). Others are exported as `_OTHER` (Semantic Conventions,
/// http.request.method).
const METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Routes that are polled every few seconds and not exported.
const POLLED_ROUTES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Maximum time to send the remaining spans when the process stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Return a filter that matches exported spans only.
pub(super) fn spans() -> FilterFn {
    let is_exported: fn(&Metadata<'_>) -> bool = |metadata| {
        let crate_name = metadata.target().split("::").next().unwrap_or_default();
        metadata.is_span()
            && CRATES.contains(&crate_name)
            && SPANS.iter().any(|(name, ..)| *name == metadata.name())
    };
    FilterFn::new(is_exported).with_max_level_hint(LevelFilter::INFO)
}

/// Return the `traceparent` of the current span (W3C Trace Context), or `None` without tracing.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| {
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags())
    })
}

/// Exporter of spans to a collector. Spans are queued, up to 2,048 of them; when the queue is full,
/// they are discarded. Nothing else waits for the exporter.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Start exporting spans of `service` to the collector at `endpoint`. `messaging` is the
    /// attribute `messaging.system`.
    pub fn start(
        endpoint: &str,
        service: &'static str,
        messaging: &'static str,
        runtime: &Handle,
    ) -> Result<Self> {
        let next =
            BatchSpanProcessor::builder(exporter(endpoint, runtime, CollectorError::default())?)
                .build();
        let provider = SdkTracerProvider::builder().with_resource(resource(service));
        Ok(Self {
            provider: provider.with_span_processor(SpanTranslator { next, messaging }).build(),
        })
    }

    /// Return the layer that records spans, independently of the log level.
    pub fn layer<S: Subscriber + for<'lookup> LookupSpan<'lookup>>(
        &self,
    ) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(RemoteParentTracer(self.provider.tracer("fiapx")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(spans())
    }

    /// Send the remaining spans, within a time limit. The runtime must still be running.
    pub fn stop(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
            warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Check whether the collector at `endpoint` accepts traces, by sending an empty request (OTLP,
/// full success).
pub async fn check(endpoint: &str) -> Result<()> {
    let last_error = CollectorError::default();
    let exporter = exporter(endpoint, &Handle::current(), last_error.clone())?;
    exporter.export(Vec::new()).await.map_err(|error| {
        let reason = last_error.get().unwrap_or_else(|| error.to_string());
        anyhow!("OTEL_EXPORTER_OTLP_ENDPOINT: {endpoint} does not accept traces: {reason}")
    })
}

fn exporter(endpoint: &str, runtime: &Handle, error: CollectorError) -> Result<SpanExporter> {
    let exporter = SpanExporter::builder().with_http();
    let exporter = if endpoint.starts_with("https:") {
        exporter.with_http_client(Collector::https(runtime.clone(), error)?)
    } else {
        exporter.with_http_client(Collector::http(runtime.clone(), error))
    };
    // The path for traces is appended to an endpoint for all signals (OpenTelemetry Protocol
    // Exporter, endpoint URLs for OTLP/HTTP).
    let exporter = exporter.with_endpoint(format!("{endpoint}/v1/traces")).build();
    exporter.with_context(|| format!("cannot send traces to {endpoint}"))
}

/// Return the attributes of the service (Semantic Conventions, service). `OTEL_SERVICE_NAME` and
/// `OTEL_RESOURCE_ATTRIBUTES` override them.
fn resource(service: &'static str) -> Resource {
    let attributes = [
        KeyValue::new("service.name", service),
        KeyValue::new("service.version", version::VERSION),
        KeyValue::new("service.instance.id", instance::name()),
    ];
    let builder = Resource::builder_empty().with_attributes(attributes).with_detectors(&[
        Box::new(TelemetryResourceDetector),
        Box::new(EnvResourceDetector::new()),
    ]);
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => builder.with_service_name(name).build(),
        _ => builder.build(),
    }
}

/// Tracer that uses the field `traceparent` of a span as its parent, and the surrounding span
/// otherwise.
struct RemoteParentTracer(SdkTracer);

impl opentelemetry::trace::Tracer for RemoteParentTracer {
    type Span = Span;

    fn build_with_context(&self, builder: SpanBuilder, surrounding: &Context) -> Span {
        let traceparent = builder
            .attributes
            .iter()
            .flatten()
            .find(|attribute| attribute.key.as_str() == "traceparent");
        match traceparent.and_then(|attribute| remote_parent(&attribute.value.as_str())) {
            Some(parent) => {
                self.0.build_with_context(builder, &Context::new().with_remote_span_context(parent))
            }
            None => self.0.build_with_context(builder, surrounding),
        }
    }
}

/// Parse a `traceparent`.
fn remote_parent(traceparent: &str) -> Option<SpanContext> {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    context.has_active_span().then(|| context.span().span_context().clone())
}

/// Processor that translates finished spans to the Semantic Conventions.
#[derive(Debug)]
struct SpanTranslator {
    next: BatchSpanProcessor,
    messaging: &'static str,
}

impl SpanProcessor for SpanTranslator {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if let Some(span) = translate(span, self.messaging) {
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

/// Translate a finished span. Return `None` if it is not exported.
fn translate(mut span: SpanData, messaging: &'static str) -> Option<SpanData> {
    let (_, kind, operation) = SPANS.iter().find(|(name, ..)| *name == span.name)?;
    let fields = Fields(std::mem::take(&mut span.attributes));
    let mut attributes: Vec<KeyValue> = FIELDS
        .iter()
        .filter_map(|(field, name)| {
            Some(KeyValue::new(*name, attribute_value(field, fields.value(field)?)))
        })
        .collect();
    let mut error = fields.text("error_code");
    span.name = match kind {
        SpanKind::Server => {
            let route = fields.text("route").filter(|route| route != "none");
            if route.as_ref().is_some_and(|route| POLLED_ROUTES.contains(&route.as_str())) {
                return None;
            }
            error = fields.text("status").filter(|status| status.starts_with('5'));
            attributes.extend(error.clone().map(|status| KeyValue::new("error.type", status)));
            if route.is_none() {
                attributes.retain(|attribute| attribute.key.as_str() != "http.route");
            }
            Cow::Owned(request_name(&fields, route))
        }
        SpanKind::Producer | SpanKind::Consumer => {
            attributes.push(KeyValue::new("messaging.system", messaging));
            attributes.push(KeyValue::new("messaging.operation.type", *operation));
            attributes.push(KeyValue::new("messaging.operation.name", *operation));
            Cow::Owned(format!("{operation} {}", fields.text("queue").unwrap_or_default()))
        }
        _ => Cow::Borrowed(*operation),
    };
    if error.is_some() {
        span.status = Status::error("");
    }
    span.span_kind = kind.clone();
    span.attributes = attributes;
    Some(span)
}

/// Fields of a span, in the order in which they were recorded.
struct Fields(Vec<KeyValue>);

impl Fields {
    /// Return the value of a field that was recorded last.
    fn value(&self, field: &str) -> Option<Value> {
        self.0
            .iter()
            .rev()
            .find(|attribute| attribute.key.as_str() == field)
            .map(|attribute| attribute.value.clone())
    }

    fn text(&self, field: &str) -> Option<String> {
        self.value(field).map(|value| value.as_str().into_owned())
    }
}

/// Return the name of the span of a request: its method and route (Semantic Conventions, HTTP
/// server spans).
fn request_name(fields: &Fields, route: Option<String>) -> String {
    let method = fields
        .text("method")
        .filter(|method| METHODS.contains(&method.as_str()))
        .unwrap_or_else(|| "HTTP".to_owned());
    match route {
        Some(route) => format!("{method} {route}"),
        None => method,
    }
}

/// Convert the value of a field to the value of its attribute.
fn attribute_value(field: &str, value: Value) -> Value {
    match (field, value.as_str()) {
        ("method", method) if !METHODS.contains(&&*method) => "_OTHER".into(),
        (_, text) if NUMERIC_FIELDS.contains(&field) => {
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

    fn translated(name: &'static str, fields: &[(&'static str, &str)]) -> Option<SpanData> {
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
        translate(span, "rabbitmq")
    }

    fn attributes(span: &SpanData) -> Vec<(&str, String)> {
        span.attributes
            .iter()
            .map(|attribute| (attribute.key.as_str(), format!("{:?}", attribute.value)))
            .collect()
    }

    #[test]
    fn names_requests_by_method_and_route() {
        let fields = [
            ("method", "GET"),
            ("route", "/videos/:param0"),
            ("status", "404"),
            ("client", "203.0.113.7"),
            ("user_id", "u"),
        ];
        let span = translated("request", &fields).expect("an exported span");
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
            attributes(&span),
            expected.map(|(name, value)| (name, value.to_owned())),
            "only these attributes are exported"
        );

        // A method chosen by the client is not exported.
        let span =
            translated("request", &[("method", "SECRET"), ("route", "none"), ("status", "500")])
                .expect("an exported span");
        assert_eq!((&*span.name, span.status.clone()), ("HTTP", Status::error("")));
        let text = format!("{span:?}");
        assert!(
            text.contains("_OTHER")
                && text.contains("error.type")
                && !text.contains("SECRET")
                && !text.contains("none"),
            "{text}"
        );
        for route in POLLED_ROUTES {
            assert!(
                translated("request", &[("method", "GET"), ("route", route), ("status", "200")])
                    .is_none()
            );
        }
    }

    #[test]
    fn uses_the_last_value_of_a_field() {
        let span = translated(
            "attempt",
            &[("queue", "video.process"), ("outcome", "lost"), ("outcome", "done")],
        )
        .expect("an exported span");
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
    fn does_not_export_unknown_spans() {
        assert!(translated("handshake", &[]).is_none());
    }
}
