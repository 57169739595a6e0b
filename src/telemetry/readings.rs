//! Metrics that other rooms hold and that are read when somebody scrapes.
//! In: closures over handles, given by `app`. Out: gauges and counters under the names listed here.
//! Never: counts by itself.
//! Start at [`Reading`].

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Label sets and their values, as a closure gives them.
pub type Values = Vec<(Vec<(&'static str, String)>, f64)>;

/// A name, what it says, and of which kind it is.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Without the `_total` that a counter's samples carry.
    pub name: &'static str,
    pub help: &'static str,
    is_counter: bool,
}

const fn gauge(name: &'static str, help: &'static str) -> Reading {
    Reading { name, help, is_counter: false }
}

const fn counter(name: &'static str, help: &'static str) -> Reading {
    Reading { name, help, is_counter: true }
}

pub const HEAD_SERIES: Reading = gauge("watchfire_head_series", "Series in the window");
pub const HEAD_SAMPLES: Reading = gauge("watchfire_head_samples", "Samples in the window");
pub const HEAD_BYTES: Reading = gauge("watchfire_head_bytes", "Memory of the window by its own account");
/// Labels `version` (`1.0`, `2.0`, `unknown`), `code`.
pub const INGEST_REQUESTS: Reading = counter("watchfire_ingest_requests", "Remote-write requests answered");
/// Label `reason`.
pub const INGEST_REJECTED: Reading = counter("watchfire_ingest_rejected_samples", "Samples not taken, by reason");
pub const INGEST_SAMPLES: Reading = counter("watchfire_ingest_samples", "Float samples taken");
pub const INGEST_HISTOGRAMS: Reading = counter("watchfire_ingest_histograms", "Native histograms taken");
pub const INGEST_EXEMPLARS: Reading = counter("watchfire_ingest_exemplars", "Exemplars accepted");
pub const INGEST_BYTES: Reading = counter("watchfire_ingest_bytes", "Bytes of remote-write bodies, compressed");
pub const INGEST_HA_DROPPED: Reading =
    counter("watchfire_ingest_ha_dropped_samples", "Samples of replicas that are not elected");
/// Label `metric`.
pub const INGEST_LEFT_OUT: Reading =
    counter("watchfire_ingest_left_out_samples", "Samples of series that the memory budget has no room for");
pub const INGEST_IN_FLIGHT: Reading = gauge("watchfire_ingest_in_flight_bytes", "Bytes of requests in work");
/// Label `sender`: an address.
pub const INGEST_SENDER_OFFSET: Reading = gauge(
    "watchfire_ingest_sender_clock_offset_seconds",
    "How far a sender's newest samples are ahead of our clock (negative: behind)",
);
pub const RULES_MISSED_SLOTS: Reading = counter("watchfire_rules_missed_slots", "Slots of groups that were skipped");
pub const PAGES_HELD_BACK: Reading =
    gauge("watchfire_escalations_held_back_pages", "Pages that wait for the limit per contact");
pub const OUTBOX_PENDING: Reading = gauge("watchfire_outbox_pending", "Messages decided and not yet delivered");
/// Label `state`: `firing`, `ended`.
pub const ALERTS_ACTIVE: Reading = gauge("watchfire_alerts_active", "Alerts held at the door, by state");
/// Label `status`: `triggered`, `acknowledged`, `resolved`.
pub const INCIDENTS: Reading = gauge("watchfire_incidents", "Incidents in memory, by status");
pub const SILENCES: Reading = gauge("watchfire_silences", "Silences, by state");
/// Labels `receiver`, `integration`.
pub const NOTIFICATIONS_QUEUE: Reading = gauge("watchfire_notifications_queue", "Messages waiting, by destination");
/// Labels `receiver`, `integration`.
pub const NOTIFICATIONS_GIVEN_UP: Reading =
    counter("watchfire_notifications_given_up", "Messages refused for good, or out of patience, by destination");
/// Labels `receiver`, `integration`.
pub const NOTIFICATIONS_BREAKER_OPEN: Reading =
    gauge("watchfire_notifications_breaker_open", "1 while a destination is only probed");
pub const INBOX_DEPTH: Reading = gauge("watchfire_inbox_depth", "Inputs waiting for the writer");
pub const INBOX_REFUSED: Reading =
    counter("watchfire_inbox_refused", "Inputs refused because the inbox was full or the store away");
pub const GROUPS: Reading = gauge("watchfire_groups", "Groups of alerts that are announced together");
/// Label `probe`.
pub const PROBE_SUCCESS: Reading = gauge("watchfire_probe_success", "1 when the last try found all as it should be");
/// Label `probe`.
pub const PROBE_DURATION: Reading = gauge("watchfire_probe_duration_seconds", "Time of the last try");
/// Labels `probe`, `check`.
pub const PROBE_CHECK_SUCCESS: Reading =
    gauge("watchfire_probe_check_success", "1 when the check held at the last try");
/// Labels `probe`, `check`.
pub const PROBE_CHECK_VALUE: Reading = gauge("watchfire_probe_check_value", "Value of the check at the last try");
pub const BUILD_INFO: Reading = gauge("watchfire_build_info", "This build");
pub const ALERTMANAGER_BUILD_INFO: Reading =
    gauge("alertmanager_build_info", "The Alertmanager whose API is spoken here");

pub(super) struct Reader {
    pub of: Reading,
    pub values: Box<dyn Fn() -> Values + Send + Sync>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("of", &self.of).finish_non_exhaustive()
    }
}

impl Reading {
    fn kind(self) -> MetricType {
        if self.is_counter { MetricType::Counter } else { MetricType::Gauge }
    }

    fn encode(self, value: f64, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        if self.is_counter { ConstCounter::new(value).encode(encoder) } else { ConstGauge::new(value).encode(encoder) }
    }
}

impl Collector for Reader {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(self.of.name, self.of.help, None, self.of.kind())?;
        let values = (self.values)();
        if let [(labels, value)] = &values[..]
            && labels.is_empty()
        {
            return self.of.encode(*value, metric);
        }
        values.into_iter().try_for_each(|(labels, value)| {
            let labels: Vec<(String, String)> = labels.into_iter().map(|(name, v)| (name.to_owned(), v)).collect();
            self.of.encode(value, metric.encode_family(&labels)?)
        })
    }
}
