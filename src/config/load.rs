//! Load: a file becomes a [`Config`], or a list of everything that is wrong with it.
//! In: a path or a text. Out: [`Loaded`].
//! Never: half a configuration: with one mistake there is none.
//! Start at [`load`].

use super::check::Names;
use super::checked::{Config, Overrides, Tree};
use super::files;
use super::glob;
use super::global::{Global, global};
use super::heartbeats;
use super::ingest;
use super::intervals::{Interval, intervals};
use super::named::{FileKind, kind_of, read_rules, read_templates, rule_file, rule_warnings};
use super::people;
use super::probes;
use super::receivers::{Receiver, receivers};
use super::routing::{RouteConfig, inhibit_rules, route};
use super::server;
use super::trial;
use crate::alerts::Route;
use crate::escalation::{EscalationPolicy, Schedule, User};
use crate::notify::Defaults;
use crate::promql::Features;
use crate::rules::Reading;
use crate::yaml::Fields;
use crate::yaml::{self, Node, Position, Value};
use crate::yaml::{Mistake, Mistakes, Notes, Warning};
use std::path::Path;

/// What runs when no file is named, and what a file without `route` and `receivers` is filled up with.
pub const DEFAULT_YAML: &str = "\
route:
  receiver: default
  group_by: [alertname, cluster]
  escalation_policy: default
receivers:
  - name: default
    log_configs: [{}]
escalation_policies:
  - name: default
    steps:
      - { after: 0s, notify: [{ receiver: default }] }
";
/// The rules that are read when no file is named: those of the working folder, if it has any.
const DEFAULT_RULE_FILES: &str = "rules/*.yml";

/// A configuration that may be used, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Warning>,
}

/// Whether files that a configuration names are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// They must be there and readable.
    Check,
    /// The text alone is judged.
    Ignore,
}

/// Loads a file, or the built-in configuration, for whom rules are of no account: they may use the whole language.
pub fn load(path: Option<&Path>) -> Result<Loaded, Mistakes> {
    load_with(path, Features::ALL)
}

fn load_with(path: Option<&Path>, features: Features) -> Result<Loaded, Mistakes> {
    let Some(path) = path else { return built_in(features) };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let mut mistake = Mistake::new(&name, Position::default(), format!("cannot read the configuration: {error}"));
        mistake.advice = Some("name another file with --config.file, or none to use the defaults".to_owned());
        Mistakes(vec![mistake])
    })?;
    let mut loaded = parse_with(&text, &name, Files::Check, Reading { features, ..Reading::default() })?;
    loaded.config.path = Some(path.to_owned());
    Ok(loaded)
}

/// What a server starts with, and takes at each reload: the file, the flags over it, and the rule that nobody listens
/// to the network without authentication by accident.
pub fn start(path: Option<&Path>, flags: &Overrides, insecure: bool) -> Result<Loaded, Mistakes> {
    let mut loaded = load_with(path, flags.features)?;
    loaded.config.apply(flags);
    let file = path.map(|p| p.display().to_string()).unwrap_or_default();
    loaded
        .config
        .check_exposure(insecure)
        .map_err(|text| Mistakes(vec![Mistake::new(&file, Position::default(), text)]))?;
    Ok(loaded)
}

fn built_in(features: Features) -> Result<Loaded, Mistakes> {
    let reading = Reading { features, ..Reading::default() };
    let mut loaded = parse(DEFAULT_YAML, "", Files::Check)?;
    let mut mistakes = Vec::new();
    let config = &mut loaded.config;
    for path in glob::expand(Path::new(DEFAULT_RULE_FILES)) {
        match std::fs::read_to_string(&path) {
            Ok(text) if kind_of(&text) == FileKind::RuleTests => {}
            Ok(text) => match rule_file(&path, &text, reading) {
                Ok(rules) => {
                    loaded.warnings.extend(rule_warnings(&rules));
                    config.rule_files.push(path);
                    config.rules.push(rules);
                }
                Err(Mistakes(found)) => mistakes.extend(found),
            },
            Err(error) => {
                let file = path.display().to_string();
                mistakes.push(Mistake::new(&file, Position::default(), error.to_string()));
            }
        }
    }
    config.built_in_rules = config.rule_files.is_empty();
    if mistakes.is_empty() { Ok(loaded) } else { Err(Mistakes(mistakes)) }
}

/// Reads `text`; `file` is its name in messages, and relative paths start in its folder.
pub fn parse(text: &str, file: &str, files: Files) -> Result<Loaded, Mistakes> {
    parse_with(text, file, files, Reading::default())
}

/// The same, with rule files read as it is wanted.
pub fn parse_with(text: &str, file: &str, files: Files, reading: Reading) -> Result<Loaded, Mistakes> {
    let mut tree = yaml::parse(text).map_err(|(at, message)| Mistakes(vec![Mistake::new(file, at, message)]))?;
    fill_up(&mut tree);
    let notes = Notes::new(file, files == Files::Check);
    let config = read(&tree, &notes, files, reading);
    let warnings = notes.into_result()?;
    // Without a mistake every section was read.
    let config = config.ok_or_else(|| Mistakes(vec![Mistake::new(file, tree.at, "no route provided in config")]))?;
    Ok(Loaded { config, warnings })
}

/// Gives a file without `route` and `receivers` those of [`DEFAULT_YAML`].
fn fill_up(tree: &mut Node) {
    if tree.value == Value::Null {
        tree.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut tree.value else { return };
    let has = |entries: &[(yaml::Key, Node)], key: &str| entries.iter().any(|(k, _)| k.name == key);
    if has(entries, "route") || has(entries, "receivers") {
        return;
    }
    if let Ok(Node { value: Value::Map(defaults), .. }) = yaml::parse(DEFAULT_YAML) {
        for (key, node) in defaults {
            if !has(entries, &key.name) {
                entries.push((key, node));
            }
        }
    }
}

/// The sections that name each other.
struct People {
    receivers: Vec<Receiver>,
    route: Option<RouteConfig>,
    time_intervals: Vec<Interval>,
    policies: Vec<EscalationPolicy>,
    schedules: Vec<Schedule>,
    users: Vec<User>,
}

/// Reads them, and looks up every name that they use.
fn people(root: &Fields<'_>, defaults: &Defaults<'_>, notes: &Notes) -> People {
    let receivers = receivers(root, defaults);
    let route = root.fields("route").map(route);
    if route.is_none() && root.node("route").is_none() {
        let advice = "write route: with receiver: and the name of one of the receivers";
        notes.mistake_with(root.at(), "no route provided in config", advice);
    }
    let mut references = Vec::new();
    let people = People {
        receivers,
        route,
        time_intervals: intervals(root),
        policies: people::policies(root, &mut references),
        schedules: people::schedules(root, &mut references),
        users: people::users(root, &mut references),
    };
    let names = Names {
        notes,
        receivers: &people.receivers,
        intervals: &people.time_intervals,
        policies: &people.policies,
        schedules: &people.schedules,
        users: &people.users,
    };
    names.check(people.route.as_ref(), &references);
    people
}

/// Reads every section; `None` when there is no routing tree.
fn read(tree: &Node, notes: &Notes, files: Files, reading: Reading) -> Option<Config> {
    let root = Fields::open(notes, "the configuration", tree)?;
    let Global { resolve_timeout, defaults } = global(&root)?;
    let people = people(&root, &defaults, notes);
    defaults.global.finish();
    // Where Alertmanager sends its own traces; we send none there.
    root.unused(&["tracing"]);
    let inhibit_rules = inhibit_rules(&root);
    let correlation = people::correlation(&root);
    let resolve_hold = people::resolve_hold(&root);
    let templates = read_templates(&root, files);
    let (rule_files, rules) = read_rules(&root, files, reading);
    let evaluation = server::evaluation(&root);
    let storage = server::storage(&root);
    let web = server::web(&root);
    let ingest = ingest::ingest(&root);
    let paging = server::paging(&root);
    let heartbeats = heartbeats::heartbeats(&root, &people.policies);
    let probes = probes::probes(&root);
    let external_labels = server::external_labels(&root);
    root.finish();
    if files == Files::Check {
        files::check(notes);
    }
    // What cannot be read says nothing more of what is in it.
    let notifiers = notes.is_clean().then(|| trial::check(&people.receivers, &templates, files, notes));
    if !notes.is_clean() {
        return None;
    }
    let People { receivers, route, time_intervals, policies, schedules, users } = people;
    let (route, notifiers) = (route?, notifiers?);
    // All that `Route` refuses was looked for above, with better places; this is the last word.
    let route = Route::build(&route.spec()).map_err(|error| notes.mistake(route.at, error.to_string())).ok()?;
    Some(Config {
        path: None,
        tree: Tree(tree.clone()),
        resolve_timeout,
        notifiers,
        route,
        inhibit_rules,
        time_intervals: time_intervals.into_iter().map(|i| (i.name.to_string(), i.entries)).collect(),
        receivers: receivers.into_iter().map(|r| r.config).collect(),
        policies,
        schedules,
        users,
        correlation,
        resolve_hold,
        rule_files,
        rules,
        built_in_rules: false,
        evaluation,
        storage,
        web,
        ingest,
        paging,
        heartbeats,
        probes,
        external_labels,
    })
}
