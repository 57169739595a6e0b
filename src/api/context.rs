//! The running system as handlers see it: handles, no state of their own.
//! In: what `app` built. Out: shared by every request of API and pages.
//! Never: decides; it only reaches.
//! Start at [`Context`].

use super::auth::Auth;
use super::notifications::NextTries;
use crate::alerts::{AlertRegistry, Heartbeats};
use crate::clock::Clock;
use crate::engine::Engine;
use crate::inbox::{Inbox, InboxError};
use crate::ingest::RemoteWrite;
use crate::model::{Network, NextTry, Notification, NotificationState, Timestamp};
use crate::promql::Features;
use crate::rules::RulesView;
use crate::series::Head;
use crate::store::SharedStore;
use crate::telemetry::{Health, Metrics};
use arc_swap::ArcSwap;
use axum::extract::State;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The loop that looks for silence, the API and the reload share them.
pub type SharedHeartbeats = Arc<Mutex<Heartbeats>>;

/// What handlers extract.
pub type Shared = State<Arc<Context>>;

/// An order to load the configuration again; the answer is what `POST /-/reload` says.
pub type ReloadOrder = oneshot::Sender<Result<(), ReloadError>>;

/// Why the old configuration stays in force. Variants are what the caller answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// 500, as Prometheus: the new one is wrong.
    #[error("{0}")]
    Wrong(String),
    /// 503: nothing is wrong with it, but it could not be taken now.
    #[error(transparent)]
    NotNow(#[from] InboxError),
}

/// What of the configuration handlers need; swapped whole on reload.
pub struct ApiSettings {
    /// Where people reach us, without a trailing slash.
    pub external_url: String,
    /// Printed for amtool and people, secrets masked.
    pub config_text: Arc<str>,
    pub resolve_timeout: Duration,
    /// The step of sub-queries that name none.
    pub evaluation_interval: Duration,
    /// What queries may use besides the stable language.
    pub features: Features,
    /// Proxies whose headers say who sent a request.
    pub trusted_proxies: Vec<Network>,
}

pub struct Context {
    pub engine: Arc<RwLock<Engine>>,
    pub registry: Arc<AlertRegistry>,
    pub store: SharedStore,
    pub inbox: Inbox,
    pub head: Arc<Head>,
    /// Published by the evaluate loop after each round.
    pub rules: Arc<ArcSwap<RulesView>>,
    pub write: RemoteWrite,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub clock: Arc<dyn Clock>,
    pub auth: ArcSwap<Auth>,
    pub settings: ArcSwap<ApiSettings>,
    pub reload: mpsc::Sender<ReloadOrder>,
    pub next_tries: NextTries,
    /// Held while a message is sent again by hand.
    pub resends: tokio::sync::Mutex<()>,
    /// What must be heard again and again; `POST /api/v1/heartbeat/NAME` is a beat.
    pub heartbeats: SharedHeartbeats,
    pub started_at: Timestamp,
}

impl Context {
    pub fn external_url(&self) -> String {
        self.settings.load().external_url.clone()
    }

    /// When a message that waits is tried next, and why not now.
    pub fn next_try(&self, row: &Notification) -> Option<NextTry> {
        if row.state == NotificationState::Pending { (self.next_tries)(row) } else { None }
    }

    pub fn config_text(&self) -> Arc<str> {
        self.settings.load().config_text.clone()
    }

    pub fn resolve_timeout(&self) -> Duration {
        self.settings.load().resolve_timeout
    }

    /// The path of the external URL: everything is served below it, as Alertmanager does.
    pub fn route_prefix(&self) -> String {
        let url = self.external_url();
        let after_scheme = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        after_scheme.find('/').map_or(String::new(), |at| after_scheme[at..].trim_end_matches('/').to_owned())
    }
}
