//! Alerts: many posts become one record; who is notified of it, and what mutes it.
//! In: posts, rule results, commands on silences. Out: transitions, groups that are due, reasons why an alert is muted.
//! Never: does IO, reads a clock, or pages anybody (`engine` orders the decisions, `incidents` and `escalation` page).
//! Start at [`registry::AlertRegistry`] (deduplication), then [`route::Route`] and [`group::Groups`].

pub mod group;
pub mod heartbeat;
pub mod inhibit;
mod lease;
pub mod matchers;
pub mod mute;
pub mod nflog;
mod quote;
pub mod registry;
pub mod route;
pub mod silence;
pub mod time_interval;

pub use group::{Flush, GroupId, GroupView, Groups};
pub use heartbeat::{HeartbeatSpec, Heartbeats, SilentHeartbeat};
pub use inhibit::{InhibitRule, Inhibition, Inhibitor};
pub use mute::Muter;
pub use nflog::{NotifyDecision, NotifyReason, SkipReason};
pub use registry::{AlertRegistry, IgnoredReason, Observed, RegistryConfig, RegistryError, authority};
pub use route::{GroupBy, Route, RouteError, RouteNode, RouteSpec};
pub use silence::{SilenceError, Silences};
pub use time_interval::{TimeInterval, TimeIntervals};
