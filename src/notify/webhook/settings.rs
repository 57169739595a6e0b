//! Settings of webhooks: Alertmanager's `webhook_configs`, and a signature of ours.
//! In: the mapping of the file. Out: [`WebhookConfig`].
//! Never: prints the URL, which may carry a secret.
//! Start at [`read`].

use super::Webhook;
use crate::model::SecretSource;
use crate::notify::http::{self, HttpConfig};
use crate::notify::kinds::{Capability, Kind, Repeats};
use crate::notify::settings::{Defaults, IntegrationConfig, Settings};
use crate::notify::{Notifier, Renderer};
use crate::yaml::Fields;
use std::sync::Arc;
use std::time::Duration;

pub const KIND: Kind = Kind { name: "webhook", key: "webhook_configs", read, read_global: |_| () };

/// How many alerts one webhook message may hold.
const MAX_ALERTS_MAX: u64 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// `None`: true.
    pub send_resolved: Option<bool>,
    pub url: SecretSource,
    /// 0 = all.
    pub max_alerts: usize,
    /// Of one attempt; `None` or zero: 10 s.
    pub timeout: Option<Duration>,
    pub http: HttpConfig,
    /// Ours: signs the body, header `X-Watchfire-Signature: t=<unix seconds>,v1=<hex HMAC-SHA-256 of "<t>.<body>">`.
    pub hmac_secret: Option<SecretSource>,
}

impl WebhookConfig {
    pub fn new(url: SecretSource) -> Self {
        Self { send_resolved: None, url, max_alerts: 0, timeout: None, http: HttpConfig::default(), hmac_secret: None }
    }
}

impl Settings for WebhookConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn send_resolved(&self) -> Option<bool> {
        self.send_resolved
    }

    fn send_resolved_default(&self) -> bool {
        true
    }

    /// The key travels in a header; whether repeats are dropped by it is the receiver's affair.
    fn capability(&self) -> Capability {
        Capability { updates_in_place: false, threads: false, acknowledgements: false, repeats: Repeats::BestEffort }
    }

    fn max_alerts(&self) -> usize {
        self.max_alerts
    }

    fn build(&self, _: &Renderer) -> Result<Arc<dyn Notifier>, String> {
        Ok(Arc::new(Webhook::new(self)?))
    }
}

fn read(f: Fields<'_>, defaults: &Defaults<'_>) -> IntegrationConfig {
    let url = f.secret("url", "url_file");
    match &url {
        Some(url) => http::check_url(f.notes(), "url", url),
        None => f.notes().mistake_with(
            f.at(),
            "one of url or url_file must be configured",
            "write url: http://… or url_file: with the path of a file that holds it",
        ),
    }
    f.unsupported(&["payload"], "the body is Alertmanager's version 4");
    let mut hook = WebhookConfig::new(url.map_or_else(|| SecretSource::inline(""), |u| u.value));
    hook.send_resolved = f.bool("send_resolved");
    hook.max_alerts = f.count("max_alerts", MAX_ALERTS_MAX).map_or(0, |n| n.value as usize);
    hook.timeout = http::timeout(&f);
    hook.http = defaults.http(&f);
    hook.hmac_secret = f.secret("hmac_secret", "hmac_secret_file").map(|s| s.value);
    f.finish();
    IntegrationConfig::new(hook)
}
