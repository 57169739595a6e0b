//! Silences: the list that operators keep, and which of them mute an alert.
//! In: commands with a ready-made id, and labels. Out: changed rows to store, and the ids that mute.
//! Never: makes an id (no randomness here) or deletes before [`RETENTION`] has passed.
//! Start at [`Silences::set`] and [`Silences::silenced_by`].

use crate::model::matcher::all_match;
use crate::model::silence::SilenceState;
use crate::model::{Labels, MatchOp, Matcher, Silence, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Kept so long after their end, so that people can see what was silenced and bring it back (Alertmanager's default).
pub const RETENTION: Duration = Duration::from_hours(120);
/// Silences kept, expired ones included; people make dozens, scripts gone wrong make millions.
pub const SILENCES_MAX: usize = 50_000;
/// Matchers in one silence.
pub const MATCHERS_MAX: usize = 100;

/// Why a silence was refused. The API puts "Failed to create silence: " before it, as Alertmanager does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// Answer 400.
    #[error("{0}")]
    Invalid(String),
    /// Answer 404.
    #[error("silence not found")]
    NotFound,
    /// Answer 503.
    #[error("too many silences: {SILENCES_MAX} are kept already")]
    Full,
}

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceSet {
    /// The id in force: the one that was given when it could be updated in place, else the new one.
    pub id: Arc<str>,
    /// Rows to store: the silence, after the one it replaces where there is one.
    pub rows: Vec<Arc<Silence>>,
}

/// The list, indexed by the value of one `=` matcher of each silence that has one.
#[derive(Default)]
pub struct Silences {
    by_id: HashMap<Arc<str>, Arc<Silence>>,
    by_value: HashMap<String, HashMap<String, Vec<Arc<str>>>>,
    /// Those without an `=` matcher to be found by.
    scanned: Vec<Arc<str>>,
    /// Every start and end, for [`Silences::next_change`].
    changes: BTreeSet<(Timestamp, Arc<str>)>,
    version: u64,
}

impl Silences {
    pub fn new() -> Self {
        Self::default()
    }

    /// From stored rows.
    pub fn restore(silences: impl IntoIterator<Item = Arc<Silence>>) -> Self {
        let mut list = Self::default();
        for silence in silences {
            list.put(silence);
        }
        list
    }

    /// Creates a silence (empty `id`) or changes one. In place only if the matchers are the same and the past stays as
    /// it was: an active one keeps its start (to the second) and does not end before now, a pending one does not start
    /// before now. Otherwise the old one expires and the change becomes a silence of its own under `new_id`.
    pub fn set(&mut self, mut silence: Silence, new_id: Arc<str>, now: Timestamp) -> Result<SilenceSet, SilenceError> {
        if silence.starts_at.is_go_zero() {
            silence.starts_at = now;
        }
        validate(&silence, now)?;
        let previous = match &*silence.id {
            "" => None,
            id => Some(Arc::clone(self.by_id.get(id).ok_or(SilenceError::NotFound)?)),
        };
        silence.updated_at = now;
        if let Some(old) = &previous
            && can_update(old, &silence, now)
        {
            let id = Arc::clone(&old.id);
            let row = self.put(Arc::new(silence));
            return Ok(SilenceSet { id, rows: vec![row] });
        }
        if self.by_id.len() >= SILENCES_MAX {
            return Err(SilenceError::Full);
        }
        let mut rows = Vec::with_capacity(2);
        if let Some(old) = previous {
            rows.extend(self.expire(&old.id, now)?);
        }
        silence.id = Arc::clone(&new_id);
        silence.starts_at = silence.starts_at.max(now);
        rows.push(self.put(Arc::new(silence)));
        Ok(SilenceSet { id: new_id, rows })
    }

    /// Ends a silence now; `None` when it had ended already.
    pub fn expire(&mut self, id: &str, now: Timestamp) -> Result<Option<Arc<Silence>>, SilenceError> {
        let old = self.by_id.get(id).ok_or(SilenceError::NotFound)?;
        let mut silence = Silence::clone(old);
        match old.state(now) {
            SilenceState::Expired => return Ok(None),
            SilenceState::Active => {}
            SilenceState::Pending => silence.starts_at = now,
        }
        silence.ends_at = now;
        silence.updated_at = now;
        Ok(Some(self.put(Arc::new(silence))))
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Silence>> {
        self.by_id.get(id)
    }

    /// The silences in one of `states` that have every matcher of `filter` literally (name, operator, value):
    /// active by end, then pending by start, then expired with the latest end first.
    pub fn query(&self, filter: &[Matcher], states: &[SilenceState], now: Timestamp) -> Vec<Arc<Silence>> {
        let fits = |s: &Silence| states.contains(&s.state(now)) && filter.iter().all(|m| s.matchers.contains(m));
        let mut found: Vec<Arc<Silence>> = self.by_id.values().filter(|s| fits(s)).cloned().collect();
        found.sort_by_cached_key(|s| {
            let state = s.state(now);
            let by = match state {
                SilenceState::Active => s.ends_at.as_millis(),
                SilenceState::Pending => s.starts_at.as_millis(),
                SilenceState::Expired => s.ends_at.as_millis().saturating_neg(),
            };
            (state, by, Arc::clone(&s.id))
        });
        found
    }

    /// Ids of the active silences that match, sorted. Allocates only when there are any.
    pub fn silenced_by(&self, labels: &Labels, now: Timestamp) -> Vec<Arc<str>> {
        let mut ids = Vec::new();
        let mut look = |candidates: &[Arc<str>]| {
            for id in candidates {
                if let Some(silence) = self.by_id.get(id)
                    && silence.state(now) == SilenceState::Active
                    && all_match(&silence.matchers, labels)
                {
                    ids.push(Arc::clone(id));
                }
            }
        };
        look(&self.scanned);
        if !self.by_value.is_empty() {
            for (name, value) in labels {
                if let Some(candidates) = self.by_value.get(name).and_then(|values| values.get(value)) {
                    look(candidates);
                }
            }
        }
        ids.sort_unstable();
        ids
    }

    /// When the next silence starts or ends after `now`: what is muted may change then without a command.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let after = Timestamp::from_millis(now.as_millis().saturating_add(1));
        self.changes.range((after, Arc::from(""))..).next().map(|(at, _)| *at)
    }

    /// Counts commands; with the time of the last [`Silences::next_change`], an answer may be kept by it.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Forgets what ended longer than [`RETENTION`] ago; returns the ids to drop from the store.
    pub fn gc(&mut self, now: Timestamp) -> Vec<Arc<str>> {
        let old: Vec<Arc<str>> =
            self.by_id.values().filter(|s| s.ends_at + RETENTION <= now).map(|s| Arc::clone(&s.id)).collect();
        for id in &old {
            self.take(id);
        }
        old
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Silence>> {
        self.by_id.values()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn put(&mut self, silence: Arc<Silence>) -> Arc<Silence> {
        self.take(&silence.id);
        let id = Arc::clone(&silence.id);
        self.changes.insert((silence.starts_at, Arc::clone(&id)));
        self.changes.insert((silence.ends_at, Arc::clone(&id)));
        match index_matcher(&silence) {
            Some(m) => {
                let values = self.by_value.entry(m.name.clone()).or_default();
                values.entry(m.value.clone()).or_default().push(Arc::clone(&id));
            }
            None => self.scanned.push(Arc::clone(&id)),
        }
        self.by_id.insert(id, Arc::clone(&silence));
        self.version += 1;
        silence
    }

    fn take(&mut self, id: &str) {
        let Some(silence) = self.by_id.remove(id) else { return };
        self.version += 1;
        self.changes.remove(&(silence.starts_at, Arc::clone(&silence.id)));
        self.changes.remove(&(silence.ends_at, Arc::clone(&silence.id)));
        let Some(m) = index_matcher(&silence) else {
            self.scanned.retain(|s| **s != *id);
            return;
        };
        let Some(values) = self.by_value.get_mut(&m.name) else { return };
        if let Some(ids) = values.get_mut(&m.value) {
            ids.retain(|s| **s != *id);
            if ids.is_empty() {
                values.remove(&m.value);
            }
        }
        if values.is_empty() {
            self.by_value.remove(&m.name);
        }
    }
}

/// The matcher that a silence is found by: the first `=` with a value, an alert's name last because many share it.
fn index_matcher(silence: &Silence) -> Option<&Matcher> {
    let exact = || silence.matchers.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty());
    exact().find(|m| m.name != crate::model::labels::ALERT_NAME).or_else(|| exact().next())
}

fn validate(silence: &Silence, now: Timestamp) -> Result<(), SilenceError> {
    let refuse = |text: &str| Err(SilenceError::Invalid(text.to_owned()));
    if silence.starts_at >= silence.ends_at {
        return refuse("start time must be before end time");
    }
    if silence.ends_at < now {
        return refuse("end time can't be in the past");
    }
    if silence.matchers.is_empty() {
        return refuse("invalid silence: at least one matcher required");
    }
    if silence.matchers.len() > MATCHERS_MAX {
        return refuse("invalid silence: more than 100 matchers");
    }
    if let Some(i) = silence.matchers.iter().position(|m| m.name.is_empty()) {
        return Err(SilenceError::Invalid(format!(
            "invalid silence: invalid label matcher {i}: invalid label name \"\""
        )));
    }
    if silence.matchers.iter().all(selects_everything) {
        return refuse("invalid silence: at least one matcher must not match the empty string");
    }
    Ok(())
}

/// As Alertmanager counts it: `env!="prod"` and `env!~"a|b"` are enough for a silence, though they match the empty string too.
fn selects_everything(matcher: &Matcher) -> bool {
    matches!(matcher.op, MatchOp::Equal | MatchOp::Regex) && matcher.matches_empty()
}

fn can_update(old: &Silence, new: &Silence, now: Timestamp) -> bool {
    let second = |t: Timestamp| t.as_millis().div_euclid(1000);
    old.matchers == new.matchers
        && match old.state(now) {
            SilenceState::Active => second(old.starts_at) == second(new.starts_at) && new.ends_at >= now,
            SilenceState::Pending => new.starts_at >= now,
            SilenceState::Expired => false,
        }
}
