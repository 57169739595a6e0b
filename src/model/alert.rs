//! Alerts: what one source reported, and what is known about one fingerprint.
//! In: posts and rule results. Out: [`AlertRecord`], the state that is stored, and [`Transition`], the news that travels on.
//! Never: decides whether two posts are one alert (`alerts::registry` does).
//! Start at [`AlertRecord`].

use super::ids::Fingerprint;
use super::labels::Labels;
use super::time::Timestamp;
use std::sync::Arc;

/// The label by which a rule says that its alert is a heartbeat: it fires all the time, and only its absence is news.
pub const ROLE_LABEL: &str = "watchfire_role";

/// The alert that says who is not heard any more.
pub const SOURCE_SILENT: &str = "SourceSilent";
/// Its label for a heartbeat's name.
pub const HEARTBEAT_LABEL: &str = "heartbeat";

/// Whether an alert of these labels is a heartbeat: groups announce it, no incident is opened for it.
pub fn is_heartbeat(labels: &Labels) -> bool {
    labels.get(ROLE_LABEL) == Some("heartbeat")
}

/// The three ways by which an alert comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// A rule of ours, evaluated on samples that came by remote write.
    RemoteWrite,
    AlertmanagerWebhook,
    AlertmanagerApi,
}

impl Door {
    pub const ALL: [Self; 3] = [Self::RemoteWrite, Self::AlertmanagerWebhook, Self::AlertmanagerApi];

    /// The name in the API: `remote_write`, `alertmanager_webhook`, `alertmanager_api`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RemoteWrite => "remote_write",
            Self::AlertmanagerWebhook => "alertmanager_webhook",
            Self::AlertmanagerApi => "alertmanager_api",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.as_str() == text)
    }
}

/// Who reports an alert. Each source holds a lease of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey {
    pub door: Door,
    /// The labels that name a sender, printed; empty when there are none.
    pub sender: Arc<str>,
    /// What tells two senders with equal labels apart, see [`Alert::claimant`].
    pub claimant: Arc<str>,
}

/// One alert as one source posted it, already validated. `labels` still hold the labels that name the sender.
#[derive(Clone, Debug)]
pub struct Alert {
    pub labels: Labels,
    pub annotations: Labels,
    pub generator_url: Arc<str>,
    pub starts_at: Timestamp,
    /// When the alert ends or has ended; `None` means "until the source says otherwise".
    pub ends_at: Option<Timestamp>,
    /// `ends_at` was filled in from `resolve_timeout`, not sent.
    pub ends_by_timeout: bool,
    pub door: Door,
    /// What tells two sources with equal labels apart: of a post the authority of its generator URL and its peer's
    /// address (`prometheus-0:9090@10.0.0.7`), of our own rules `rule:` and the rule's identity. May be empty.
    pub claimant: Arc<str>,
}

/// One source's claim on an alert. The alert fires while any lease lives and ends when the last one has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub source: SourceKey,
    pub starts_at: Timestamp,
    pub ends_at: Option<Timestamp>,
    pub ends_by_timeout: bool,
    /// When the source last reported the alert.
    pub updated_at: Timestamp,
}

impl Lease {
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|end| end > now)
    }
}

/// All that is known of one fingerprint: the row that is stored and that API and engine share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRecord {
    /// Of `labels`, after the labels that name a sender were taken off.
    pub fingerprint: Fingerprint,
    pub labels: Labels,
    pub annotations: Labels,
    pub generator_url: Arc<str>,
    pub starts_at: Timestamp,
    /// `None` while firing; else when it ended.
    pub ended_at: Option<Timestamp>,
    pub updated_at: Timestamp,
    /// Sorted by source. Never empty.
    pub leases: Vec<Lease>,
}

impl AlertRecord {
    pub fn is_firing(&self) -> bool {
        self.ended_at.is_none()
    }

    /// When it will end if nobody speaks again: the latest lease end, `None` when one is open.
    pub fn lease_end(&self) -> Option<Timestamp> {
        self.leases.iter().map(|l| l.ends_at).try_fold(Timestamp::MIN, |max, end| end.map(|e| max.max(e)))
    }

    /// The doors it came in by, each once, in order.
    pub fn doors(&self) -> Vec<Door> {
        let mut doors: Vec<Door> = self.leases.iter().map(|l| l.source.door).collect();
        doors.sort_unstable();
        doors.dedup();
        doors
    }
}

/// What changed about an alert, worth a decision. Refreshes are not transitions and never leave the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionKind {
    /// New, or firing again after an end.
    Started,
    /// Still firing: other annotations, an earlier start, or one more source.
    Changed,
    Ended,
}

/// News from the door to the single writer. `record` is the state after the change.
#[derive(Clone, Debug)]
pub struct Transition {
    pub kind: TransitionKind,
    pub record: Arc<AlertRecord>,
    /// The door's count of changes of this fingerprint; `alerts::AlertRegistry::committed` takes it back.
    pub version: u64,
}
