//! Alerts: many posts become one record, and what is told about it to whom, and when not.
//! In: posts, rule results, commands on silences. Out: transitions, groups that are due, reasons why an alert is muted.
//! Never: does IO, reads a clock, or pages anybody (`engine` orders the decisions, `incidents` and `escalation` page).
//! Start at [`book::Book`] (the door), then [`route::Route`] and [`group::Groups`].

pub mod book;
pub mod group;
pub mod heartbeat;
pub mod inhibit;
pub mod matchers;
mod merge;
pub mod mute;
pub mod nflog;
mod quote;
pub mod route;
pub mod silence;
pub mod time_interval;

pub use book::{Book, BookConfig, BookError, IgnoredReason, Observed};
pub use group::{Flush, GroupId, GroupView, Groups};
pub use heartbeat::{HeartbeatSpec, Heartbeats, SilentHeartbeat};
pub use inhibit::{InhibitRule, Inhibition, Inhibitor};
pub use mute::{MuteReason, Muter};
pub use nflog::{NotifyDecision, NotifyReason, SkipReason};
pub use route::{GroupBy, Route, RouteError, RouteNode, RouteSpec};
pub use silence::{SilenceError, Silences};
pub use time_interval::{TimeInterval, TimeIntervals};
