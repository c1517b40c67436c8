//! Formats of the log: JSON for machines, text for people.

use std::fmt;

use anyhow::{Context, Result};
use chrono::{SecondsFormat, Utc};
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt};

use super::traces;
use crate::settings::Log;

/// Return the filter for events. The formats combine it with [`traces::spans`], so that the spans
/// with job, user and trace are available at every level.
pub(super) fn filter(log: &Log) -> Result<EnvFilter> {
    // The client of RabbitMQ logs each closed channel as an error. Asking for a queue that does not
    // exist closes one, and all other causes are returned to the caller. A level for this target in
    // the setting replaces this one.
    EnvFilter::try_new(format!("lapin::channel=off,{}", log.level))
        .with_context(|| format!("log.level (LOG_LEVEL) is invalid: `{}`", log.level))
}

/// Return a subscriber that writes text for people.
pub(super) fn text<W>(
    filter: EnvFilter,
    writer: W,
    colors: bool,
) -> impl Subscriber + for<'lookup> LookupSpan<'lookup>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    Registry::default().with(
        tracing_subscriber::fmt::layer()
            .compact()
            .with_ansi(colors)
            .with_writer(writer)
            .with_filter(filter.or(traces::spans())),
    )
}

/// Return a subscriber that writes one JSON object per line.
pub(super) fn json<W>(
    filter: EnvFilter,
    writer: W,
    service: &'static str,
) -> impl Subscriber + for<'lookup> LookupSpan<'lookup>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(FlatJson { service });
    Registry::default().with(layer.with_writer(writer).with_filter(filter.or(traces::spans())))
}

/// Formatter that writes an event as one flat JSON object, so that every line about a job has the
/// field `job_id`, whether the event or a surrounding span has it. The JSON format of
/// `tracing_subscriber` nests the fields of spans.
struct FlatJson {
    service: &'static str,
}

/// Keys at the start of every object. `_` is appended to a field with the same name.
const RESERVED: [&str; 5] = ["timestamp", "level", "event", "service", "target"];

impl<S> FormatEvent<S, JsonFields> for FlatJson
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
        // Inner spans override outer ones, and the event overrides all of them.
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(text) = span.extensions().get::<FormattedFields<JsonFields>>() {
                fields.append(&mut parsed(text));
            }
        }
        // Spans have a traceparent. The log needs the id of the trace only.
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

impl FlatJson {
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
            if RESERVED.contains(&name.as_str()) {
                object.serialize_entry(&format!("{name}_"), value)?;
            } else {
                object.serialize_entry(name, value)?;
            }
        }
        object.end()?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Parse fields formatted by `JsonFields`. Return no fields for an empty text.
fn parsed(fields: &str) -> Map<String, Value> {
    serde_json::from_str(fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use jobs::Time;
    use parking_lot::Mutex;
    use tracing::{debug, error, field, info, info_span, warn};

    use super::*;
    use crate::settings::LogFormat;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).expect("valid UTF-8")
        }

        /// Parse the lines as JSON objects. Check and remove their timestamps.
        fn objects(&self) -> Vec<Value> {
            let object = |line: &str| {
                let mut object: Value = serde_json::from_str(line).expect("valid JSON");
                let time = object
                    .as_object_mut()
                    .expect("an object")
                    .remove("timestamp")
                    .expect("a timestamp");
                time.as_str().expect("a string").parse::<Time>().expect("RFC 3339");
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
    fn writes_fields_of_events_and_spans_at_one_level() {
        let objects = logged("info", || {
            let _request =
                info_span!("request", request_id = %"r1", user_id = field::Empty).entered();
            let span = info_span!(
                "attempt",
                job_id = %"j1",
                attempt = 2_u64,
                trace_id = Some("t1"),
                parent = None::<&str>
            );
            let _attempt = span.entered();
            info!(size_bytes = 7_u64, ratio = 0.5, done = true, "the archive is done");
        });
        let expected = serde_json::json!({
            "level": "INFO",
            "event": "the archive is done",
            "service": "fiapx",
            "target": module_path!(),
            "request_id": "r1",
            "job_id": "j1",
            "attempt": 2,
            "trace_id": "t1",
            "size_bytes": 7,
            "ratio": 0.5,
            "done": true,
        });
        assert_eq!(objects, [expected]);
    }

    #[test]
    fn starts_every_line_with_the_reserved_keys() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber =
            json(filter(&log("info")).expect("a level"), move || writer.clone(), "fiapx");
        tracing::subscriber::with_default(subscriber, || info!(a = 1, "first"));
        let positions =
            RESERVED.map(|name| buffer.text().find(&format!("\"{name}\":")).expect("a key"));
        assert!(positions.is_sorted(), "{}", buffer.text());
    }

    #[test]
    fn prefers_later_and_inner_values() {
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
    fn writes_any_event_as_one_object_on_one_line() {
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
    fn filters_by_level_and_target() {
        let events = || {
            error!(target: "lapin::channel", "Channel closed");
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
        assert_eq!(texts("warn,lapin::channel=error"), ["Channel closed"]);
        assert!(filter(&log("info,=?=")).is_err());
    }

    #[test]
    fn keeps_the_job_of_a_line_at_every_level() {
        let objects = logged("warn,worker=error", || {
            let _attempt = info_span!(target: "worker", "attempt", job_id = %"j1").entered();
            info!("detail");
            warn!("trouble");
            warn!(target: "worker::lease", "less than an error");
            error!(target: "worker::lease", "an error");
        });
        let lines: Vec<_> =
            objects.iter().map(|object| (&object["event"], &object["job_id"])).collect();
        let [trouble, error, job] = ["trouble", "an error", "j1"].map(Value::from);
        assert_eq!(lines, [(&trouble, &job), (&error, &job)]);
    }

    #[test]
    fn writes_text_without_colors() {
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
        assert!(!text.contains('\u{1b}'), "colors were not requested: {text}");
    }
}
