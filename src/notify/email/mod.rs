//! E-mail: SMTP with STARTTLS or TLS, one message per recipient, text and HTML.
//! In: a notification. Out: delivered when every recipient was taken or refused for good, and one at least was taken.
//! Never: sends a password over an unencrypted line to another machine, or a second mail to a recipient that has it.
//! Start at [`Email`].

mod addresses;
mod mail;
mod settings;
mod smtp;

pub use settings::{EmailConfig, KIND, Smarthost};

use self::mail::Mail;
use self::smtp::Smtp;
use super::http::TlsConfig;
use super::{Attempt, Delivery, Notifier, NotifyError, NotifyFuture, Renderer, html, http, text};
use crate::model::{Notification, NotificationKey, Secret};
use indexmap::IndexMap;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Identity, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Messages whose recipients are remembered between tries. The oldest goes first: then a retry may repeat a mail, with the
/// same Message-ID.
const PARTIAL_MAX: usize = 1000;
const SUBMISSIONS_PORT: u16 = 465;
/// Of one mail unless the integration sets its own: servers that look for spam take their time before they say 250.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Email {
    config: EmailConfig,
    tls: Tls,
    renderer: Renderer,
    /// The line to the server, and the password it was made with (a file may change).
    transport: Mutex<Option<(Option<Secret>, Arc<Smtp>)>>,
    /// What became of each recipient of a message that is not through yet: `Ok` taken, `Err` refused for good.
    partial: Mutex<IndexMap<NotificationKey, Settled>>,
}

type Settled = HashMap<String, Result<(), String>>;

impl Email {
    pub fn new(config: &EmailConfig, renderer: Renderer) -> Result<Self, String> {
        addresses::check(&config.to)?;
        addresses::check(&config.from)?;
        let tls = tls_of(config)?;
        let has_auth = !config.auth_username.is_empty();
        if has_auth && config.auth_password.is_none() {
            return Err("auth_username needs auth_password or auth_password_file".to_owned());
        }
        if has_auth && matches!(tls, Tls::None) && !is_this_machine(&config.smarthost.host) {
            return Err("a password is not sent without TLS: set require_tls or drop auth_username".to_owned());
        }
        if !config.auth_identity.is_empty() && config.auth_identity != config.auth_username {
            return Err("an auth_identity other than auth_username is not supported".to_owned());
        }
        Ok(Self {
            config: config.clone(),
            tls,
            renderer,
            transport: Mutex::new(None),
            partial: Mutex::new(IndexMap::new()),
        })
    }

    async fn send(&self, notification: &Notification, attempt: &Attempt) -> Result<Delivery, NotifyError> {
        let mail = self.mail(notification, attempt)?;
        let transport = self.transport().await?;
        let mut settled = self.partial.lock().get(&notification.key).cloned().unwrap_or_default();
        let mut waiting: Option<String> = None;
        for recipient in mail.to_shown.iter() {
            let address = recipient.email.to_string();
            if settled.contains_key(&address) {
                continue;
            }
            match self.send_one(&transport, &mail, recipient).await {
                Ok(()) => drop(settled.insert(address, Ok(()))),
                Err(Trouble::Refused(reason)) => drop(settled.insert(address, Err(reason))),
                Err(Trouble::Later(reason)) => waiting = Some(format!("{address}: {reason}")),
                Err(Trouble::Server(reason)) => {
                    // The others would only wait for the same silence.
                    waiting = Some(reason);
                    break;
                }
            }
            // Kept after each one: this task may be cancelled between two recipients.
            self.remember(&notification.key, &settled);
        }
        if let Some(reason) = waiting {
            return Err(NotifyError::temporary(format!("email: {reason}")));
        }
        self.partial.lock().shift_remove(&notification.key);
        verdict(&settled, notification)
    }

    fn mail(&self, notification: &Notification, attempt: &Attempt) -> Result<Mail, NotifyError> {
        let (config, message) = (&self.config, &*notification.message);
        let render = self.renderer.at(attempt.at);
        let address = |field: &str, text: &str| {
            let rendered = render.optional(field, Some(&text.into()), message).unwrap_or_default();
            addresses::parse(&rendered).map_err(|e| NotifyError::permanent(format!("email: {field}: {e}")))
        };
        let from = address("from", &config.from)?.into_iter().next();
        let mut mail = Mail {
            from: from.ok_or_else(|| NotifyError::permanent("email: no sender"))?,
            to_shown: address("to", &config.to)?,
            subject: text::title(message),
            text: render.text("text", config.text.as_ref(), message, || text::plain(message)),
            html: render.html("html", config.html.as_ref(), message, || html::document(message)),
            headers: Vec::new(),
            at: attempt.at,
            key: notification.key.to_string(),
            thread: notification.incident().map_or_else(|| message.group_key.to_string(), |id| id.to_string()),
        };
        for (name, template) in &config.headers {
            if name.eq_ignore_ascii_case("subject") {
                mail.subject = render.line("subject", Some(template), message, || text::title(message));
            } else if !["to", "from", "message-id", "date"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
                let value = render.line(name, Some(template), message, String::new);
                mail.headers.push((name.clone(), value));
            }
        }
        Ok(mail)
    }

    async fn send_one(&self, transport: &Smtp, mail: &Mail, recipient: &Mailbox) -> Result<(), Trouble> {
        let message = mail.to_message(recipient).map_err(Trouble::Refused)?;
        // lettre limits single commands; this limits the whole conversation.
        match tokio::time::timeout(self.timeout(), transport.send(&message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(Trouble::Server("the mail server did not answer in time".to_owned())),
        }
    }

    fn timeout(&self) -> Duration {
        self.config.timeout.filter(|t| !t.is_zero()).unwrap_or(TOTAL_TIMEOUT).min(http::TIMEOUT_MAX)
    }

    fn remember(&self, key: &NotificationKey, settled: &Settled) {
        let mut partial = self.partial.lock();
        if partial.len() >= PARTIAL_MAX && !partial.contains_key(key) {
            partial.shift_remove_index(0);
        }
        partial.insert(key.clone(), settled.clone());
    }

    async fn transport(&self) -> Result<Arc<Smtp>, NotifyError> {
        let password = match &self.config.auth_password {
            Some(source) if !self.config.auth_username.is_empty() => Some(source.read().await?),
            _ => None,
        };
        let mut cached = self.transport.lock();
        if let Some((made_with, transport)) = &*cached
            && *made_with == password
        {
            return Ok(Arc::clone(transport));
        }
        let config = &self.config;
        let credentials =
            password.as_ref().map(|p| Credentials::new(config.auth_username.clone(), p.expose().to_owned()));
        let hello = if config.hello.is_empty() { ClientId::default() } else { ClientId::Domain(config.hello.clone()) };
        let transport = Arc::new(Smtp {
            host: config.smarthost.host.clone(),
            port: config.smarthost.port,
            hello,
            tls: self.tls.clone(),
            credentials,
            connect_timeout: self.timeout().min(http::CONNECT_TIMEOUT),
            idle: Mutex::default(),
        });
        *cached = Some((password, Arc::clone(&transport)));
        Ok(transport)
    }
}

impl Notifier for Email {
    fn notify<'a>(&'a self, notification: &'a Notification, attempt: &'a Attempt) -> NotifyFuture<'a> {
        Box::pin(self.send(notification, attempt))
    }

    fn kind(&self) -> &'static str {
        KIND.name
    }
}

/// Every recipient is settled: one that was taken makes it delivered; the refused ones are said in the log.
fn verdict(settled: &Settled, notification: &Notification) -> Result<Delivery, NotifyError> {
    let mut refused = String::new();
    for (address, outcome) in settled {
        if let Err(reason) = outcome {
            let _ = write!(refused, "{}{address}: {reason}", if refused.is_empty() { "" } else { "; " });
        }
    }
    if settled.values().all(Result::is_err) {
        return Err(NotifyError::permanent(format!("email: {refused}")));
    }
    if !refused.is_empty() {
        tracing::warn!(key = %notification.key, receiver = %notification.receiver, refused, "some recipients were refused");
    }
    Ok(Delivery::default())
}

/// Why one recipient has no mail yet.
enum Trouble {
    Refused(String),
    /// The server answered 4xx about this one.
    Later(String),
    /// The server is not there, or broke off.
    Server(String),
}

/// 5xx is for good (a refused login among them), and so is what the client itself will not do (no STARTTLS offered); 4xx and
/// everything about connections may pass.
fn classify(error: &lettre::transport::smtp::Error) -> Trouble {
    // lettre repeats the cause in its own text.
    let reason = text::cut(&text::one_line(&error.to_string()), 500);
    if error.is_permanent() || error.is_client() {
        Trouble::Refused(reason)
    } else if error.is_transient() {
        Trouble::Later(reason)
    } else {
        Trouble::Server(reason)
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn tls_of(config: &EmailConfig) -> Result<Tls, String> {
    let wrapped = config.force_implicit_tls.unwrap_or(config.smarthost.port == SUBMISSIONS_PORT);
    if !wrapped && !config.require_tls {
        return Ok(Tls::None);
    }
    http::install_tls_provider();
    let parameters = tls_parameters(&config.smarthost.host, &config.tls)?;
    Ok(if wrapped { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}

fn tls_parameters(host: &str, tls: &TlsConfig) -> Result<TlsParameters, String> {
    let read = |path: &std::path::Path| std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = &tls.ca_file {
        let certificate = Certificate::from_pem(&read(path)?)
            .map_err(|e| format!("{} is not a PEM certificate: {e}", path.display()))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    if let (Some(cert), Some(key)) = (&tls.cert_file, &tls.key_file) {
        let identity = Identity::from_pem(&read(cert)?, &read(key)?)
            .map_err(|e| format!("{} and its key are not usable: {e}", cert.display()))?;
        builder = builder.identify_with(identity);
    }
    if tls.insecure_skip_verify {
        builder = builder.dangerous_accept_invalid_certs(true).dangerous_accept_invalid_hostnames(true);
    }
    builder.build_rustls().map_err(|e| format!("TLS cannot be set up: {e}"))
}
