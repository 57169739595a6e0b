//! The bodies of stored rows: mirrors of the model that can be written as JSON and read back.
//! In: model structs, taken apart field by field so that a new field does not compile until it is stored. Out: the same structs.
//! Never: talks to a database. A field added later has a default, so that rows written before it still read.
//! Start at [`encode`], [`decode`] and [`AlertBody`].

use super::contract::StoreError;
use crate::model::alert::{AlertRecord, Door, Lease, SourceKey};
use crate::model::write::{NflogEntry, NflogKey, RuleAlertRecord, RuleAlertState};
use crate::model::{Fingerprint, IntegrationId, Labels, MatchOp, Matcher, Silence, Timestamp};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Room for a usual alert's row, so that writing it does not grow its text again and again.
const BODY_BYTES_GUESS: usize = 1_280;

/// A body for its column. Fails only if a map had keys that are not text, which no body has.
pub(super) fn encode<T: Serialize>(body: &T) -> Result<String, StoreError> {
    let mut text = Vec::with_capacity(BODY_BYTES_GUESS);
    serde_json::to_writer(&mut text, body).map_err(|e| StoreError::Fatal(format!("a row cannot be written: {e}")))?;
    String::from_utf8(text).map_err(|e| StoreError::Fatal(format!("a row cannot be written: {e}")))
}

pub(super) fn decode<T: DeserializeOwned>(table: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| unreadable(table, &e.to_string()))
}

/// A row that this version cannot understand: starting without it would lose hard state.
pub(super) fn unreadable(table: &str, why: &str) -> StoreError {
    StoreError::Fatal(format!("a row of table {table} cannot be read: {why}"))
}

pub(super) fn known<T>(table: &str, word: &str, parsed: Option<T>) -> Result<T, StoreError> {
    parsed.ok_or_else(|| unreadable(table, &format!("unknown word {word:?}")))
}

/// Labels as a JSON object.
#[derive(Clone, Debug)]
pub(super) struct LabelsBody(pub Labels);

impl Serialize for LabelsBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = LabelsBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of label values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LabelsBody, A::Error> {
        let mut pairs: Vec<(String, String)> = Vec::with_capacity(map.size_hint().unwrap_or(8));
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(LabelsBody(Labels::from_pairs(pairs)))
    }
}

impl<'de> Deserialize<'de> for LabelsBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LabelsVisitor)
    }
}

pub(super) fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millis)
}

pub(super) fn moment(ms: Option<i64>) -> Option<Timestamp> {
    ms.map(Timestamp::from_millis)
}

/// Fingerprints as one text, their bits (little-endian) in base64: a storm's rows hold thousands of them and are written each
/// second. Rows of before have a list of numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct FingerprintsBody(pub Vec<Fingerprint>);

impl Serialize for FingerprintsBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bits: Vec<u8> = self.0.iter().flat_map(|f| f.0.to_le_bytes()).collect();
        serializer.serialize_str(&BASE64_STANDARD.encode(bits))
    }
}

struct FingerprintsVisitor;

impl<'de> Visitor<'de> for FingerprintsVisitor {
    type Value = FingerprintsBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fingerprints in base64, or a list of numbers")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<FingerprintsBody, E> {
        let bits = BASE64_STANDARD.decode(text).map_err(E::custom)?;
        let (all, rest) = bits.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(E::invalid_length(bits.len(), &self));
        }
        Ok(FingerprintsBody(all.iter().map(|bits| Fingerprint(u64::from_le_bytes(*bits))).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FingerprintsBody, A::Error> {
        let mut all = Vec::new();
        while let Some(bits) = list.next_element()? {
            all.push(Fingerprint(bits));
        }
        Ok(FingerprintsBody(all))
    }
}

impl<'de> Deserialize<'de> for FingerprintsBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FingerprintsVisitor)
    }
}

/// `fingerprint` is the row's key, `ended_at` a column.
#[derive(Serialize, Deserialize)]
pub(super) struct AlertBody {
    labels: LabelsBody,
    annotations: LabelsBody,
    generator_url: Arc<str>,
    starts_at: i64,
    updated_at: i64,
    leases: Vec<LeaseBody>,
}

#[derive(Serialize, Deserialize)]
struct LeaseBody {
    door: String,
    sender: Arc<str>,
    /// Not in rows of version 0.1.
    #[serde(default = "no_claimant", skip_serializing_if = "str::is_empty")]
    claimant: Arc<str>,
    starts_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<i64>,
    #[serde(default)]
    ends_by_timeout: bool,
    updated_at: i64,
}

impl AlertBody {
    pub(super) fn of(record: &AlertRecord) -> Self {
        let AlertRecord {
            fingerprint: _,
            labels,
            annotations,
            generator_url,
            starts_at,
            ended_at: _,
            updated_at,
            leases,
        } = record;
        Self {
            labels: LabelsBody(labels.clone()),
            annotations: LabelsBody(annotations.clone()),
            generator_url: Arc::clone(generator_url),
            starts_at: starts_at.as_millis(),
            updated_at: updated_at.as_millis(),
            leases: leases.iter().map(LeaseBody::of).collect(),
        }
    }

    pub(super) fn into_record(
        self,
        fingerprint: Fingerprint,
        ended_at: Option<Timestamp>,
    ) -> Result<AlertRecord, StoreError> {
        Ok(AlertRecord {
            fingerprint,
            labels: self.labels.0,
            annotations: self.annotations.0,
            generator_url: self.generator_url,
            starts_at: Timestamp::from_millis(self.starts_at),
            ended_at,
            updated_at: Timestamp::from_millis(self.updated_at),
            leases: self.leases.into_iter().map(LeaseBody::into_lease).collect::<Result<_, _>>()?,
        })
    }
}

fn no_claimant() -> Arc<str> {
    Arc::from("")
}

impl LeaseBody {
    fn of(lease: &Lease) -> Self {
        let Lease { source, starts_at, ends_at, ends_by_timeout, updated_at } = lease;
        let SourceKey { door, sender, claimant } = source;
        Self {
            door: door.as_str().to_owned(),
            sender: Arc::clone(sender),
            claimant: Arc::clone(claimant),
            starts_at: starts_at.as_millis(),
            ends_at: millis(*ends_at),
            ends_by_timeout: *ends_by_timeout,
            updated_at: updated_at.as_millis(),
        }
    }

    fn into_lease(self) -> Result<Lease, StoreError> {
        Ok(Lease {
            source: SourceKey {
                door: known("alert", &self.door, Door::parse(&self.door))?,
                sender: self.sender,
                claimant: self.claimant,
            },
            starts_at: Timestamp::from_millis(self.starts_at),
            ends_at: moment(self.ends_at),
            ends_by_timeout: self.ends_by_timeout,
            updated_at: Timestamp::from_millis(self.updated_at),
        })
    }
}

/// An integration by its text (`slack/0`), or by the position that version 0.1 wrote.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum IntegrationBody {
    Id(String),
    Position(u32),
}

impl IntegrationBody {
    pub(super) fn of(id: &IntegrationId) -> Self {
        Self::Id(id.to_string())
    }

    /// `kind`: what else the row says of a position; may be empty.
    pub(super) fn into_id(self, kind: &str) -> Result<IntegrationId, StoreError> {
        match self {
            Self::Id(text) => known("integration", &text, IntegrationId::parse(&text)),
            Self::Position(position) => Ok(IntegrationId::from_position(kind, position)),
        }
    }
}

/// `id` is the row's key.
#[derive(Serialize, Deserialize)]
pub(super) struct SilenceBody {
    /// Name, operator, value.
    matchers: Vec<(String, String, String)>,
    starts_at: i64,
    ends_at: i64,
    updated_at: i64,
    created_by: String,
    comment: String,
    annotations: LabelsBody,
}

impl SilenceBody {
    pub(super) fn of(silence: &Silence) -> Self {
        let Silence { id: _, matchers, starts_at, ends_at, updated_at, created_by, comment, annotations } = silence;
        let parts = |m: &Matcher| (m.name.clone(), m.op.as_str().to_owned(), m.value.clone());
        Self {
            matchers: matchers.iter().map(parts).collect(),
            starts_at: starts_at.as_millis(),
            ends_at: ends_at.as_millis(),
            updated_at: updated_at.as_millis(),
            created_by: created_by.clone(),
            comment: comment.clone(),
            annotations: LabelsBody(annotations.clone()),
        }
    }

    pub(super) fn into_silence(self, id: Arc<str>) -> Result<Silence, StoreError> {
        Ok(Silence {
            id,
            matchers: self.matchers.iter().map(matcher).collect::<Result<_, _>>()?,
            starts_at: Timestamp::from_millis(self.starts_at),
            ends_at: Timestamp::from_millis(self.ends_at),
            updated_at: Timestamp::from_millis(self.updated_at),
            created_by: self.created_by,
            comment: self.comment,
            annotations: self.annotations.0,
        })
    }
}

fn matcher((name, op, value): &(String, String, String)) -> Result<Matcher, StoreError> {
    const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    let op = known("silence", op, OPS.into_iter().find(|o| o.as_str() == op))?;
    Matcher::new(name, op, value).map_err(|e| unreadable("silence", &e))
}

/// The three parts of its key are columns.
#[derive(Serialize, Deserialize)]
pub(super) struct NflogBody {
    firing: FingerprintsBody,
    resolved: FingerprintsBody,
    #[serde(default)]
    owed: FingerprintsBody,
    at: i64,
    expires_at: i64,
}

impl NflogBody {
    pub(super) fn of(entry: &NflogEntry) -> Self {
        let NflogEntry { key: _, firing, resolved, owed, at, expires_at } = entry;
        Self {
            firing: FingerprintsBody(firing.clone()),
            resolved: FingerprintsBody(resolved.clone()),
            owed: FingerprintsBody(owed.clone()),
            at: at.as_millis(),
            expires_at: expires_at.as_millis(),
        }
    }

    pub(super) fn into_entry(self, key: NflogKey) -> NflogEntry {
        NflogEntry {
            key,
            firing: self.firing.0,
            resolved: self.resolved.0,
            owed: self.owed.0,
            at: Timestamp::from_millis(self.at),
            expires_at: Timestamp::from_millis(self.expires_at),
        }
    }
}

/// `rule` and `fingerprint` are the row's key.
#[derive(Serialize, Deserialize)]
pub(super) struct RuleAlertBody {
    labels: LabelsBody,
    annotations: LabelsBody,
    state: RuleStateBody,
    /// The bits of the value: JSON has neither NaN nor infinities, and rules have both.
    value_bits: u64,
    active_at: i64,
    fired_at: Option<i64>,
    resolved_at: Option<i64>,
    keep_firing_since: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RuleStateBody {
    Pending,
    Firing,
    Inactive,
}

impl RuleAlertBody {
    pub(super) fn of(record: &RuleAlertRecord) -> Self {
        let RuleAlertRecord {
            rule: _,
            fingerprint: _,
            labels,
            annotations,
            state,
            value,
            active_at,
            fired_at,
            resolved_at,
            keep_firing_since,
        } = record;
        Self {
            labels: LabelsBody(labels.clone()),
            annotations: LabelsBody(annotations.clone()),
            state: match state {
                RuleAlertState::Pending => RuleStateBody::Pending,
                RuleAlertState::Firing => RuleStateBody::Firing,
                RuleAlertState::Inactive => RuleStateBody::Inactive,
            },
            value_bits: value.to_bits(),
            active_at: active_at.as_millis(),
            fired_at: millis(*fired_at),
            resolved_at: millis(*resolved_at),
            keep_firing_since: millis(*keep_firing_since),
        }
    }

    pub(super) fn into_record(self, rule: Arc<str>, fingerprint: Fingerprint) -> RuleAlertRecord {
        RuleAlertRecord {
            rule,
            fingerprint,
            labels: self.labels.0,
            annotations: self.annotations.0,
            state: match self.state {
                RuleStateBody::Pending => RuleAlertState::Pending,
                RuleStateBody::Firing => RuleAlertState::Firing,
                RuleStateBody::Inactive => RuleAlertState::Inactive,
            },
            value: f64::from_bits(self.value_bits),
            active_at: Timestamp::from_millis(self.active_at),
            fired_at: moment(self.fired_at),
            resolved_at: moment(self.resolved_at),
            keep_firing_since: moment(self.keep_firing_since),
        }
    }
}
