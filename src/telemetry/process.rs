//! The process as the kernel sees it: memory, CPU, descriptors, start.
//! In: `/proc/self`. Out: the usual `process_…` metrics; none where there is no `/proc`.
//! Never: keeps anything between two scrapes.
//! Start at [`Process`].

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::fs;

/// Linux reports CPU times and the start in hundredths of a second to programs (`USER_HZ`), whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

#[derive(Debug, Default, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// Since the machine started.
    started_seconds: f64,
}

/// Fields 14, 15 and 22 of `/proc/self/stat`; the second field may hold spaces and brackets, so counting starts after it.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Stat {
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        started_seconds: ticks(19)? / TICKS_PER_SECOND,
    })
}

/// The number after `name` in a file of lines such as `VmRSS:     1234 kB`.
fn number_after(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| match value {
            Some(value) => {
                let metric = ConstGauge::new(value);
                metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
            }
            None => Ok(()),
        };
        let stat = read("/proc/self/stat").and_then(|text| parse_stat(&text));
        let rss = read("/proc/self/status").and_then(|text| number_after(&text, "VmRSS"));
        let booted = read("/proc/stat").and_then(|text| number_after(&text, "btime"));
        let fds = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
        gauge("process_resident_memory_bytes", "Resident memory", rss.map(|kb| kb * 1024.0))?;
        gauge("process_open_fds", "Open file descriptors", fds)?;
        let started = stat.as_ref().zip(booted).map(|(stat, boot)| boot + stat.started_seconds);
        gauge("process_start_time_seconds", "Start of the process, unix time", started)?;
        if let Some(stat) = stat {
            let metric = ConstCounter::new(stat.cpu_seconds);
            let help = "User and system CPU time";
            metric.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, metric.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_after_the_name() {
        let text = "7 (odd ) name) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 12345 1000 200";
        assert_eq!(parse_stat(text), Some(Stat { cpu_seconds: 2.0, started_seconds: 123.45 }));
        assert_eq!(parse_stat("7 (x) S 1"), None);
        assert_eq!(number_after("VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\n", "VmRSS"), Some(1234.0));
        assert_eq!(number_after("cpu 1 2\nbtime 1700000000\n", "btime"), Some(1_700_000_000.0));
    }
}
