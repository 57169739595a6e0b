//! Why an alert pages and announces nothing now: one list for the whole house.
//! In: silences, inhibition and time intervals. Out: [`MuteReason`].
//! Never: decides (`alerts::mute` does).
//! Start at [`MuteReason`].

use super::ids::Fingerprint;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One thing that mutes an alert now. The same value names it in the engine, on pages and in the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum MuteReason {
    Silenced {
        id: Arc<str>,
    },
    /// By the firing alert `source`, as the inhibit rule named `rule` says.
    Inhibited {
        source: Fingerprint,
        rule: Arc<str>,
    },
    /// One of the route's `mute_time_intervals` holds now.
    MuteTimeInterval {
        name: Arc<str>,
    },
    /// None of the route's `active_time_intervals` holds now; there is one reason for each of them.
    OutsideActiveTime {
        name: Arc<str>,
    },
}

impl MuteReason {
    /// The name of the time interval behind it, if time is what mutes.
    pub fn interval(&self) -> Option<&Arc<str>> {
        match self {
            Self::MuteTimeInterval { name } | Self::OutsideActiveTime { name } => Some(name),
            Self::Silenced { .. } | Self::Inhibited { .. } => None,
        }
    }
}

impl fmt::Display for MuteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silenced { id } => write!(f, "silenced by {id}"),
            Self::Inhibited { source, rule } => write!(f, "inhibited by alert {source} ({rule})"),
            Self::MuteTimeInterval { name } => write!(f, "muted by time interval {name}"),
            Self::OutsideActiveTime { name } => write!(f, "outside of active time interval {name}"),
        }
    }
}
