//! The engine's limits, each with its reason.
//! In: nothing. Out: named constants.
//! Never: configuration (what a user may change is in `settings`).
//! Start at [`MESSAGE_ALERTS_MAX`].

use std::time::Duration;

/// Alerts listed in one message; a page nobody can read helps nobody, and 1,000 alerts are about 1 MB of JSON.
pub const MESSAGE_ALERTS_MAX: usize = 1_000;
/// Alerts in one incident; the next one opens an overflow incident, so that no row of ours grows without end.
pub const INCIDENT_ALERTS_MAX: usize = 10_000;
/// Attach and end lines written one by one per incident; after that the members are the evidence.
pub const TIMELINE_LINES_MAX: u32 = 100;
/// Bytes of one timeline text, reason, title or note.
pub const TEXT_MAX: usize = 2_000;
/// Bytes of a title.
pub const TITLE_MAX: usize = 200;
/// Pages to one contact within [`PAGE_WINDOW`] when the configuration names no other limit.
pub const PAGES_PER_MINUTE: u32 = 10;
/// The window of the page limit.
pub const PAGE_WINDOW: Duration = Duration::from_mins(1);
/// A step none of whose pages was delivered for this long does not keep the next one waiting.
pub const DELIVERY_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a resolve by hand holds while alerts still fire, when the configuration does not say.
pub const RESOLVE_HOLD: Duration = Duration::from_hours(1);
/// The longest hold that can be asked for: longer ones are silences.
pub const RESOLVE_HOLD_MAX: Duration = Duration::from_hours(720);
/// Ended alerts and resolved incidents stay in memory this long for readers (Alertmanager's alert GC interval).
pub const KEEP_ENDED: Duration = Duration::from_mins(30);
/// How often memory is swept.
pub const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// Mute time intervals change on whole minutes; alerts that wait for one are looked at this often.
pub const INTERVAL_LOOK: Duration = Duration::from_mins(1);
/// The longest snooze: longer ones are silences.
pub const SNOOZE_MAX: Duration = Duration::from_hours(720);
