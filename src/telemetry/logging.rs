//! Log lines: logfmt for people, JSON for machines, on standard error.
//! In: `tracing` events. Out: one line each.
//! Never: reads the environment, or shows a library's chatter below a warning.
//! Start at [`init`].

use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `ts=… level=info target=… msg="…" key=value`
    Logfmt,
    Json,
}

impl LogFormat {
    /// Reads `logfmt` or `json`, as Prometheus' flag does.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "logfmt" => Some(Self::Logfmt),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Reads `error`, `warn`, `info`, `debug` or `trace`.
pub fn parse_level(text: &str) -> Option<Level> {
    match text {
        "error" => Some(Level::ERROR),
        "warn" => Some(Level::WARN),
        "info" => Some(Level::INFO),
        "debug" => Some(Level::DEBUG),
        "trace" => Some(Level::TRACE),
        _ => None,
    }
}

/// Log lines from now on go to standard error. A second call in one process changes nothing and returns false.
pub fn init(level: Level, format: LogFormat) -> bool {
    tracing::subscriber::set_global_default(subscriber(level, format, std::io::stderr)).is_ok()
}

/// Libraries log from warnings on: their debug lines may hold secrets, ours never do.
fn targets(level: Level) -> Targets {
    let libraries = LevelFilter::from_level(level.min(Level::WARN));
    Targets::new().with_default(libraries).with_target("watchfire", level)
}

fn subscriber<W>(level: Level, format: LogFormat, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let layer = match format {
        LogFormat::Logfmt => layer.event_format(Logfmt).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(targets(level)))
}

struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        out.write_str("ts=")?;
        SystemTime.format_time(&mut out)?;
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        write!(out, " level={level} target={}", event.metadata().target())?;
        let mut fields = Fields { out: &mut out, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        out.write_char('\n')
    }
}

struct Fields<'a, 'w> {
    out: &'a mut Writer<'w>,
    result: fmt::Result,
}

impl Fields<'_, '_> {
    fn put(&mut self, field: &Field, value: &str) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        let plain = !value.is_empty()
            && value.chars().all(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '"' | '=' | '\\'));
        let written = if plain { write!(self.out, " {name}={value}") } else { write!(self.out, " {name}={value:?}") };
        self.result = self.result.and(written);
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: Level, format: LogFormat, log: impl Fn()) -> String {
        let page = Page::default();
        let out = page.clone();
        tracing::subscriber::with_default(subscriber(level, format, move || out.clone()), log);
        let bytes = page.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn logfmt_quotes_what_needs_it() {
        let text = logged(Level::INFO, LogFormat::Logfmt, || {
            tracing::info!(target: "watchfire::x", series = 3, name = "a\nb", "two words");
        });
        let (time, rest) = text.split_once(" level=").unwrap();
        assert!(time.starts_with("ts=20") && time.ends_with('Z'), "{time}");
        assert_eq!(rest, "info target=watchfire::x msg=\"two words\" series=3 name=\"a\\nb\"\n");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(Level::INFO, LogFormat::Json, || {
            tracing::warn!(target: "watchfire::x", series = 3, "two words");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(
            (&line["message"], &line["series"], &line["level"]),
            (&"two words".into(), &3.into(), &"WARN".into())
        );
    }

    #[test]
    fn libraries_are_heard_from_warnings_on() {
        let text = logged(Level::DEBUG, LogFormat::Logfmt, || {
            tracing::debug!(target: "hyper", "quiet");
            tracing::warn!(target: "hyper", "heard");
            tracing::debug!(target: "watchfire::api", "ours");
            tracing::trace!(target: "watchfire::api", "too_fine");
        });
        let said: Vec<_> = text.lines().filter_map(|l| l.split_once("msg=")).map(|(_, msg)| msg).collect();
        assert_eq!(said, ["heard", "ours"]);
        let text = logged(Level::ERROR, LogFormat::Logfmt, || tracing::warn!(target: "hyper", "not heard"));
        assert_eq!(text, "");
    }
}
