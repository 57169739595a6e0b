//! The routing tree: which receivers and policies an alert goes to, and how it is grouped for them.
//! In: the configured tree and an alert's labels. Out: the nodes that take the alert, in order.
//! Never: allocates for a node that does not match, or holds timers (`group` does).
//! Start at [`Route::build`] and [`Route::match_all`].

use crate::alerts::quote::{labels_text, matcher_quoted};
use crate::model::matcher::all_match;
use crate::model::{Labels, Matcher};
use std::sync::Arc;
use std::time::Duration;

/// Alertmanager's defaults for the root.
pub const GROUP_WAIT: Duration = Duration::from_secs(30);
pub const GROUP_INTERVAL: Duration = Duration::from_mins(5);
pub const REPEAT_INTERVAL: Duration = Duration::from_hours(4);
/// Levels of nesting; deeper trees are a mistake and would cost stack.
pub const DEPTH_MAX: usize = 64;
/// The `group_by` entry that means "all labels".
pub const GROUP_BY_ALL: &str = "...";

/// One route as configured; what is `None` is inherited.
#[derive(Clone, Debug, Default)]
pub struct RouteSpec {
    pub receiver: Option<Arc<str>>,
    pub escalation_policy: Option<Arc<str>>,
    /// Label names, or `...` alone.
    pub group_by: Option<Vec<String>>,
    pub group_wait: Option<Duration>,
    pub group_interval: Option<Duration>,
    pub repeat_interval: Option<Duration>,
    /// Not inherited, as in Alertmanager.
    pub mute_time_intervals: Vec<Arc<str>>,
    pub active_time_intervals: Vec<Arc<str>>,
    /// `match`, `match_re` (see `matchers::from_match_re`) and `matchers` together; all must hold.
    pub matchers: Vec<Matcher>,
    pub continues: bool,
    pub routes: Vec<RouteSpec>,
}

/// What is wrong with a tree; the texts are Alertmanager's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("root route must specify a default receiver")]
    NoReceiver,
    #[error("root route must not have any matchers")]
    RootMatchers,
    #[error("cannot have continue in root route")]
    RootContinue,
    #[error("root route must not have any mute time intervals")]
    RootMuteIntervals,
    #[error("root route must not have any active time intervals")]
    RootActiveIntervals,
    #[error("duplicated label \"{0}\" in group_by")]
    DuplicateGroupBy(String),
    #[error("invalid label name \"{0}\" in group_by list")]
    InvalidGroupBy(String),
    #[error("cannot have wildcard group_by (`...`) and other labels at the same time")]
    WildcardAmongLabels,
    #[error("group_interval cannot be zero")]
    ZeroGroupInterval,
    #[error("repeat_interval cannot be zero")]
    ZeroRepeatInterval,
    #[error("routes are nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// By which labels a node forms its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Every label set is a group of its own.
    All,
    /// Sorted; empty means one group for the whole node.
    Labels(Vec<Arc<str>>),
}

impl GroupBy {
    fn parse(names: &[String]) -> Result<Self, RouteError> {
        let mut labels: Vec<Arc<str>> = Vec::with_capacity(names.len());
        for name in names {
            if name == GROUP_BY_ALL {
                return if names.len() == 1 { Ok(Self::All) } else { Err(RouteError::WildcardAmongLabels) };
            }
            if name.is_empty() {
                return Err(RouteError::InvalidGroupBy(name.clone()));
            }
            if labels.iter().any(|l| **l == **name) {
                return Err(RouteError::DuplicateGroupBy(name.clone()));
            }
            labels.push(Arc::from(name.as_str()));
        }
        labels.sort_unstable();
        Ok(Self::Labels(labels))
    }

    /// The labels of the group that an alert belongs to.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match self {
            Self::All => labels.clone(),
            Self::Labels(names) if names.is_empty() => Labels::empty(),
            Self::Labels(names) => labels.retain(|name, _| names.binary_search_by(|n| (**n).cmp(name)).is_ok()),
        }
    }
}

/// One node with everything inherited filled in.
#[derive(Clone, Debug)]
pub struct RouteNode {
    /// Its place in [`Route::nodes`]: depth first, the root is 0. Groups are kept by it.
    pub index: usize,
    /// Whom its groups are announced to; `None` when it only pages.
    pub receiver: Option<Arc<str>>,
    /// Whose steps an incident of its alerts runs; `None` when it only announces.
    pub escalation_policy: Option<Arc<str>>,
    pub group_by: GroupBy,
    pub group_wait: Duration,
    pub group_interval: Duration,
    pub repeat_interval: Duration,
    pub mute_time_intervals: Vec<Arc<str>>,
    pub active_time_intervals: Vec<Arc<str>>,
    /// Sorted by name and value, as the key prints them.
    pub matchers: Vec<Matcher>,
    pub continues: bool,
    /// The matchers from the root down, as Alertmanager prints them: `{}/{owner="team-A"}`.
    pub key: Arc<str>,
    pub children: Vec<usize>,
}

impl RouteNode {
    /// The key of one of its groups: `{}/{owner="team-A"}:{alertname="X"}`.
    pub fn group_key(&self, group_labels: &Labels) -> Arc<str> {
        let mut text = String::with_capacity(self.key.len() + group_labels.size_bytes() + 16);
        text.push_str(&self.key);
        text.push(':');
        labels_text(&mut text, group_labels);
        Arc::from(text)
    }
}

/// The tree, flattened.
#[derive(Clone, Debug)]
pub struct Route {
    nodes: Vec<RouteNode>,
}

impl Route {
    /// Fills in what is inherited and refuses what Alertmanager refuses. Whether receivers, policies and intervals
    /// exist is for the caller, who has the lists.
    pub fn build(root: &RouteSpec) -> Result<Self, RouteError> {
        if root.receiver.is_none() && root.escalation_policy.is_none() {
            return Err(RouteError::NoReceiver);
        }
        if !root.matchers.is_empty() {
            return Err(RouteError::RootMatchers);
        }
        if root.continues {
            return Err(RouteError::RootContinue);
        }
        if !root.mute_time_intervals.is_empty() {
            return Err(RouteError::RootMuteIntervals);
        }
        if !root.active_time_intervals.is_empty() {
            return Err(RouteError::RootActiveIntervals);
        }
        let mut nodes = Vec::new();
        add(&mut nodes, root, None, 0)?;
        Ok(Self { nodes })
    }

    /// The nodes that take an alert with these labels, in order; never empty. Depth first: a matching child takes it
    /// and ends the search among its siblings unless it says `continue`; a node no child of which matches takes it itself.
    pub fn match_all(&self, labels: &Labels) -> Vec<&RouteNode> {
        let mut found = Vec::new();
        self.descend(0, labels, &mut found);
        found
    }

    /// Depth first; the root is first.
    pub fn nodes(&self) -> &[RouteNode] {
        &self.nodes
    }

    fn descend<'a>(&'a self, at: usize, labels: &Labels, found: &mut Vec<&'a RouteNode>) {
        let node = &self.nodes[at];
        let before = found.len();
        for child in &node.children {
            let child = &self.nodes[*child];
            if all_match(&child.matchers, labels) {
                self.descend(child.index, labels, found);
                if !child.continues {
                    break;
                }
            }
        }
        if found.len() == before {
            found.push(node);
        }
    }
}

fn add(nodes: &mut Vec<RouteNode>, spec: &RouteSpec, parent: Option<usize>, depth: usize) -> Result<(), RouteError> {
    if depth > DEPTH_MAX {
        return Err(RouteError::TooDeep);
    }
    if spec.group_interval == Some(Duration::ZERO) {
        return Err(RouteError::ZeroGroupInterval);
    }
    if spec.repeat_interval == Some(Duration::ZERO) {
        return Err(RouteError::ZeroRepeatInterval);
    }
    let up = parent.map(|p| &nodes[p]);
    let group_by = match (&spec.group_by, up) {
        (Some(names), _) => GroupBy::parse(names)?,
        (None, Some(up)) => up.group_by.clone(),
        (None, None) => GroupBy::Labels(Vec::new()),
    };
    let mut matchers = spec.matchers.clone();
    matchers.sort_by(|a, b| (&a.name, &a.value, a.op).cmp(&(&b.name, &b.value, b.op)));
    let index = nodes.len();
    let node = RouteNode {
        index,
        receiver: spec.receiver.clone().or_else(|| up?.receiver.clone()),
        escalation_policy: spec.escalation_policy.clone().or_else(|| up?.escalation_policy.clone()),
        group_by,
        group_wait: spec.group_wait.unwrap_or(up.map_or(GROUP_WAIT, |u| u.group_wait)),
        group_interval: spec.group_interval.unwrap_or(up.map_or(GROUP_INTERVAL, |u| u.group_interval)),
        repeat_interval: spec.repeat_interval.unwrap_or(up.map_or(REPEAT_INTERVAL, |u| u.repeat_interval)),
        mute_time_intervals: spec.mute_time_intervals.clone(),
        active_time_intervals: spec.active_time_intervals.clone(),
        key: key_text(up.map(|u| &*u.key), &matchers),
        matchers,
        continues: spec.continues,
        children: Vec::with_capacity(spec.routes.len()),
    };
    nodes.push(node);
    for child in &spec.routes {
        let at = nodes.len();
        nodes[index].children.push(at);
        add(nodes, child, Some(index), depth + 1)?;
    }
    Ok(())
}

fn key_text(parent: Option<&str>, matchers: &[Matcher]) -> Arc<str> {
    let mut text = parent.map_or_else(String::new, |p| format!("{p}/"));
    text.push('{');
    for (i, matcher) in matchers.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        if matcher.name.contains(super::matchers::is_reserved) {
            matcher_quoted(&mut text, &matcher.name);
        } else {
            text.push_str(&matcher.name);
        }
        text.push_str(matcher.op.as_str());
        matcher_quoted(&mut text, &matcher.value);
    }
    text.push('}');
    Arc::from(text)
}
