//! One client of the killed server: fires and ends alerts through both doors, commands incidents, silences.
//! In: a number that makes its alerts its own. Out: what it was told is done, and what nobody can know.
//! Never: believes anything that was not answered with 2xx.
//! Start at [`Worker::live`].

use super::{Events, POLICIES};
use crate::support::dice::Dice;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Alerts that one worker keeps firing; the oldest ends when there are more.
const ALERTS_MAX: usize = 12;

/// What is known after the answers so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known<T> {
    Is(T),
    /// The last request was not answered: as before it, or as it asked.
    InDoubt,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answered {
    Triggered,
    Acknowledged,
    Resolved,
    Snoozed,
}

/// An alert of this worker and the incident it made.
#[derive(Clone, Debug)]
pub struct Owned {
    pub name: String,
    pub webhook: bool,
    pub firing: Known<bool>,
    /// Silenced since before it fired.
    pub silenced: bool,
    pub incident: Option<String>,
    pub command: Known<Answered>,
    /// When the last command was answered: for arrivals, and as the wall clock says for rows.
    pub answered_at: Option<(Instant, i64)>,
}

impl Owned {
    /// Nobody may be paged for it any more.
    pub fn is_quiet(&self) -> bool {
        matches!(self.command, Known::Is(Answered::Acknowledged | Answered::Resolved | Answered::Snoozed))
    }
}

pub struct Worker {
    pub number: usize,
    pub dice: Dice,
    pub client: reqwest::Client,
    pub base: String,
    pub alerts: Vec<Owned>,
    /// By id: whether it holds.
    pub silences: Vec<(String, Known<bool>)>,
    pub events: Events,
    pub accepted: u64,
    made: u64,
}

/// How a request ended.
enum Said {
    Done(Value),
    /// Refused: nothing changed.
    Refused,
    Nothing,
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

impl Worker {
    pub fn new(number: usize, dice: Dice, client: reqwest::Client, base: String, events: Events) -> Self {
        Self { number, dice, client, base, alerts: Vec::new(), silences: Vec::new(), events, accepted: 0, made: 0 }
    }

    /// Works until told to stop or until the server is gone.
    pub async fn live(mut self, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let goes_on = match self.dice.below(100) {
                0..45 => self.fire().await,
                45..60 => self.end().await,
                60..92 => self.command().await,
                92..97 => self.silence().await,
                _ => self.expire().await,
            };
            if !goes_on {
                break;
            }
            let pause = Duration::from_millis(self.dice.below(30));
            tokio::time::sleep(pause).await;
        }
        self
    }

    async fn send(&mut self, what: &str, request: reqwest::RequestBuilder) -> Said {
        let said = match request.send().await {
            Ok(answer) => match answer.status().as_u16() {
                200..=299 => match answer.bytes().await {
                    Ok(body) => Said::Done(serde_json::from_slice(&body).unwrap_or(Value::Null)),
                    Err(_) => Said::Nothing,
                },
                // Stopping or busy; nothing says whether it was stored.
                503 => Said::Nothing,
                _ => Said::Refused,
            },
            Err(_) => Said::Nothing,
        };
        let word = match &said {
            Said::Done(_) => "done",
            Said::Refused => "refused",
            Said::Nothing => "no answer",
        };
        self.accepted += u64::from(matches!(said, Said::Done(_)));
        self.events.add(format!("{what}: {word}"));
        said
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).json(body)
    }

    fn alert(&mut self, owned: &Owned, firing: bool) -> reqwest::RequestBuilder {
        // Dice that give the same policy for the same alert whenever it is posted.
        let policy = owned.name.bytes().map(u64::from).sum::<u64>() % POLICIES;
        let labels = json!({ "alertname": owned.name, "service": owned.name, "severity": "critical", "team": format!("t{policy}") });
        if owned.webhook {
            let status = if firing { "firing" } else { "resolved" };
            let body = json!({ "version": "4", "alerts": [{ "status": status, "labels": labels }] });
            self.post("/api/v1/alertmanager", &body)
        } else if firing {
            self.post("/api/v2/alerts", &json!([{ "labels": labels, "endsAt": "2099-01-01T00:00:00Z" }]))
        } else {
            // An end that is not told lasts until 2099, so it is said exactly.
            let now = watchfire::model::Timestamp::from_millis(now_ms()).to_string();
            self.post(
                "/api/v2/alerts",
                &json!([{ "labels": labels, "startsAt": "2020-01-01T00:00:00Z", "endsAt": now }]),
            )
        }
    }

    async fn fire(&mut self) -> bool {
        if self.alerts.len() >= ALERTS_MAX {
            return self.end().await;
        }
        self.made += 1;
        let name = format!("W{}-{}", self.number, self.made);
        let silenced = self.dice.below(10) == 0;
        if silenced && !self.put_silence(&name).await {
            return false;
        }
        let mut owned = Owned {
            name,
            webhook: self.dice.below(2) == 0,
            firing: Known::InDoubt,
            silenced,
            incident: None,
            command: Known::Is(Answered::Triggered),
            answered_at: None,
        };
        let request = self.alert(&owned, true);
        let said = self.send(&format!("fire {}", owned.name), request).await;
        let goes_on = !matches!(said, Said::Nothing);
        if matches!(said, Said::Done(_)) {
            owned.firing = Known::Is(true);
        }
        self.alerts.push(owned);
        goes_on
    }

    async fn end(&mut self) -> bool {
        let Some(mut owned) = (!self.alerts.is_empty()).then(|| self.alerts.remove(0)) else { return true };
        let request = self.alert(&owned, false);
        let said = self.send(&format!("end {}", owned.name), request).await;
        owned.firing = if matches!(said, Said::Done(_)) { Known::Is(false) } else { Known::InDoubt };
        let goes_on = !matches!(said, Said::Nothing);
        self.alerts.push(owned);
        goes_on
    }

    async fn incident_of(&mut self, name: &str) -> Option<String> {
        let url = format!("{}/api/v1/incidents", self.base);
        let query = [("filter", format!("service=\"{name}\"")), ("limit", "1".to_owned())];
        let answer = self.client.get(url).query(&query).send().await.ok()?.json::<Value>().await.ok()?;
        answer["data"]["incidents"][0]["id"].as_str().map(str::to_owned)
    }

    async fn command(&mut self) -> bool {
        let firing: Vec<usize> = (0..self.alerts.len())
            .filter(|i| self.alerts[*i].firing == Known::Is(true) && !self.alerts[*i].silenced)
            .collect();
        if firing.is_empty() {
            return true;
        }
        let index = firing[self.dice.below(firing.len() as u64) as usize];
        let mut owned = self.alerts[index].clone();
        if owned.incident.is_none() {
            owned.incident = self.incident_of(&owned.name).await;
        }
        let Some(id) = owned.incident.clone() else { return true };
        let (verb, then) = match self.dice.below(10) {
            0..5 => ("acknowledge", Answered::Acknowledged),
            5..7 => ("unacknowledge", Answered::Triggered),
            7..9 => ("snooze", Answered::Snoozed),
            _ => ("resolve", Answered::Resolved),
        };
        let body = if verb == "snooze" { json!({ "by": "ana", "duration": "2h" }) } else { json!({ "by": "ana" }) };
        let request = self.post(&format!("/api/v1/incidents/{id}/{verb}"), &body);
        let said = self.send(&format!("{verb} {id} {}", owned.name), request).await;
        let goes_on = !matches!(said, Said::Nothing);
        match said {
            Said::Done(answer) => {
                // An acknowledged incident that is snoozed stays acknowledged; the answer says what it is.
                let incident = &answer["data"]["incident"];
                let is = match incident["status"].as_str() {
                    Some("acknowledged") => Answered::Acknowledged,
                    Some("resolved") => Answered::Resolved,
                    _ if !incident["snoozed_until"].is_null() => Answered::Snoozed,
                    _ => Answered::Triggered,
                };
                let holds = is == then || verb == "snooze" || verb == "unacknowledge";
                assert!(holds, "{verb} was answered with {incident}");
                owned.command = Known::Is(is);
                owned.answered_at = Some((Instant::now(), now_ms()));
            }
            Said::Refused => {}
            Said::Nothing => owned.command = Known::InDoubt,
        }
        self.alerts[index] = owned;
        goes_on
    }

    async fn put_silence(&mut self, name: &str) -> bool {
        let at = |ms: i64| watchfire::model::Timestamp::from_millis(ms).to_string();
        let body = json!({
            "matchers": [{ "name": "alertname", "value": name, "isRegex": false, "isEqual": true }],
            "startsAt": at(now_ms()), "endsAt": at(now_ms() + 7_200_000), "createdBy": "ana", "comment": "c",
        });
        let request = self.post("/api/v2/silences", &body);
        match self.send(&format!("silence {name}"), request).await {
            Said::Done(answer) => {
                let id = answer["silenceID"].as_str().expect("a silence has an id").to_owned();
                self.silences.push((id, Known::Is(true)));
                true
            }
            Said::Refused | Said::Nothing => false,
        }
    }

    async fn silence(&mut self) -> bool {
        self.put_silence("Nobody").await
    }

    /// Only those that silence nothing: an alert that becomes audible may page.
    async fn expire(&mut self) -> bool {
        if self.silences.len() < 6 {
            return true;
        }
        let (id, _) = self.silences[0].clone();
        let used = self.alerts.iter().any(|alert| alert.silenced);
        if used {
            return true;
        }
        let request = self.client.delete(format!("{}/api/v2/silence/{id}", self.base));
        let said = self.send(&format!("expire {id}"), request).await;
        self.silences[0].1 = if matches!(said, Said::Done(_)) { Known::Is(false) } else { Known::InDoubt };
        let gone = self.silences.remove(0);
        self.silences.push(gone);
        !matches!(said, Said::Nothing)
    }

    /// What has been looked at after its end is not looked at again.
    pub fn forget_ended(&mut self) {
        self.alerts.retain(|alert| alert.firing == Known::Is(true));
        self.silences.retain(|(_, holds)| *holds == Known::Is(true));
    }
}
