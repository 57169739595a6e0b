//! Settings of `PagerDuty`: Alertmanager's `pagerduty_configs`, and `pagerduty_url` of `global`.
//! In: the mapping of the file. Out: [`PagerDutyConfig`].
//! Never: prints the key.
//! Start at [`read`].

use super::PagerDuty;
use crate::model::{Secret, SecretSource};
use crate::notify::http::{self, HttpConfig};
use crate::notify::kinds::{Capability, Kind, Repeats};
use crate::notify::settings::{Defaults, IntegrationConfig, Settings, template};
use crate::notify::{Notifier, Renderer, TemplateField};
use crate::yaml::Fields;
use std::sync::Arc;
use std::time::Duration;

pub const KIND: Kind = Kind {
    name: "pagerduty",
    key: "pagerduty_configs",
    read,
    read_global: |global| drop(http::url(global, GLOBAL_URL)),
};

/// Events API v2 of `PagerDuty`.
pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// In `global`.
const GLOBAL_URL: &str = "pagerduty_url";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagerDutyConfig {
    /// `None`: true.
    pub send_resolved: Option<bool>,
    /// The integration key (`routing_key`, or the older `service_key`: the same key on Events v2).
    pub routing_key: SecretSource,
    /// [`PAGERDUTY_URL`] unless written.
    pub url: Secret,
    pub client: Option<Arc<str>>,
    pub client_url: Option<Arc<str>>,
    pub description: Option<Arc<str>>,
    /// A template that yields critical, error, warning or info; `None`: from the incident's or alerts' severity.
    pub severity: Option<Arc<str>>,
    pub class: Option<Arc<str>>,
    pub component: Option<Arc<str>>,
    pub group: Option<Arc<str>>,
    pub source: Option<Arc<str>>,
    /// Merged over the default details.
    pub details: Vec<(String, Arc<str>)>,
    pub http: HttpConfig,
    pub timeout: Option<Duration>,
}

impl PagerDutyConfig {
    pub fn new(routing_key: SecretSource) -> Self {
        Self {
            send_resolved: None,
            routing_key,
            url: Secret::new(PAGERDUTY_URL),
            client: None,
            client_url: None,
            description: None,
            severity: None,
            class: None,
            component: None,
            group: None,
            source: None,
            details: Vec::new(),
            http: HttpConfig::default(),
            timeout: None,
        }
    }
}

impl Settings for PagerDutyConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn send_resolved(&self) -> Option<bool> {
        self.send_resolved
    }

    fn send_resolved_default(&self) -> bool {
        true
    }

    /// One incident there by its `dedup_key`: a repeat changes nothing.
    fn capability(&self) -> Capability {
        Capability { updates_in_place: true, threads: false, acknowledgements: false, repeats: Repeats::Idempotent }
    }

    fn templates(&self) -> Vec<TemplateField<'_>> {
        let written = [
            ("client", &self.client),
            ("client_url", &self.client_url),
            ("description", &self.description),
            ("severity", &self.severity),
            ("class", &self.class),
            ("component", &self.component),
            ("group", &self.group),
            ("source", &self.source),
        ];
        let written = written.into_iter().filter_map(|(name, text)| Some(TemplateField::new(name, text.as_ref()?)));
        written.chain(self.details.iter().map(|(_, value)| TemplateField::new("details", value))).collect()
    }

    fn build(&self, renderer: &Renderer) -> Result<Arc<dyn Notifier>, String> {
        Ok(Arc::new(PagerDuty::new(self, renderer.clone())?))
    }
}

fn read(f: Fields<'_>, defaults: &Defaults<'_>) -> IntegrationConfig {
    let routing = f.secret("routing_key", "routing_key_file");
    let service = f.secret("service_key", "service_key_file");
    if routing.is_none() && service.is_none() {
        f.notes().mistake_with(
            f.at(),
            "missing service or routing key in PagerDuty config",
            "write routing_key_file: (or routing_key:) with the integration key of Events API v2",
        );
    }
    f.unused(&["images", "links"]);
    let key = routing.or(service).map_or_else(|| SecretSource::inline(""), |k| k.value);
    let config = PagerDutyConfig {
        send_resolved: f.bool("send_resolved"),
        url: http::url(&f, "url")
            .or_else(|| http::url(&defaults.global, GLOBAL_URL))
            .unwrap_or_else(|| Secret::new(PAGERDUTY_URL)),
        client: template(&f, "client"),
        client_url: template(&f, "client_url"),
        description: template(&f, "description"),
        severity: template(&f, "severity"),
        class: template(&f, "class"),
        component: template(&f, "component"),
        group: template(&f, "group"),
        source: template(&f, "source"),
        details: f.pairs("details").iter().map(|(k, v)| (k.value.to_owned(), Arc::from(v.value))).collect(),
        http: defaults.http(&f),
        timeout: http::timeout(&f),
        ..PagerDutyConfig::new(key)
    };
    f.finish();
    IntegrationConfig::new(config)
}
