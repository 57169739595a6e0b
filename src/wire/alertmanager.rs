//! Alerts as JSON: Alertmanager's webhook (version 4) and `POST /api/v2/alerts`.
//! In: a body, `now`, the resolve timeout. Out: [`Alert`]s that are valid, and a sentence for each that is not.
//! Never: keeps an alert back because its neighbour is bad, or reads what nests deeper than [`DEPTH_MAX`].
//! Start at [`posted`] and [`webhook`].

use crate::model::{Alert, Door, Labels, Timestamp};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The longest label or annotation name, in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;
/// The longest label or annotation value, in bytes (annotations may hold a paragraph).
pub const VALUE_BYTES_MAX: usize = 16 * 1_024;
/// The most labels or annotations of one alert (Alertmanager has no limit; Prometheus alerts carry about ten).
pub const PAIRS_MAX: usize = 128;
/// How deep a body may nest; Alertmanager's own bodies nest four deep.
pub const DEPTH_MAX: usize = 32;
/// The most alerts in one body.
pub const ALERTS_MAX: usize = 100_000;

#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or not of the shape: 400.
    #[error("{0}")]
    Malformed(String),
}

/// What one body came to.
#[derive(Debug, Default)]
pub struct Decoded {
    pub alerts: Vec<Alert>,
    /// One sentence per refused alert.
    pub errors: Vec<String>,
    /// How many alerts the sender left out (webhook `max_alerts`).
    pub truncated: u64,
}

/// Pairs in the order they came, borrowed where the JSON has no escapes.
#[derive(Default)]
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Pairs::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(12);
                while let Some((Text(name), Text(value))) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    if pairs.len() == PAIRS_MAX {
                        return Err(A::Error::custom(format!("more than {PAIRS_MAX} labels or annotations")));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_any(PairsVisitor)
    }
}

/// A string that borrows when it can; serde's own `Cow` always copies.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    #[serde(borrow, default)]
    labels: Pairs<'a>,
    #[serde(borrow, default)]
    annotations: Pairs<'a>,
    #[serde(borrow, default)]
    starts_at: Option<Text<'a>>,
    #[serde(borrow, default)]
    ends_at: Option<Text<'a>>,
    #[serde(borrow, rename = "generatorURL", default)]
    generator_url: Option<Text<'a>>,
    /// The webhook's only.
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
}

/// At most [`ALERTS_MAX`]; one more ends the reading, before its memory is taken.
struct List<'a>(Vec<Posted<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = List<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of alerts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(alert) = seq.next_element()? {
                    if list.len() == ALERTS_MAX {
                        return Err(A::Error::custom(format!(
                            "more than {ALERTS_MAX} alerts in one body: send them in parts"
                        )));
                    }
                    list.push(alert);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_seq(ListVisitor)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook<'a> {
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    alerts: List<'a>,
    #[serde(default)]
    truncated_alerts: u64,
}

/// Reads `POST /api/v2/alerts`: an array of postable alerts (protocol facts, section 4).
pub fn posted(body: &[u8], now: Timestamp, resolve_timeout: Duration) -> Result<Decoded, JsonError> {
    shallow(body)?;
    let List(posted) = serde_json::from_slice(body).map_err(|e| JsonError::Malformed(e.to_string()))?;
    let mut decoded = Decoded::default();
    for (index, post) in posted.iter().enumerate() {
        let alert = times(post).and_then(|(starts, ends)| {
            let (starts_at, ends_at, ends_by_timeout) = match (starts, ends) {
                (starts, Some(ends)) => (starts.unwrap_or_else(|| now.min(ends)), ends, false),
                (starts, None) => (starts.unwrap_or(now), now + resolve_timeout, true),
            };
            if ends_at < starts_at {
                return Err("start time must be before end time".to_owned());
            }
            build(post, starts_at, Some(ends_at), ends_by_timeout, Door::AlertmanagerApi)
        });
        decoded.take(index, alert);
    }
    Ok(decoded)
}

/// Reads Alertmanager's webhook, version 4 (protocol facts, section 5). A firing alert there has no end until it is told.
pub fn webhook(body: &[u8], now: Timestamp) -> Result<Decoded, JsonError> {
    shallow(body)?;
    let hook: Webhook<'_> = serde_json::from_slice(body).map_err(|e| JsonError::Malformed(e.to_string()))?;
    if hook.version.0 != "4" {
        return Err(JsonError::Malformed(format!(
            "webhook version {:?} is not known, send version \"4\"",
            hook.version.0
        )));
    }
    let mut decoded = Decoded { truncated: hook.truncated_alerts, ..Decoded::default() };
    for (index, post) in hook.alerts.0.iter().enumerate() {
        let alert = times(post).and_then(|(starts, ends)| {
            let starts_at = starts.unwrap_or(now);
            let ends_at = match post.status.as_ref().map(|s| s.0.as_ref()) {
                Some("firing") => None,
                Some("resolved") => Some(ends.unwrap_or(now).max(starts_at)),
                None => ends.filter(|end| *end <= now).map(|end| end.max(starts_at)),
                Some(other) => return Err(format!("status {other:?} is neither firing nor resolved")),
            };
            build(post, starts_at, ends_at, false, Door::AlertmanagerWebhook)
        });
        decoded.take(index, alert);
    }
    Ok(decoded)
}

impl Decoded {
    fn take(&mut self, index: usize, alert: Result<Alert, String>) {
        match alert {
            Ok(alert) => self.alerts.push(alert),
            Err(reason) => self.errors.push(format!("alert {index}: {reason}")),
        }
    }
}

/// One pass over the bytes: fields that we skip may not nest without end either.
fn shallow(body: &[u8]) -> Result<(), JsonError> {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at += string_len(&body[at..]),
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(JsonError::Malformed(format!("nested deeper than {DEPTH_MAX} levels")));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// The length of a string that has begun, its closing quote included; all of `rest` when it has none.
fn string_len(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Start and end as they were sent; Go's zero time counts as not sent.
fn times(post: &Posted<'_>) -> Result<(Option<Timestamp>, Option<Timestamp>), String> {
    let read = |name: &str, text: &Option<Text<'_>>| match text {
        None => Ok(None),
        Some(text) if text.0.is_empty() => Ok(None),
        Some(text) => Timestamp::parse_rfc3339(&text.0)
            .map(|t| Some(t).filter(|t| !t.is_go_zero()))
            .ok_or_else(|| format!("{name} {:?} is not an RFC 3339 time", text.0)),
    };
    Ok((read("startsAt", &post.starts_at)?, read("endsAt", &post.ends_at)?))
}

fn build(
    post: &Posted<'_>,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
    ends_by_timeout: bool,
    door: Door,
) -> Result<Alert, String> {
    let labels = pairs("label", &post.labels)?;
    if labels.is_empty() {
        return Err("at least one label pair required".to_owned());
    }
    let annotations = pairs("annotation", &post.annotations)?;
    let generator_url: Arc<str> = post.generator_url.as_ref().map_or("", |t| t.0.as_ref()).into();
    Ok(Alert { labels, annotations, generator_url, starts_at, ends_at, ends_by_timeout, door, claimant: Arc::from("") })
}

fn pairs(what: &str, pairs: &Pairs<'_>) -> Result<Labels, String> {
    for (name, value) in &pairs.0 {
        if name.is_empty() {
            return Err(format!("invalid {what} set: a name is empty"));
        }
        if name.len() > NAME_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            let shown: String = name.chars().take(64).collect();
            return Err(format!(
                "{what} {shown:?} is too long: names hold at most {NAME_BYTES_MAX} bytes, values {VALUE_BYTES_MAX}"
            ));
        }
    }
    Ok(Labels::from_refs(pairs.0.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const TIMEOUT: Duration = Duration::from_secs(300);

    fn post(body: &str) -> Decoded {
        posted(body.as_bytes(), NOW, TIMEOUT).unwrap()
    }

    #[test]
    fn missing_times_are_filled_in() {
        let alert = &post(r#"[{"labels":{"alertname":"A","x":""}}]"#).alerts[0];
        assert_eq!((alert.starts_at, alert.ends_at, alert.ends_by_timeout), (NOW, Some(NOW + TIMEOUT), true));
        assert_eq!(alert.labels, Labels::from_pairs([("alertname", "A")]));
        let alert = &post(r#"[{"labels":{"a":"1"},"endsAt":"2023-01-01T00:00:00Z"}]"#).alerts[0];
        assert_eq!(Some(alert.starts_at), alert.ends_at);
        assert!(!alert.ends_by_timeout);
    }

    #[test]
    fn bad_neighbours_do_not_hurt() {
        let decoded = post(
            r#"[{"labels":{}},{"labels":{"a":"b"}},{"labels":{"":"b"}},
                {"labels":{"a":"c"},"startsAt":"2023-01-02T00:00:00Z","endsAt":"2023-01-01T00:00:00Z"},
                {"labels":{"a":"d"},"startsAt":"yesterday"}]"#,
        );
        assert_eq!((decoded.alerts.len(), decoded.errors.len()), (1, 4), "{:?}", decoded.errors);
        assert_eq!(decoded.errors[0], "alert 0: at least one label pair required");
    }

    #[test]
    fn webhook_alerts_stay_open_until_told() {
        let body = r#"{"version":"4","groupKey":"k","status":"firing","receiver":"r","new":{"x":[1]},"alerts":[
            {"status":"firing","labels":{"alertname":"A"},"startsAt":"2023-01-01T00:00:00.5+01:00","endsAt":"0001-01-01T00:00:00Z"},
            {"status":"resolved","labels":{"alertname":"B"},"startsAt":"2023-01-01T00:00:00Z","endsAt":"2023-01-01T01:00:00Z"}]}"#;
        let decoded = webhook(body.as_bytes(), NOW).unwrap();
        assert_eq!(decoded.alerts[0].ends_at, None);
        assert_eq!(decoded.alerts[0].starts_at.to_rfc3339(), "2022-12-31T23:00:00.500Z");
        assert_eq!(decoded.alerts[1].ends_at.unwrap().to_rfc3339(), "2023-01-01T01:00:00.000Z");
    }

    /// Found by the fuzzer: no status, no start, and an end in the past gave an alert that ended before it began.
    #[test]
    fn no_alert_ends_before_it_begins() {
        let body = br#"{"version":"4","alerts":[{"labels":{"a":"b"},"endsAt":"2020-01-01T00:00:00Z"}]}"#;
        let alert = &webhook(body, NOW).unwrap().alerts[0];
        assert_eq!((alert.starts_at, alert.ends_at), (NOW, Some(NOW)));
    }

    #[test]
    fn too_many_alerts_are_refused_while_they_are_read() {
        let body = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert_eq!(post(&body(ALERTS_MAX)).errors.len(), ALERTS_MAX);
        let error = posted(body(ALERTS_MAX + 1).as_bytes(), NOW, TIMEOUT).unwrap_err().to_string();
        assert!(error.contains("more than 100000 alerts in one body"), "{error}");
    }

    #[test]
    fn bad_bodies_are_refused() {
        let deep = format!("[{{\"labels\":{{\"a\":\"b\"}},\"x\":{}1{}}}]", "[".repeat(10_000), "]".repeat(10_000));
        for body in ["", "{}", "[1]", r#"[{"labels":{"a":1}}]"#, "[{\"labels\":{\"a\":\"\u{0}", deep.as_str()] {
            assert!(posted(body.as_bytes(), NOW, TIMEOUT).is_err(), "{body:.60}");
        }
        assert!(posted(b"[{\"labels\":{\"a\":\"\xff\"}}]", NOW, TIMEOUT).is_err());
        assert!(webhook(br#"{"version":"3","alerts":[]}"#, NOW).is_err());
    }
}
