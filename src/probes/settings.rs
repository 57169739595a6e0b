//! What is probed, how often, and what a good answer is.
//! In: the checked section `probes` of the configuration. Out: plain values.
//! Never: holds a default that the documentation does not name.
//! Start at [`Probe`].

use super::json::JsonPath;
use crate::model::Labels;
use std::sync::Arc;
use std::time::Duration;

/// Probes of one server: each is a task and a handful of series.
pub const PROBES_MAX: usize = 1_000;
/// Checks of one probe: each is two series.
pub const CHECKS_MAX: usize = 64;

/// Where the question goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `GET` on an absolute URL.
    Http(Arc<str>),
    /// A connection to `host:port` that is closed at once.
    Tcp(Arc<str>),
}

impl Target {
    /// The label `instance`.
    pub fn instance(&self) -> &str {
        match self {
            Self::Http(text) | Self::Tcp(text) => text,
        }
    }
}

/// One value inside a JSON answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The label `check`.
    pub name: Arc<str>,
    pub path: JsonPath,
    /// Texts of which the value must be one; empty: it is only measured.
    pub expect: Vec<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The label `probe`; unique.
    pub name: Arc<str>,
    pub target: Target,
    pub interval: Duration,
    /// For everything: name, connection, answer.
    pub timeout: Duration,
    /// Status codes that are good; empty: 200 to 299.
    pub expect_status: Vec<u16>,
    pub checks: Vec<Check>,
    /// Laid over the labels of its series.
    pub labels: Labels,
}
