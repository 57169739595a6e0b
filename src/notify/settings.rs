//! What all integrations have in common: the receiver, the settings behind one trait, what `global` fills in.
//! In: the checked configuration. Out: [`ReceiverConfig`]; [`ReceiverConfig::spec`] is what decisions may know of it.
//! Never: prints a secret; a URL that may carry one is a [`crate::model::Secret`] as well.
//! Start at [`Settings`].

use super::http::{self, HttpConfig};
use super::kinds::Capability;
use super::{Notifier, Renderer, TemplateField};
use crate::model::{IntegrationId, IntegrationSpec, ReceiverSpec};
use crate::yaml::Fields;
use std::fmt::Debug;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    pub name: Arc<str>,
    /// In the order of Alertmanager's struct.
    pub integrations: Vec<IntegrationConfig>,
}

impl ReceiverConfig {
    /// What the engine may know: kinds and flags, no address, no secret.
    pub fn spec(&self) -> ReceiverSpec {
        ReceiverSpec {
            name: Arc::clone(&self.name),
            integrations: self.ids().into_iter().zip(&self.integrations).map(|(id, one)| one.spec(id)).collect(),
        }
    }

    /// The identities of its integrations, in their order.
    pub fn ids(&self) -> Vec<IntegrationId> {
        IntegrationId::numbered(self.integrations.iter().map(|integration| integration.kind()))
    }
}

/// The settings of one integration, whatever its kind.
pub trait Settings: Debug + Send + Sync + 'static {
    /// The name of its kind.
    fn kind(&self) -> &'static str;
    /// Whether announcements of resolved alerts go out, if it was written.
    fn send_resolved(&self) -> Option<bool>;
    /// And if it was not.
    fn send_resolved_default(&self) -> bool;
    fn capability(&self) -> Capability;
    /// At most this many alerts in one message; 0: the limit of the house.
    fn max_alerts(&self) -> usize {
        0
    }
    /// Every text in it that is a template.
    fn templates(&self) -> Vec<TemplateField<'_>> {
        Vec::new()
    }
    /// Reads TLS files; does not read secret files (those are read at each send).
    fn build(&self, renderer: &Renderer) -> Result<Arc<dyn Notifier>, String>;
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct IntegrationConfig(Arc<dyn Settings>);

impl IntegrationConfig {
    pub fn new(settings: impl Settings) -> Self {
        Self(Arc::new(settings))
    }

    /// A page's end is sent unless `send_resolved: false` was written out.
    pub fn spec(&self, id: IntegrationId) -> IntegrationSpec {
        let written = self.0.send_resolved();
        IntegrationSpec {
            id,
            send_resolved: written.unwrap_or(self.0.send_resolved_default()),
            send_resolved_pages: written.unwrap_or(true),
            updates_in_place: self.0.capability().updates_in_place,
            max_alerts: self.0.max_alerts(),
        }
    }
}

impl std::ops::Deref for IntegrationConfig {
    type Target = dyn Settings;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// What receivers inherit.
pub struct Defaults<'a> {
    /// `global`, of which each kind reads its own keys.
    pub global: Fields<'a>,
    http: HttpConfig,
}

impl<'a> Defaults<'a> {
    pub fn new(global: Fields<'a>) -> Self {
        let http = global.fields("http_config").map(http::http).unwrap_or_default();
        Self { global, http }
    }

    /// `http_config` of an integration, or that of `global`.
    pub fn http(&self, f: &Fields<'_>) -> HttpConfig {
        f.fields("http_config").map_or_else(|| self.http.clone(), http::http)
    }
}

/// A template or plain text that is used when it is written.
pub fn template(f: &Fields<'_>, key: &'static str) -> Option<Arc<str>> {
    f.text(key).map(|t| Arc::from(t.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Secret, SecretSource};
    use crate::notify::email::{EmailConfig, Smarthost};
    use crate::notify::webhook::WebhookConfig;

    #[test]
    fn smarthost_is_read() {
        let check = |text: &str, want: Option<(&str, u16)>| {
            let got = Smarthost::parse(text);
            assert_eq!(got, want.map(|(h, port)| Smarthost { host: h.to_owned(), port }), "{text}");
        };
        check("mail.example.org:587", Some(("mail.example.org", 587)));
        check("[::1]:25", Some(("::1", 25)));
        check("mail.example.org", None);
        check(":25", None);
        check("a:0", None);
        check("a\r\nb:25", None);
    }

    #[test]
    fn an_escalation_hears_of_the_end_unless_told_otherwise() {
        let smarthost = Smarthost { host: "h".into(), port: 25 };
        let mut email = EmailConfig::new("a@example.org", "w@example.org", smarthost);
        let spec = IntegrationConfig::new(email.clone()).spec(IntegrationId::new("email", 0));
        assert_eq!((spec.send_resolved, spec.send_resolved_pages), (false, true));
        email.send_resolved = Some(false);
        let spec = IntegrationConfig::new(email).spec(IntegrationId::new("email", 0));
        assert_eq!((spec.send_resolved, spec.send_resolved_pages), (false, false));
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut hook = WebhookConfig::new(SecretSource::inline("https://user:hunter2@example.org/token"));
        hook.hmac_secret = Some(SecretSource::inline("hunter2"));
        hook.http.proxy_url = Some(Secret::new("http://hunter2@proxy"));
        assert!(!format!("{hook:?}").contains("hunter2"));
    }
}
