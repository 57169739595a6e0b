//! Webhook: Alertmanager's version 4 body to one URL, optionally signed.
//! In: a notification. Out: one POST; 2xx is delivered.
//! Never: follows a redirect to another host, or sends credentials elsewhere.
//! Start at [`Webhook`].

pub(super) mod body;
mod settings;

pub use settings::{KIND, WebhookConfig};

use super::http::{HttpDestination, header};
use super::{Attempt, Delivery, Notifier, NotifyError, NotifyFuture, text};
use crate::model::{Notification, Secret, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HeaderMap;
use sha2::Sha256;

/// Requests under way to one webhook: enough to keep up in a storm, too few to drown the receiver.
const IN_FLIGHT_MAX: usize = 4;

pub struct Webhook {
    config: WebhookConfig,
    destination: HttpDestination,
}

impl Webhook {
    pub fn new(config: &WebhookConfig) -> Result<Self, String> {
        let destination = HttpDestination::new("webhook", &config.http, config.timeout)?;
        Ok(Self { config: config.clone(), destination })
    }

    async fn send(&self, notification: &Notification, attempt: &Attempt) -> Result<Delivery, NotifyError> {
        let url = self.config.url.read().await?;
        let body = body::webhook_v4(&notification.message, self.config.max_alerts);
        let mut headers = HeaderMap::new();
        header(&mut headers, "idempotency-key", &notification.key.0);
        header(&mut headers, "x-attempt", &attempt.number.to_string());
        let mut secrets = Vec::new();
        if let Some(source) = &self.config.hmac_secret {
            let key = source.read().await?;
            header(&mut headers, "x-watchfire-signature", &signature(&key, attempt.at, &body));
            secrets.push(key);
        }
        let hidden: Vec<&Secret> = secrets.iter().collect();
        self.destination.post(&url, headers, body, &hidden).await?;
        Ok(Delivery::default())
    }
}

impl Notifier for Webhook {
    fn notify<'a>(&'a self, notification: &'a Notification, attempt: &'a Attempt) -> NotifyFuture<'a> {
        Box::pin(self.send(notification, attempt))
    }

    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn in_flight_max(&self) -> usize {
        IN_FLIGHT_MAX
    }
}

/// `t=<unix seconds>,v1=<hex HMAC-SHA-256 of "<t>.<body>">`: the time is signed too, so an old request cannot be replayed.
pub fn signature(key: &Secret, at: Timestamp, body: &[u8]) -> String {
    let secs = at.as_millis().div_euclid(1000);
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(secs.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("t={secs},v1={}", text::hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_hmac_sha256_of_time_and_body() {
        // Computed with `printf '1700000000.{}' | openssl dgst -sha256 -hmac key`.
        let got = signature(&Secret::new("key"), Timestamp::from_millis(1_700_000_000_999), b"{}");
        assert_eq!(got, "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae");
    }
}
