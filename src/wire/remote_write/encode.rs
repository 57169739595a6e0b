//! Builds remote-write bodies: for the demo fleet, tests and benches.
//! In: label sets with samples. Out: a snappy-compressed body.
//! Never: used on the way in.
//! Start at [`encode`].

use super::negotiate::Version;
use super::proto::{v1, v2};
use crate::model::{Labels, Sample};
use prost::Message;
use std::collections::HashMap;

/// One request of `series` in the given version, ready to be posted.
pub fn encode(version: Version, series: &[(Labels, Vec<Sample>)]) -> Vec<u8> {
    compress(&match version {
        Version::V1 => request_v1(series).encode_to_vec(),
        Version::V2 => request_v2(series).encode_to_vec(),
    })
}

/// Snappy block format.
pub fn compress(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).expect("messages that we build are far below snappy's 4 GiB")
}

fn request_v1(series: &[(Labels, Vec<Sample>)]) -> v1::WriteRequest {
    let label = |(name, value): (&str, &str)| v1::Label { name: name.to_owned(), value: value.to_owned() };
    let sample = |s: &Sample| v1::Sample { value: s.v, timestamp: s.t.as_millis() };
    let timeseries = series
        .iter()
        .map(|(labels, samples)| v1::TimeSeries {
            labels: labels.iter().map(label).collect(),
            samples: samples.iter().map(sample).collect(),
            ..v1::TimeSeries::default()
        })
        .collect();
    v1::WriteRequest { timeseries, metadata: Vec::new() }
}

fn request_v2(series: &[(Labels, Vec<Sample>)]) -> v2::Request {
    let mut symbols = vec![String::new()];
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut timeseries = Vec::with_capacity(series.len());
    for (labels, samples) in series {
        let mut labels_refs = Vec::new();
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            labels_refs.push(*known.entry(text).or_insert_with(|| {
                symbols.push(text.to_owned());
                (symbols.len() - 1) as u32
            }));
        }
        let sample = |s: &Sample| v2::Sample { value: s.v, timestamp: s.t.as_millis(), start_timestamp: 0 };
        timeseries.push(v2::TimeSeries {
            labels_refs,
            samples: samples.iter().map(sample).collect(),
            ..v2::TimeSeries::default()
        });
    }
    v2::Request { symbols, timeseries }
}
