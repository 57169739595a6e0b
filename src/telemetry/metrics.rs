//! Every metric of ours, by room: `watchfire_<room>_<noun>_<unit|total>`.
//! In: counts from the rooms above; readings that closures give at scrape time. Out: text for `/metrics`.
//! Never: a label whose values strangers choose (label sets come from small closed lists or from the configuration).
//! Start at [`Metrics`].

use super::exposition::Exposition;
use super::process::Process;
use super::readings::{self, Reader, Reading, Values};
use crate::model::TimelineKind;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// From a cached look-up to a destination that hangs until its timeout.
const LATENCY_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From a glance at the telephone to a whole day.
const ANSWER_BUCKETS: [f64; 12] =
    [10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 14_400.0, 43_200.0, 86_400.0];
/// Rows and alerts per commit: one to the largest batch.
const SIZE_BUCKETS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0];
/// The Alertmanager version whose API we speak; dashboards such as karma choose their client by it.
const ALERTMANAGER_VERSION: &str = "0.33.1";

/// One label, or two, named once here. The values are words of ours or names from the configuration.
macro_rules! label_sets {
    ($($name:ident { $($label:ident),+ })+) => {
        $(#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($label: String),+ })+
    };
}
label_sets! {
    DoorLabel { door }
    EventLabel { event }
    IntegrationLabel { integration }
    IntegrationOutcome { integration, outcome }
    IntegrationReason { integration, reason }
}

#[derive(Debug)]
pub struct RuleMetrics {
    evaluations: Counter,
    failures: Counter,
    /// Of one part: all that arrivals started together, or as much of a slot as fits between two looks at arrivals.
    pub duration_seconds: Histogram,
}

impl RuleMetrics {
    fn register(r: &mut Register<'_>) -> Self {
        Self {
            evaluations: r.put("rules_evaluations", "Rules evaluated", Counter::default()),
            failures: r.put("rules_evaluation_failures", "Rules whose evaluation failed", Counter::default()),
            duration_seconds: r.put(
                "rules_evaluation_duration_seconds",
                "Time of one part of the evaluations: arrivals together, or a millisecond of a slot",
                latency(),
            ),
        }
    }

    /// One part of the evaluate loop's work, a millisecond of a slot or the arrivals of a moment.
    pub fn evaluated(&self, rules: u64, failures: u64, took: Duration) {
        self.evaluations.inc_by(rules);
        self.failures.inc_by(failures);
        self.duration_seconds.observe(took.as_secs_f64());
    }
}

#[derive(Debug)]
pub struct AlertMetrics {
    received: Family<DoorLabel, Counter>,
    invalid: Family<DoorLabel, Counter>,
    /// Posts that changed nothing but a lease's end.
    pub refreshes: Counter,
}

impl AlertMetrics {
    fn register(r: &mut Register<'_>) -> Self {
        Self {
            received: r.put("alerts_received", "Alerts received, by door", Family::default()),
            invalid: r.put("alerts_invalid", "Alerts refused, by door", Family::default()),
            refreshes: r.put("alerts_refreshes", "Posts absorbed at the door", Counter::default()),
        }
    }

    /// `door`: `model::Door::as_str`.
    pub fn received(&self, door: &'static str, alerts: u64) {
        self.received.get_or_create(&DoorLabel { door: door.to_owned() }).inc_by(alerts);
    }

    pub fn invalid(&self, door: &'static str, alerts: u64) {
        self.invalid.get_or_create(&DoorLabel { door: door.to_owned() }).inc_by(alerts);
    }
}

#[derive(Debug)]
pub struct NotificationMetrics {
    sent: Family<IntegrationLabel, Counter>,
    failed: Family<IntegrationReason, Counter>,
    retried: Family<IntegrationLabel, Counter>,
    latency: Family<IntegrationOutcome, Histogram, fn() -> Histogram>,
}

impl NotificationMetrics {
    fn register(r: &mut Register<'_>) -> Self {
        Self {
            sent: r.put("notifications_sent", "Messages delivered", Family::default()),
            failed: r.put("notifications_failed", "Messages given up", Family::default()),
            retried: r.put("notifications_retried", "Tries that failed for now", Family::default()),
            latency: r.put(
                "notifications_latency_seconds",
                "Time of one try",
                Family::new_with_constructor(latency as fn() -> Histogram),
            ),
        }
    }

    /// A kind of integration there may be: its counts are 0 before the first message instead of missing.
    pub fn expect(&self, integration: &str) {
        let label = IntegrationLabel { integration: integration.to_owned() };
        drop(self.sent.get_or_create(&label));
        drop(self.retried.get_or_create(&label));
        let refused = IntegrationReason { integration: integration.to_owned(), reason: "refused".to_owned() };
        drop(self.failed.get_or_create(&refused));
    }

    /// `integration`: its kind (`webhook`, `slack`, …).
    pub fn sent(&self, integration: &str, took: Duration) {
        self.sent.get_or_create(&IntegrationLabel { integration: integration.to_owned() }).inc();
        self.observe(integration, "sent", took);
    }

    pub fn retried(&self, integration: &str, took: Duration) {
        self.retried.get_or_create(&IntegrationLabel { integration: integration.to_owned() }).inc();
        self.observe(integration, "retried", took);
    }

    /// Given up; `reason`: `refused`, `out_of_patience`, `unknown_receiver`, …
    pub fn failed(&self, integration: &str, reason: &'static str) {
        let labels = IntegrationReason { integration: integration.to_owned(), reason: reason.to_owned() };
        self.failed.get_or_create(&labels).inc();
    }

    fn observe(&self, integration: &str, outcome: &'static str, took: Duration) {
        let labels = IntegrationOutcome { integration: integration.to_owned(), outcome: outcome.to_owned() };
        self.latency.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

#[derive(Debug)]
pub struct ClockMetrics {
    jumps: Counter,
    last_jump_seconds: Gauge<f64, AtomicU64>,
}

impl ClockMetrics {
    fn register(r: &mut Register<'_>) -> Self {
        Self {
            jumps: r.put("clock_jumps", "How often the wall clock was set by more than 2 s", Counter::default()),
            last_jump_seconds: r.put(
                "clock_last_jump_seconds",
                "By how much it was set last, negative: back",
                Gauge::default(),
            ),
        }
    }

    pub fn jumped(&self, by_ms: i64) {
        self.jumps.inc();
        self.last_jump_seconds.set(by_ms as f64 / 1000.0);
    }
}

#[derive(Debug)]
pub struct IncidentMetrics {
    events: Family<EventLabel, Counter>,
    /// Things that cannot be; anything but 0 is a fault of ours.
    pub breaches: Counter,
    time_to_acknowledge_seconds: Histogram,
    time_to_resolve_seconds: Histogram,
}

impl IncidentMetrics {
    fn register(r: &mut Register<'_>) -> Self {
        Self {
            events: r.put(
                "incidents_events",
                "What happened to incidents: lines of their timelines",
                Family::default(),
            ),
            breaches: r.put(
                "engine_breaches",
                "Broken invariants: decisions that went on without something that should have been there",
                Counter::default(),
            ),
            time_to_acknowledge_seconds: r.put(
                "incidents_time_to_acknowledge_seconds",
                "From the opening to an acknowledgement",
                Histogram::new(ANSWER_BUCKETS),
            ),
            time_to_resolve_seconds: r.put(
                "incidents_time_to_resolve_seconds",
                "From the opening to the end",
                Histogram::new(ANSWER_BUCKETS),
            ),
        }
    }

    /// A committed line of a timeline; `event`: `model::TimelineKind::as_str`.
    pub fn event(&self, event: &'static str) {
        self.events.get_or_create(&EventLabel { event: event.to_owned() }).inc();
    }

    /// An acknowledgement, this long after the incident was opened.
    pub fn acknowledged(&self, after: Duration) {
        self.time_to_acknowledge_seconds.observe(after.as_secs_f64());
    }

    /// Over, this long after it was opened.
    pub fn resolved(&self, after: Duration) {
        self.time_to_resolve_seconds.observe(after.as_secs_f64());
    }
}

#[derive(Debug)]
pub struct StoreMetrics {
    pub commit_duration_seconds: Histogram,
    /// Rows per commit, before those of one key are merged.
    pub batch_rows: Histogram,
    /// Commits that had to be tried again.
    pub errors: Counter,
    /// Rows that `retain` removed.
    pub removed: Counter,
}

impl StoreMetrics {
    fn register(r: &mut Register<'_>) -> Self {
        Self {
            commit_duration_seconds: r.put("store_commit_duration_seconds", "Time to commit", latency()),
            batch_rows: r.put("store_batch_rows", "Rows per commit", sizes()),
            errors: r.put("store_errors", "Commits that had to be tried again", Counter::default()),
            removed: r.put("store_removed_rows", "Rows removed because of their age", Counter::default()),
        }
    }
}

#[derive(Debug)]
pub struct InboxMetrics {
    /// Inputs taken together in one round of the writer.
    pub batch_inputs: Histogram,
    /// Time to decide one batch, commit excluded.
    pub decide_duration_seconds: Histogram,
}

impl InboxMetrics {
    fn register(r: &mut Register<'_>) -> Self {
        Self {
            batch_inputs: r.put("inbox_batch_inputs", "Inputs taken together", sizes()),
            decide_duration_seconds: r.put("inbox_decide_duration_seconds", "Time to decide a batch", latency()),
        }
    }
}

#[derive(Debug)]
pub struct ConfigMetrics {
    pub last_reload_successful: Gauge,
    pub last_reload_success_timestamp_seconds: Gauge<f64, AtomicU64>,
}

impl ConfigMetrics {
    fn register(r: &mut Register<'_>) -> Self {
        Self {
            last_reload_successful: r.put(
                "config_last_reload_successful",
                "Whether the last reload was taken",
                Gauge::default(),
            ),
            last_reload_success_timestamp_seconds: r.put(
                "config_last_reload_success_timestamp_seconds",
                "When the configuration in force was loaded",
                Gauge::default(),
            ),
        }
    }

    /// `now` in unix seconds.
    pub fn reloaded(&self, success: bool, now: f64) {
        self.last_reload_successful.set(i64::from(success));
        if success {
            self.last_reload_success_timestamp_seconds.set(now);
        }
    }
}

/// All of them, and the registry that writes them down.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    pub rules: RuleMetrics,
    pub alerts: AlertMetrics,
    pub notifications: NotificationMetrics,
    pub clock: ClockMetrics,
    pub incidents: IncidentMetrics,
    pub store: StoreMetrics,
    pub inbox: InboxMetrics,
    pub config: ConfigMetrics,
}

fn latency() -> Histogram {
    Histogram::new(LATENCY_BUCKETS)
}

fn sizes() -> Histogram {
    Histogram::new(SIZE_BUCKETS)
}

impl Metrics {
    /// `version` is Watchfire's.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        let mut r = Register(&mut registry);
        let metrics = Self {
            rules: RuleMetrics::register(&mut r),
            alerts: AlertMetrics::register(&mut r),
            notifications: NotificationMetrics::register(&mut r),
            clock: ClockMetrics::register(&mut r),
            incidents: IncidentMetrics::register(&mut r),
            store: StoreMetrics::register(&mut r),
            inbox: InboxMetrics::register(&mut r),
            config: ConfigMetrics::register(&mut r),
            registry: Mutex::new(Registry::default()),
        };
        for kind in TimelineKind::ALL {
            drop(metrics.incidents.events.get_or_create(&EventLabel { event: kind.as_str().to_owned() }));
        }
        registry.register_collector(Box::new(Process));
        let metrics = Self { registry: Mutex::new(registry), ..metrics };
        let info = |version: &str| vec![(vec![("version", version.to_owned())], 1.0)];
        metrics.read(readings::BUILD_INFO, move || info(version));
        metrics.read(readings::ALERTMANAGER_BUILD_INFO, move || info(ALERTMANAGER_VERSION));
        metrics
    }

    /// From now on each scrape asks this closure, which gives any number of label sets with a value each.
    /// It runs on the scraping task: it reads counters and takes short locks, nothing more.
    pub fn read(&self, of: Reading, values: impl Fn() -> Values + Send + Sync + 'static) {
        self.registry.lock().register_collector(Box::new(Reader { of, values: Box::new(values) }));
    }

    /// The same for one value without labels.
    pub fn read_one(&self, of: Reading, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.read(of, move || vec![(Vec::new(), value())]);
    }

    /// The text of a scrape; its content type is [`Exposition::content_type`].
    pub fn encode(&self, exposition: Exposition) -> String {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry.lock())
            .expect("writing to a string does not fail");
        exposition.write(text)
    }
}

struct Register<'a>(&'a mut Registry);

impl Register<'_> {
    fn put<M: Metric + TypedMetric + Clone>(&mut self, name: &'static str, help: &'static str, metric: M) -> M {
        self.0.register(format!("watchfire_{name}"), help, metric.clone());
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told_in_both_formats() {
        let metrics = Metrics::new("1.2.3");
        metrics.notifications.sent("webhook", Duration::from_millis(3));
        metrics.config.reloaded(true, 17.5);
        metrics.read_one(readings::HEAD_SERIES, || 42.0);
        metrics.read(readings::INCIDENTS, || vec![(vec![("status", "triggered".to_owned())], 2.0)]);
        metrics.read_one(readings::INBOX_REFUSED, || 5.0);

        let open = metrics.encode(Exposition::OpenMetrics);
        let plain = metrics.encode(Exposition::Plain);
        for line in [
            "watchfire_notifications_sent_total{integration=\"webhook\"} 1",
            "watchfire_notifications_latency_seconds_count{integration=\"webhook\",outcome=\"sent\"} 1",
            "watchfire_config_last_reload_success_timestamp_seconds 17.5",
            "watchfire_head_series 42.0",
            "watchfire_incidents{status=\"triggered\"} 2.0",
            "watchfire_inbox_refused_total 5.0",
            "watchfire_build_info{version=\"1.2.3\"} 1.0",
            "alertmanager_build_info{version=\"0.33.1\"} 1.0",
        ] {
            assert!(open.lines().any(|l| l == line), "{line} is not in\n{open}");
            assert!(plain.lines().any(|l| l == line), "{line} is not in\n{plain}");
        }
        assert!(open.ends_with("# EOF\n") && !plain.contains("# EOF"));
        assert!(plain.contains("# TYPE watchfire_inbox_refused_total counter\n"));
    }

    #[test]
    fn names_are_ours_and_each_is_told_once() {
        let text = Metrics::new("1").encode(Exposition::OpenMetrics);
        let mut names: Vec<&str> =
            text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).filter_map(|l| l.split(' ').next()).collect();
        for name in &names {
            let known = ["watchfire_", "process_", "alertmanager_build_info"].iter().any(|p| name.starts_with(p));
            assert!(known, "{name}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
