//! `ingest`: labels of senders, the window, limits, and what a memory budget gives to whom.
//! In: the section. Out: plain settings with every default filled in.
//! Never: weighs a request itself.
//! Start at [`ingest`].

use crate::alerts::RegistryConfig;
use crate::model::labels::is_classic_label_name;
use crate::series::ha::HaConfig;
use crate::series::{HeadConfig, LabelLimits};
use crate::yaml::{At, Fields, size};
use std::sync::Arc;
use std::time::Duration;

/// Limits and label names of remote write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// How much of each series is kept for rules and queries.
    pub window: Duration,
    /// Samples older than the newest of their series by at most this are still taken.
    pub out_of_order_window: Duration,
    /// Samples further ahead of our clock are refused.
    pub future_limit: Duration,
    pub cluster_label: Arc<str>,
    pub replica_label: Arc<str>,
    /// A replica that was silent for this long loses its election.
    pub replica_failover: Duration,
    /// Labels that name the sender and do not make an alert another one.
    pub drop_labels: Vec<Arc<str>>,
    pub limits: Limits,
}

/// Each default is that of the room that keeps to it.
impl Default for Ingest {
    fn default() -> Self {
        let (head, ha, registry) = (HeadConfig::default(), HaConfig::default(), RegistryConfig::default());
        Self {
            window: head.window,
            out_of_order_window: head.out_of_order_window,
            future_limit: head.future_limit,
            cluster_label: Arc::from(ha.cluster_label),
            replica_label: Arc::from(ha.replica_label),
            replica_failover: ha.failover,
            drop_labels: registry.drop_labels,
            limits: Limits {
                series: head.series_max as u64,
                series_per_metric: head.series_per_metric_max as u64,
                series_per_source: head.series_per_source_max as u64,
                memory_bytes: None,
                labels_per_series: head.limits.labels_max as u64,
                label_name_bytes: head.limits.name_bytes_max as u64,
                label_value_bytes: head.limits.value_bytes_max as u64,
                body_bytes: 32 << 20,
                decoded_bytes: 32 << 20,
                in_flight_bytes: 256 << 20,
                alerts: registry.alerts_max as u64,
            },
        }
    }
}

impl Ingest {
    pub fn head(&self) -> HeadConfig {
        HeadConfig {
            window: self.window,
            out_of_order_window: self.out_of_order_window,
            future_limit: self.future_limit,
            series_max: self.limits.series as usize,
            series_per_metric_max: self.limits.series_per_metric as usize,
            series_per_source_max: self.limits.series_per_source as usize,
            source_label: self.cluster_label.to_string(),
            memory_budget: self.limits.head_bytes(),
            limits: LabelLimits {
                labels_max: self.limits.labels_per_series as usize,
                name_bytes_max: self.limits.label_name_bytes as usize,
                value_bytes_max: self.limits.label_value_bytes as usize,
            },
        }
    }

    pub fn ha(&self) -> HaConfig {
        HaConfig {
            cluster_label: self.cluster_label.to_string(),
            replica_label: self.replica_label.to_string(),
            failover: self.replica_failover,
        }
    }

    /// `resolve_timeout` is the global one.
    pub fn registry(&self, resolve_timeout: Duration) -> RegistryConfig {
        RegistryConfig {
            drop_labels: self.drop_labels.clone(),
            alerts_max: self.limits.alerts as usize,
            resolve_timeout,
            ..RegistryConfig::default()
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub series: u64,
    pub series_per_metric: u64,
    /// The source is the value of [`Ingest::cluster_label`].
    pub series_per_source: u64,
    /// What the process may take, at least [`MEMORY_BYTES_MIN`]: see [`Limits::head_bytes`] and [`Limits::door_bytes`].
    pub memory_bytes: Option<u64>,
    pub labels_per_series: u64,
    pub label_name_bytes: u64,
    pub label_value_bytes: u64,
    /// As sent, compressed.
    pub body_bytes: u64,
    /// Declared decompressed length.
    pub decoded_bytes: u64,
    /// Of all requests that are being read.
    pub in_flight_bytes: u64,
    /// Alerts held at once, over all doors.
    pub alerts: u64,
}

/// What is left of it for samples and requests is more than the program takes itself.
pub const MEMORY_BYTES_MIN: u64 = 64 << 20;
/// What the program takes before a sample comes: 20 MB were measured, and stacks grow a little.
const PROGRAM_BYTES: u64 = 24 << 20;

/// What requests may weigh: all that are in work, and one as it is sent and when it is decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorBytes {
    pub in_flight: usize,
    pub body: usize,
    pub decoded: usize,
}

impl Limits {
    /// What a memory budget leaves when the program has taken its part.
    fn shared_bytes(&self) -> Option<u64> {
        self.memory_bytes.map(|memory| memory.saturating_sub(PROGRAM_BYTES))
    }

    /// Five eighths of what the program leaves are for series and samples. A quarter is for requests in work, and what is left
    /// is for alerts and rules.
    pub fn head_bytes(&self) -> Option<usize> {
        self.shared_bytes().map(|shared| (shared / 8 * 5) as usize)
    }

    /// With a memory budget, within a quarter of what the program leaves; the longest body, sent and decompressed, fits in.
    pub fn door_bytes(&self) -> DoorBytes {
        let (mut in_flight, mut body, mut decoded) = (self.in_flight_bytes, self.body_bytes, self.decoded_bytes);
        if let Some(shared) = self.shared_bytes() {
            in_flight = in_flight.min(shared / 4);
            body = body.min(in_flight / 2);
            decoded = decoded.min(in_flight / 2);
        }
        DoorBytes { in_flight: in_flight as usize, body: body as usize, decoded: decoded as usize }
    }
}

/// Reads `ingest`.
pub fn ingest(root: &Fields<'_>) -> Ingest {
    let mut ingest = Ingest::default();
    let Some(f) = root.fields("ingest") else { return ingest };
    if let Some(window) = f.positive_duration("window") {
        ingest.window = window.value;
    }
    if let Some(window) = f.duration("out_of_order_window") {
        ingest.out_of_order_window = window.value;
    }
    if let Some(limit) = f.positive_duration("future_limit") {
        ingest.future_limit = limit.value;
    }
    if let Some(label) = label_name(&f, "cluster_label") {
        ingest.cluster_label = label;
    }
    if let Some(label) = label_name(&f, "replica_label") {
        ingest.replica_label = label;
    }
    if let Some(failover) = f.positive_duration("replica_failover") {
        ingest.replica_failover = failover.value;
    }
    if let Some(labels) = f.texts("drop_labels") {
        ingest.drop_labels = labels.iter().map(|l| Arc::from(l.value)).collect();
    }
    if let Some(f) = f.fields("limits") {
        limits(f, &mut ingest.limits);
    }
    f.finish();
    ingest
}

fn limits(f: Fields<'_>, limits: &mut Limits) {
    let counts: [(&'static str, &mut u64); 5] = [
        ("series", &mut limits.series),
        ("series_per_metric", &mut limits.series_per_metric),
        ("series_per_source", &mut limits.series_per_source),
        ("labels_per_series", &mut limits.labels_per_series),
        ("alerts", &mut limits.alerts),
    ];
    for (key, limit) in counts {
        if let Some(n) = f.count(key, 1 << 40) {
            set(&f, key, n, limit);
        }
    }
    let sizes: [(&'static str, &mut u64); 5] = [
        ("label_name_bytes", &mut limits.label_name_bytes),
        ("label_value_bytes", &mut limits.label_value_bytes),
        ("body_bytes", &mut limits.body_bytes),
        ("decoded_bytes", &mut limits.decoded_bytes),
        ("in_flight_bytes", &mut limits.in_flight_bytes),
    ];
    let mut in_flight = None;
    for (key, limit) in sizes {
        if let Some(n) = f.bytes(key) {
            if key == "in_flight_bytes" {
                in_flight = Some(n.at);
            }
            set(&f, key, n, limit);
        }
    }
    if let Some(at) = in_flight {
        let of_one = [("decoded_bytes", limits.decoded_bytes), ("body_bytes", limits.body_bytes)];
        if let Some((key, _)) = of_one.iter().find(|(_, bytes)| *bytes > limits.in_flight_bytes) {
            let text = format!("in_flight_bytes is less than {key}: a request of that length would never be taken");
            f.notes().mistake_with(at, text, format!("raise in_flight_bytes or lower {key}"));
        }
    }
    if let Some(budget) = f.bytes("memory") {
        match enough_memory(budget.value) {
            Ok(bytes) => limits.memory_bytes = Some(bytes),
            Err(why) => f.notes().mistake(budget.at, why),
        }
    }
    f.finish();
}

/// Reads the flag.
pub fn memory_budget(text: &str) -> Result<u64, String> {
    enough_memory(size(text)?)
}

fn enough_memory(bytes: u64) -> Result<u64, String> {
    let least = MEMORY_BYTES_MIN >> 20;
    if bytes < MEMORY_BYTES_MIN { Err(format!("a memory budget is at least {least}MiB")) } else { Ok(bytes) }
}

fn set(f: &Fields<'_>, key: &str, written: At<u64>, limit: &mut u64) {
    if written.value == 0 {
        f.notes().mistake_with(written.at, format!("{key} cannot be zero"), "every limit is at least 1");
    } else {
        *limit = written.value;
    }
}

fn label_name(f: &Fields<'_>, key: &'static str) -> Option<Arc<str>> {
    let name = f.filled(key)?;
    if !is_classic_label_name(name.value) {
        f.notes().mistake(name.at, format!("invalid label name {:?} in {key}", name.value));
    }
    Some(Arc::from(name.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_budget_is_what_the_process_takes() {
        const MIB: usize = 1 << 20;
        let check = |memory: usize, written: Limits, head: usize, door: (usize, usize, usize)| {
            let limits = Limits { memory_bytes: Some((memory * MIB) as u64), ..written };
            let (got, of) = (limits.door_bytes(), |n: usize| n * MIB);
            assert_eq!(limits.head_bytes(), Some(of(head)), "{memory}");
            assert_eq!((got.in_flight, got.body, got.decoded), (of(door.0), of(door.1), of(door.2)), "{memory}");
            assert!(of(head) + got.in_flight + PROGRAM_BYTES as usize <= of(memory), "{memory}");
        };
        let usual = || Ingest::default().limits;
        check(64, usual(), 25, (10, 5, 5));
        check(512 + 24, usual(), 320, (128, 32, 32));
        check(8192 + 24, usual(), 5120, (256, 32, 32));
        check(8192 + 24, Limits { in_flight_bytes: 40 << 20, body_bytes: 1 << 20, ..usual() }, 5120, (40, 1, 20));
        let without = usual().door_bytes();
        assert_eq!((usual().head_bytes(), without.in_flight, without.body), (None, 256 * MIB, 32 * MIB));
    }
}
