//! `route`, `inhibit_rules`, `time_intervals`: Alertmanager's tree and what keeps alerts quiet.
//! In: the sections. Out: [`RouteConfig`]s and inhibition rules, with the places of the names they use.
//! Never: inherits from parent to child (that is `alerts::route`) or looks a name up (that is `check`).
//! Start at [`route`].

use super::matchers;
use crate::alerts::{InhibitRule, RouteSpec};
use crate::model::Matcher;
use crate::yaml::Position;
use crate::yaml::{At, Fields};
use std::sync::Arc;
use std::time::Duration;

/// Alertmanager's word for "all labels".
const GROUP_BY_ALL: &str = "...";
/// A tree that is deeper was not written by a person.
const DEPTH_MAX: usize = 64;

/// One node as it is written.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    pub at: Position,
    pub receiver: Option<At<Arc<str>>>,
    /// Ours: the policy that pages people for incidents of alerts that come this way.
    pub escalation_policy: Option<At<Arc<str>>>,
    pub group_by: Option<Vec<String>>,
    pub group_wait: Option<Duration>,
    pub group_interval: Option<Duration>,
    pub repeat_interval: Option<Duration>,
    /// `match`, `match_re` and `matchers` together.
    pub matchers: Vec<Matcher>,
    pub continues: bool,
    pub mute_time_intervals: Vec<At<Arc<str>>>,
    pub active_time_intervals: Vec<At<Arc<str>>>,
    pub routes: Vec<RouteConfig>,
}

impl RouteConfig {
    /// As `alerts::route` takes it, without the places.
    pub fn spec(&self) -> RouteSpec {
        let names = |list: &[At<Arc<str>>]| list.iter().map(|n| Arc::clone(&n.value)).collect();
        RouteSpec {
            receiver: self.receiver.as_ref().map(|r| Arc::clone(&r.value)),
            escalation_policy: self.escalation_policy.as_ref().map(|p| Arc::clone(&p.value)),
            group_by: self.group_by.clone(),
            group_wait: self.group_wait,
            group_interval: self.group_interval,
            repeat_interval: self.repeat_interval,
            mute_time_intervals: names(&self.mute_time_intervals),
            active_time_intervals: names(&self.active_time_intervals),
            matchers: self.matchers.clone(),
            continues: self.continues,
            routes: self.routes.iter().map(Self::spec).collect(),
        }
    }

    /// This node and all below it.
    pub fn walk(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        self.routes.iter().for_each(|r| r.walk(visit));
    }
}

/// Reads the whole tree and checks what holds for a root.
pub fn route(f: Fields<'_>) -> RouteConfig {
    let notes = f.notes();
    let root = node(f, 0);
    if root.receiver.is_none() && root.escalation_policy.is_none() {
        let advice = "write receiver: (or escalation_policy:) under route";
        notes.mistake_with(root.at, "root route must specify a default receiver", advice);
    }
    if !root.matchers.is_empty() {
        notes.mistake_with(root.at, "root route must not have any matchers", "move them to a route below it");
    }
    for (written, what) in [(&root.mute_time_intervals, "mute"), (&root.active_time_intervals, "active")] {
        if let Some(first) = written.first() {
            notes.mistake_with(
                first.at,
                format!("root route must not have any {what} time intervals"),
                "move them to a route below it",
            );
        }
    }
    if root.continues {
        notes.mistake_with(root.at, "cannot have continue in root route", "remove it: nothing stands beside the root");
    }
    root
}

fn node(f: Fields<'_>, depth: usize) -> RouteConfig {
    let name = |key| f.filled(key).map(|t: At<&str>| At { value: Arc::from(t.value), at: t.at });
    let mut matchers = matchers::equal(&f, "match");
    matchers.extend(matchers::regex(&f, "match_re"));
    matchers.extend(matchers::list(&f, "matchers"));
    // Labels of routes are template data of Alertmanager's newest version.
    if let Some(labels) = f.node("labels") {
        f.pairs("labels");
        f.notes().warn(labels.at, "labels of a route are not used", "Watchfire reads this field and ignores it");
    }
    if depth >= DEPTH_MAX {
        f.notes().mistake(f.at(), format!("routes are nested deeper than {DEPTH_MAX}"));
    }
    let routes = if depth < DEPTH_MAX { f.each("routes") } else { Vec::new() };
    let out = RouteConfig {
        at: f.at(),
        receiver: name("receiver"),
        escalation_policy: name("escalation_policy"),
        group_by: group_by(&f),
        group_wait: f.duration("group_wait").map(|d| d.value),
        group_interval: f.positive_duration("group_interval").map(|d| d.value),
        repeat_interval: f.positive_duration("repeat_interval").map(|d| d.value),
        matchers,
        continues: f.bool("continue").unwrap_or(false),
        mute_time_intervals: names(&f, "mute_time_intervals"),
        active_time_intervals: names(&f, "active_time_intervals"),
        routes: routes.into_iter().map(|r| node(r, depth + 1)).collect(),
    };
    f.finish();
    out
}

fn names(f: &Fields<'_>, key: &'static str) -> Vec<At<Arc<str>>> {
    let texts = f.texts(key).unwrap_or_default();
    texts.into_iter().map(|t| At { value: Arc::from(t.value), at: t.at }).collect()
}

/// Any UTF-8 name, as Alertmanager takes them, but none that begins with punctuation, a digit or a space: those are slips of
/// the pen, and Alertmanager's own table has one refused.
fn names_a_label(name: &str) -> bool {
    name.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic() || !first.is_ascii())
}

fn group_by(f: &Fields<'_>) -> Option<Vec<String>> {
    let labels = f.texts("group_by")?;
    let mut out: Vec<String> = Vec::new();
    for label in &labels {
        if label.value == GROUP_BY_ALL {
            if labels.len() > 1 {
                f.notes().mistake_with(
                    label.at,
                    "cannot have wildcard group_by (`...`) and other labels at the same time",
                    "write ['...'] alone, or the labels",
                );
            }
            return Some(vec![GROUP_BY_ALL.to_owned()]);
        }
        if !names_a_label(label.value) {
            f.notes().mistake(label.at, format!("invalid label name {:?} in group_by list", label.value));
        }
        if out.iter().any(|l| l == label.value) {
            f.notes().mistake(label.at, format!("duplicated label {:?} in group_by", label.value));
        }
        out.push(label.value.to_owned());
    }
    Some(out)
}

/// Reads `inhibit_rules`.
pub fn inhibit_rules(root: &Fields<'_>) -> Vec<InhibitRule> {
    root.each("inhibit_rules")
        .into_iter()
        .map(|f| {
            let mut source = matchers::equal(&f, "source_match");
            source.extend(matchers::regex(&f, "source_match_re"));
            source.extend(matchers::list(&f, "source_matchers"));
            let mut target = matchers::equal(&f, "target_match");
            target.extend(matchers::regex(&f, "target_match_re"));
            target.extend(matchers::list(&f, "target_matchers"));
            let equal = f.texts("equal").unwrap_or_default();
            for label in &equal {
                if !names_a_label(label.value) {
                    f.notes().mistake(label.at, format!("invalid label name {:?} in equal list", label.value));
                }
            }
            let rule = InhibitRule {
                name: f.filled("name").map(|n| Arc::from(n.value)),
                source_matchers: source,
                target_matchers: target,
                equal: equal.iter().map(|l| Arc::from(l.value)).collect(),
            };
            f.finish();
            rule
        })
        .collect()
}
