//! The log on stderr: for people, or a line of JSON each time for what reads logs.

use std::fmt;

use clap::ValueEnum;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What is logged as a call: a line of JSON already.
pub const CALL: &str = "call";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people
    Text,
    /// A JSON object on each line
    Json,
}

/// Writes the log to stderr from now on, with `color` where it is text.
pub fn begin(format: Format, filter: EnvFilter, color: bool) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(color)
        .with_writer(std::io::stderr);
    match format {
        Format::Text => log.init(),
        Format::Json => log.event_format(Lines).init(),
    }
}

/// A line of JSON for each event; that of a call is bare, as the Worker writes it.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        if meta.target() == CALL
            && let Some(Value::String(line)) = fields.0.get("message")
        {
            return writeln!(writer, "{line}");
        }
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let place = [
            ("timestamp", time),
            ("level", meta.level().to_string()),
            ("target", meta.target().to_owned()),
        ];
        let place = place.map(|(name, value)| (name.to_owned(), Value::from(value)));
        fields.0.extend(place);
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

/// The fields of an event; its words are `message`.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
