//! Prometheus' query API over the window that is held, so that Grafana, promtool and people can look at it.
//! In: `/api/v1/{query,query_range,series,labels,label/…,metadata,parse_query,format_query,status/buildinfo}`, as GET or
//! as a posted form. Out: Prometheus' JSON, its errors, statuses, warnings and limits.
//! Never: evaluates without a budget, a deadline and a place among the queries that run.
//! Start at [`query`]; rules and alerts are in [`super::rules`].

mod evaluate;
mod json;
mod listing;
mod reading;
mod tree;

pub use evaluate::{at_moment, build_info, over_range, query, query_range};
pub use json::float;
pub use listing::{label_values, labels, metadata, series};
pub use tree::{format_query, parse_query};
