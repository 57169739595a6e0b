//! Why an alert pages and announces nothing now: one list for the whole house.
//! In: silences, inhibition and time intervals. Out: [`MuteReason`].
//! Never: decides (`alerts::mute` does).
//! Start at [`MuteReason`].

use super::ids::Fingerprint;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum MuteReason {
    Silence {
        id: Arc<str>,
    },
    /// The firing alert that inhibits it.
    Inhibition {
        source: Fingerprint,
    },
    /// One of the route's `mute_time_intervals` holds now.
    MuteTimeInterval {
        name: Arc<str>,
    },
    /// None of the route's `active_time_intervals` holds now; this is the first of them.
    OutsideActiveTime {
        name: Arc<str>,
    },
}

impl fmt::Display for MuteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence { id } => write!(f, "silenced by {id}"),
            Self::Inhibition { source } => write!(f, "inhibited by alert {source}"),
            Self::MuteTimeInterval { name } => write!(f, "muted by time interval {name}"),
            Self::OutsideActiveTime { name } => write!(f, "outside of active time interval {name}"),
        }
    }
}
