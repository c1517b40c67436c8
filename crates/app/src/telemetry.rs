//! What the process tells of itself: a log on standard output, for machines or for people, and
//! [traces] if there is a collector for them.

mod collector;
mod traces;

use std::fmt;
use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use chrono::{SecondsFormat, Utc};
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt};

use crate::settings::{Log, LogFormat, Settings};
use traces::Traces;
pub use traces::{check, here};

/// What the process tells of itself, until it ends.
pub struct Telemetry {
    traces: Option<Traces>,
}

/// Log and trace from now on, as `service`.
///
/// # Errors
/// The directives are wrong, the collector is of no use, or the process logs already.
pub fn start(settings: &Settings, service: &'static str, runtime: &Handle) -> Result<Telemetry> {
    let log = &settings.log;
    let filter = filter(log)?;
    let messaging = if settings.broker.url.is_some() { "rabbitmq" } else { "fiapx" };
    let endpoint = settings.telemetry.otlp_endpoint.as_deref();
    let traces = endpoint
        .map(|endpoint| Traces::start(endpoint, service, messaging, runtime))
        .transpose()?;
    let terminal = io::stdout().is_terminal();
    let for_people = match log.format {
        LogFormat::Auto => terminal,
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let set = if for_people {
        set(text(filter, io::stdout, terminal), traces.as_ref())
    } else {
        set(json(filter, io::stdout, service), traces.as_ref())
    };
    set.context("the log was started before")?;
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Tell what is left to tell. Takes a few seconds at most. The run-time must still run.
    pub fn stop(self) {
        if let Some(traces) = self.traces {
            traces.stop();
        }
    }
}

fn set<S>(log: S, traces: Option<&Traces>) -> Result<(), SetGlobalDefaultError>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup> + Send + Sync,
{
    match traces {
        Some(traces) => tracing::subscriber::set_global_default(log.with(traces.layer())),
        None => tracing::subscriber::set_global_default(log),
    }
}

/// What is logged. Whatever it is, the spans that say whose lines they are (job, user, trace) are
/// let through besides.
fn filter(log: &Log) -> Result<EnvFilter> {
    EnvFilter::try_new(&log.level)
        .with_context(|| format!("log.level (LOG_LEVEL) is `{}`, which is no level", log.level))
}

/// Lines for people.
fn text<W>(
    filter: EnvFilter,
    writer: W,
    colours: bool,
) -> impl Subscriber + for<'lookup> LookupSpan<'lookup>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    Registry::default().with(
        tracing_subscriber::fmt::layer()
            .compact()
            .with_ansi(colours)
            .with_writer(writer)
            .with_filter(filter.or(traces::spans())),
    )
}

/// An object a line.
fn json<W>(
    filter: EnvFilter,
    writer: W,
    service: &'static str,
) -> impl Subscriber + for<'lookup> LookupSpan<'lookup>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(Flat { service });
    Registry::default().with(layer.with_writer(writer).with_filter(filter.or(traces::spans())))
}

/// Formats an event as one flat JSON object, so that everything about a job is found by `job_id`,
/// whether an event or a span around it knows the job. The format of `tracing_subscriber` keeps the
/// fields of spans in objects of their own.
struct Flat {
    service: &'static str,
}

/// What every object begins with. A field of the same name gets an underscore at its end.
const ALWAYS: [&str; 5] = ["timestamp", "level", "event", "service", "target"];

impl<S> FormatEvent<S, JsonFields> for Flat
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        // What is said further inside counts, the event's own words most.
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(text) = span.extensions().get::<FormattedFields<JsonFields>>() {
                fields.append(&mut parsed(text));
            }
        }
        // Spans tell where in a trace they are; a line of the log needs no more than which.
        if let Some(Value::String(traceparent)) = fields.remove("traceparent")
            && let Some(trace) = jobs::trace::trace_id(&traceparent)
        {
            fields.insert("trace_id".to_owned(), trace.into());
        }
        let mut own = String::new();
        context.format_fields(Writer::new(&mut own), event)?;
        let mut own = parsed(&own);
        let message = own.remove("message").unwrap_or_default();
        fields.append(&mut own);

        let line = self.line(event, &message, &fields).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

impl Flat {
    fn line(
        &self,
        event: &Event<'_>,
        message: &Value,
        fields: &Map<String, Value>,
    ) -> Result<String, serde_json::Error> {
        let mut line = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut line);
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry(
            "timestamp",
            &Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
        )?;
        object.serialize_entry("level", event.metadata().level().as_str())?;
        object.serialize_entry("event", message)?;
        object.serialize_entry("service", self.service)?;
        object.serialize_entry("target", event.metadata().target())?;
        for (name, value) in fields {
            if ALWAYS.contains(&name.as_str()) {
                object.serialize_entry(&format!("{name}_"), value)?;
            } else {
                object.serialize_entry(name, value)?;
            }
        }
        object.end()?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Fields as `JsonFields` wrote them. Nothing at all stands for none.
fn parsed(fields: &str) -> Map<String, Value> {
    serde_json::from_str(fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use jobs::Time;
    use tracing::{debug, error, field, info, info_span, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panicked").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("nobody panicked").clone()).expect("text")
        }

        /// The lines as objects, without the time, which must be one.
        fn objects(&self) -> Vec<Value> {
            let object = |line: &str| {
                let mut object: Value = serde_json::from_str(line).expect("each line is an object");
                let time =
                    object.as_object_mut().expect("an object").remove("timestamp").expect("a time");
                time.as_str()
                    .expect("a text")
                    .parse::<Time>()
                    .expect("a time in the form of RFC 3339");
                object
            };
            self.text().lines().map(object).collect()
        }
    }

    fn log(level: &str) -> Log {
        Log { level: level.to_owned(), format: LogFormat::Auto }
    }

    fn logged(level: &str, events: impl FnOnce()) -> Vec<Value> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber =
            json(filter(&log(level)).expect("a level"), move || writer.clone(), "fiapx");
        tracing::subscriber::with_default(subscriber, events);
        buffer.objects()
    }

    #[test]
    fn fields_of_events_and_spans_stand_side_by_side() {
        let objects = logged("info", || {
            let _request =
                info_span!("request", request_id = %"r1", user_id = field::Empty).entered();
            let span = info_span!("attempt", job_id = %"j1", attempt = 2_u64, trace_id = Some("t1"), parent = None::<&str>);
            let _attempt = span.entered();
            info!(size_bytes = 7_u64, ratio = 0.5, done = true, "the archive is done");
        });
        let expected = serde_json::json!({
            "level": "INFO", "event": "the archive is done", "service": "fiapx", "target": module_path!(),
            "request_id": "r1", "job_id": "j1", "attempt": 2, "trace_id": "t1", "size_bytes": 7, "ratio": 0.5, "done": true,
        });
        assert_eq!(objects, [expected]);
    }

    #[test]
    fn lines_begin_with_what_they_always_have() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber =
            json(filter(&log("info")).expect("a level"), move || writer.clone(), "fiapx");
        tracing::subscriber::with_default(subscriber, || info!(a = 1, "first"));
        let places =
            ALWAYS.map(|name| buffer.text().find(&format!("\"{name}\":")).expect("it is there"));
        assert!(places.is_sorted(), "{}", buffer.text());
    }

    #[test]
    fn later_values_and_inner_ones_count() {
        let objects = logged("info", || {
            let outer = info_span!("outer", user_id = field::Empty, attempt = 1);
            let _outer = outer.clone().entered();
            info!("before");
            outer.record("user_id", "u1");
            let _inner = info_span!("inner", attempt = 2).entered();
            info!("inside");
            warn!(attempt = 3, "own");
        });
        let fields: Vec<_> = objects
            .iter()
            .map(|object| (&object["event"], &object["user_id"], &object["attempt"]))
            .collect();
        let (none, user) = (Value::Null, Value::from("u1"));
        let [before, inside, own] = ["before", "inside", "own"].map(Value::from);
        let numbers = [1, 2, 3].map(Value::from);
        assert_eq!(
            fields,
            [
                (&before, &none, &numbers[0]),
                (&inside, &user, &numbers[1]),
                (&own, &user, &numbers[2])
            ]
        );
    }

    #[test]
    fn whatever_is_logged_stays_one_object_on_one_line() {
        let objects = logged("info", || {
            let _span =
                info_span!("upload", filename = "a\"b\nc\u{202E}.mp4", event = "from a span")
                    .entered();
            error!(level = "mine", error = %"line 1\nline 2", "broken {}", "\u{1b}[31m\n\"");
            info!(nothing = 1);
        });
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[0]["filename"], "a\"b\nc\u{202E}.mp4");
        assert_eq!(objects[0]["event"], "broken \u{1b}[31m\n\"");
        assert_eq!(
            (&objects[0]["level"], &objects[0]["level_"]),
            (&"ERROR".into(), &"mine".into())
        );
        assert_eq!(objects[0]["event_"], "from a span");
        assert_eq!(objects[0]["error"], "line 1\nline 2");
        assert_eq!((&objects[1]["event"], &objects[1]["nothing"]), (&Value::Null, &1.into()));
    }

    #[test]
    fn levels_are_obeyed() {
        let events = || {
            debug!("detail");
            info!("news");
            debug!(target: "worker::attempt", "detail of the worker");
        };
        let texts = |level| {
            logged(level, events)
                .into_iter()
                .map(|object| object["event"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(texts("warn"), [] as [&str; 0]);
        assert_eq!(texts("info"), ["news"]);
        assert_eq!(texts("info,worker=debug"), ["news", "detail of the worker"]);
        assert!(filter(&log("info,=?=")).is_err());
    }

    #[test]
    fn a_lower_level_does_not_hide_whose_line_it_is() {
        let objects = logged("warn,worker=error", || {
            let _attempt = info_span!(target: "worker", "attempt", job_id = %"j1").entered();
            info!("detail");
            warn!("trouble");
            warn!(target: "worker::lease", "less than an error");
            error!(target: "worker::lease", "an error");
        });
        let told: Vec<_> =
            objects.iter().map(|object| (&object["event"], &object["job_id"])).collect();
        let [trouble, error, job] = ["trouble", "an error", "j1"].map(Value::from);
        assert_eq!(told, [(&trouble, &job), (&error, &job)]);
    }

    #[test]
    fn people_get_text() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber =
            text(filter(&log("info")).expect("a level"), move || writer.clone(), false);
        tracing::subscriber::with_default(subscriber, || {
            let _span = info_span!("attempt", job_id = %"j1").entered();
            info!(size_bytes = 7, "the archive is done");
        });
        let text = buffer.text();
        assert_eq!(text.lines().count(), 1);
        for part in ["INFO", "the archive is done", "job_id=j1", "size_bytes=7"] {
            assert!(text.contains(part), "{part} should be in {text}");
        }
        assert!(!text.contains('\u{1b}'), "no colours were asked for: {text}");
    }
}
