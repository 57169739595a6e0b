//! Why an alert is in its incident, and which place came second: data, not sentences.
//! In: the correlator and people's commands. Out: [`Evidence`].
//! Never: holds words (`incidents::words` makes them).
//! Start at [`Evidence`].

use super::ids::IncidentId;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decided", rename_all = "snake_case")]
pub enum Evidence {
    /// It agreed with an open incident.
    Joined {
        rule: Arc<str>,
        /// `name="value"` of the labels that agree; empty when the rule names none.
        key: Arc<str>,
        /// Since the incident's last alert, and the most that the rule allows.
        gap_ms: u64,
        window_ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runner_up: Option<RunnerUp>,
    },
    /// No open incident agreed, so it opened one.
    Opened {
        rule: Arc<str>,
        key: Arc<str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runner_up: Option<RunnerUp>,
    },
    MergedFrom {
        incident: IncidentId,
        by: Arc<str>,
    },
    SplitOff {
        incident: IncidentId,
        by: Arc<str>,
    },
    /// It still fired when the hold of an incident resolved by hand was over.
    StillFiring {
        incident: IncidentId,
        by: Arc<str>,
        resolved_at: Timestamp,
    },
    /// It fires again, and its incident had ended by itself within the reopen window.
    Reopened {
        after_ms: u64,
    },
    /// What version 0.1 wrote as sentences.
    Recorded {
        reason: String,
        runner_up: String,
    },
}

/// The place that came second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerUp {
    pub incident: IncidentId,
    pub lost: RunnerUpReason,
}

/// Why it lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum RunnerUpReason {
    /// Both fit; the chosen one is older.
    Younger {
        than: IncidentId,
    },
    Full {
        alerts_max: u64,
    },
    Gap {
        gap_ms: u64,
        window_ms: u64,
    },
    Age {
        age_ms: u64,
        age_max_ms: u64,
    },
    Cluster {
        theirs: Option<Arc<str>>,
        ours: Option<Arc<str>>,
    },
    Environment {
        theirs: Option<Arc<str>>,
        ours: Option<Arc<str>>,
    },
}
