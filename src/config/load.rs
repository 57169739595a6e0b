//! Load: a file becomes a [`Config`], or a list of everything that is wrong with it.
//! In: a path or a text. Out: [`Loaded`].
//! Never: half a configuration: with one mistake there is none.
//! Start at [`load`].

use super::check::Names;
use super::files;
use super::glob;
use super::global::{Global, global};
use super::heartbeats;
use super::ingest::{self, Ingest};
use super::intervals::intervals;
use super::people;
use super::print;
use super::probes;
use super::receivers::receivers;
use super::routing::{inhibit_rules, route};
use super::server::is_exposed;
use super::server::{self, Evaluation, Paging, Storage, Web};
use super::trial;
use crate::alerts::{HeartbeatSpec, InhibitRule, Route, TimeInterval};
use crate::engine;
use crate::escalation::{EscalationPolicy, Schedule, User};
use crate::incidents::CorrelationConfig;
use crate::model::alert::{HEARTBEAT_LABEL, SOURCE_SILENT};
use crate::model::labels::ALERT_NAME;
use crate::model::{Labels, Matcher};
use crate::notify::{Notifiers, ReceiverConfig};
use crate::probes::Probe;
use crate::promql::Features;
use crate::rules::{self, Reading, RuleFile};
use crate::yaml::{self, Node, Position, Value};
use crate::yaml::{At, Fields};
use crate::yaml::{Mistake, Mistakes, Notes, Warning};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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

/// Checked and immutable; a reload replaces it whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, when there is one.
    pub path: Option<PathBuf>,
    tree: Tree,
    /// How long an alert posted without an end lives.
    pub resolve_timeout: Duration,
    /// Built from the receivers and the template files; empty when files were not looked at.
    pub notifiers: Notifiers,
    pub route: Route,
    pub inhibit_rules: Vec<InhibitRule>,
    /// By name; one holds when any of its entries does.
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// Integrations of kinds that cannot deliver are among them, and refuse what they are sent.
    pub receivers: Vec<ReceiverConfig>,
    pub policies: Vec<EscalationPolicy>,
    pub schedules: Vec<Schedule>,
    pub users: Vec<User>,
    pub correlation: CorrelationConfig,
    /// Alerts that still fire so long after a resolve by hand open a new incident; zero: never.
    pub resolve_hold: Duration,
    /// Files that exist, in the order of the patterns and then of their names, each once.
    pub rule_files: Vec<PathBuf>,
    /// Those files, read; in the same order.
    pub rules: Vec<RuleFile>,
    /// No file was named and the working folder holds no rules: the built-in ones shall run.
    pub built_in_rules: bool,
    pub evaluation: Evaluation,
    pub storage: Storage,
    pub web: Web,
    pub ingest: Ingest,
    pub paging: Paging,
    /// What must be heard again and again.
    pub heartbeats: Vec<HeartbeatSpec>,
    /// What we ask ourselves.
    pub probes: Vec<Probe>,
    pub external_labels: Labels,
}

/// A file of notification templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateFile {
    pub(super) name: String,
    pub(super) text: String,
}

/// The file as it was read, secrets included: `Debug` shows nothing of it.
#[derive(Clone)]
struct Tree(Node);

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tree(…)")
    }
}

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

/// What a file is, by its top-level keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `groups:` of rules.
    Rules,
    /// `tests:` for rules.
    RuleTests,
    /// Everything else, broken files too.
    Config,
}

/// Looks at the top-level keys of `text`.
pub fn kind_of(text: &str) -> FileKind {
    let has = |key: &str| text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
    if has("tests") {
        FileKind::RuleTests
    } else if has("groups") {
        FileKind::Rules
    } else {
        FileKind::Config
    }
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

/// What in a rule file loads and can never work.
pub fn rule_warnings(file: &RuleFile) -> Vec<Warning> {
    let warning = |e: &rules::RuleFileError| Warning {
        advice: Some("whoever is told of the alert will read this error instead of the text".to_owned()),
        ..Mistake::new(&e.file, Position { line: e.line, column: e.column }, e.text.clone())
    };
    file.warnings.iter().map(warning).collect()
}

/// Reads one rule file.
pub fn rule_file(path: &Path, text: &str, reading: Reading) -> Result<RuleFile, Mistakes> {
    rules::file::parse_with(text, &path.display().to_string(), reading).map_err(|errors| {
        let mistake =
            |e: rules::RuleFileError| Mistake::new(&e.file, Position { line: e.line, column: e.column }, e.text);
        Mistakes(errors.into_iter().map(mistake).collect())
    })
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

/// Reads every section; `None` when there is no routing tree.
fn read(tree: &Node, notes: &Notes, files: Files, reading: Reading) -> Option<Config> {
    let root = Fields::open(notes, "the configuration", tree)?;
    let Global { resolve_timeout, defaults } = global(&root)?;
    let receivers = receivers(&root, &defaults);
    defaults.global.finish();
    let route = root.fields("route").map(route);
    if route.is_none() && root.node("route").is_none() {
        let advice = "write route: with receiver: and the name of one of the receivers";
        notes.mistake_with(root.at(), "no route provided in config", advice);
    }
    let time_intervals = intervals(&root);
    let mut references = Vec::new();
    let policies = people::policies(&root, &mut references);
    let schedules = people::schedules(&root, &mut references);
    let users = people::users(&root, &mut references);
    let names = Names {
        notes,
        receivers: &receivers,
        intervals: &time_intervals,
        policies: &policies,
        schedules: &schedules,
        users: &users,
    };
    names.check(route.as_ref(), &references);
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
    let heartbeats = heartbeats::heartbeats(&root, &policies);
    let probes = probes::probes(&root);
    let external_labels = server::external_labels(&root);
    root.finish();
    if files == Files::Check {
        files::check(notes);
    }
    // What cannot be read says nothing more of what is in it.
    let notifiers = notes.is_clean().then(|| trial::check(&receivers, &templates, files, notes));
    if !notes.is_clean() {
        return None;
    }
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

/// A file that a list of patterns names.
struct Found {
    path: PathBuf,
    by_pattern: bool,
}

/// The files that exist, in the order of the patterns, each once.
fn named_files(root: &Fields<'_>, key: &'static str, files: Files) -> Vec<At<Found>> {
    let mut out: Vec<At<Found>> = Vec::new();
    let mut seen = HashSet::new();
    for pattern in root.texts(key).unwrap_or_default() {
        if files == Files::Ignore {
            continue;
        }
        let by_pattern = glob::is_pattern(pattern.value);
        let path = root.notes().path(pattern.value);
        let found = if by_pattern { glob::expand(&path) } else { vec![path.clone()] };
        if !by_pattern {
            root.notes().named_file(key, pattern.value, pattern.at);
        } else if found.is_empty() && key == "rule_files" {
            let advice = format!("relative patterns start at the configuration file: {}", path.display());
            root.notes().warn(pattern.at, format!("{key}: no file matches {:?}", pattern.value), advice);
        }
        for path in found {
            if seen.insert(path.clone()) {
                out.push(At { value: Found { path, by_pattern }, at: pattern.at });
            }
        }
    }
    out
}

fn read_templates(root: &Fields<'_>, files: Files) -> Vec<TemplateFile> {
    let mut out = Vec::new();
    for At { value: found, at } in named_files(root, "templates", files) {
        match std::fs::read_to_string(&found.path) {
            Ok(text) => out.push(TemplateFile { name: found.path.display().to_string(), text }),
            // A file named without a pattern was noted as one that must be readable.
            Err(_) if !found.by_pattern => {}
            Err(_) => drop(files::read(root.notes(), "templates", &found.path, at)),
        }
    }
    out
}

/// Reads the rule files. Unit tests of rules that a pattern names as well (`rules/*.yml`) are passed over.
fn read_rules(root: &Fields<'_>, files: Files, reading: Reading) -> (Vec<PathBuf>, Vec<RuleFile>) {
    let (mut paths, mut rules) = (Vec::new(), Vec::new());
    for At { value: found, at } in named_files(root, "rule_files", files) {
        // A file named without a pattern was noted as one that must be readable.
        let text = match std::fs::read_to_string(&found.path) {
            Ok(text) => text,
            Err(_) if !found.by_pattern => continue,
            Err(_) => files::read(root.notes(), "rule_files", &found.path, at).unwrap_or_default(),
        };
        if found.by_pattern && kind_of(&text) == FileKind::RuleTests {
            continue;
        }
        match rule_file(&found.path, &text, reading) {
            Ok(file) => {
                root.notes().add_warnings(rule_warnings(&file));
                paths.push(found.path);
                rules.push(file);
            }
            Err(mistakes) => root.notes().add(mistakes),
        }
    }
    (paths, rules)
}

/// The alert that says that a heartbeat is silent runs the heartbeat's own policy.
fn policy_override(heartbeat: &HeartbeatSpec) -> Option<(Vec<Matcher>, Arc<str>)> {
    let policy = heartbeat.escalation_policy.clone()?;
    let matchers = vec![Matcher::equal(ALERT_NAME, SOURCE_SILENT), Matcher::equal(HEARTBEAT_LABEL, &heartbeat.name)];
    Some((matchers, policy))
}

/// Flags that win over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub listen_address: Option<SocketAddr>,
    pub external_url: Option<Arc<str>>,
    pub storage_path: Option<PathBuf>,
    pub memory_budget: Option<u64>,
    /// What of the language is switched on besides the stable one.
    pub features: Features,
}

impl Config {
    pub fn apply(&mut self, flags: &Overrides) {
        if let Some(address) = flags.listen_address {
            self.web.listen_address = address;
        }
        if let Some(url) = &flags.external_url {
            self.web.external_url = Some(Arc::clone(url));
        }
        if let Some(path) = &flags.storage_path {
            self.storage.path.clone_from(path);
        }
        if flags.memory_budget.is_some() {
            self.ingest.limits.memory_bytes = flags.memory_budget;
        }
        self.evaluation.features = flags.features;
    }

    /// What the engine may know of all this: no address, no secret.
    pub fn engine_settings(&self) -> engine::Settings {
        let receivers = self.receivers.iter().map(ReceiverConfig::spec).collect();
        let pages = self.paging.max_pages_per_minute;
        engine::Settings {
            inhibit_rules: self.inhibit_rules.clone(),
            time_intervals: self.time_intervals.clone(),
            correlation: self.correlation.clone(),
            policies: self.policies.clone(),
            policy_overrides: self.heartbeats.iter().filter_map(policy_override).collect(),
            schedules: self.schedules.clone(),
            users: self.users.clone(),
            external_url: self.external_url(),
            max_pages_per_minute: (pages > 0).then_some(pages),
            resolve_hold: self.resolve_hold,
            ..engine::Settings::new(self.route.clone(), receivers)
        }
    }

    /// How people reach us, without a slash at the end; from the listen address unless it was written.
    pub fn external_url(&self) -> Arc<str> {
        if let Some(url) = &self.web.external_url {
            return Arc::clone(url);
        }
        let address = self.web.listen_address;
        if address.ip().is_unspecified() {
            return Arc::from(format!("http://localhost:{}", address.port()));
        }
        Arc::from(format!("http://{address}"))
    }

    /// Refuses to listen beyond this machine without authentication, unless `insecure`. The text names both ways out.
    pub fn check_exposure(&self, insecure: bool) -> Result<(), String> {
        if insecure || !self.web.auth.is_off() || !is_exposed(self.web.listen_address) {
            return Ok(());
        }
        Err(format!(
            "refusing to listen on {} without authentication: anybody there could silence alerts. \
             Set web.auth.bearer_tokens_file (or web.auth.basic_auth_users) in the configuration, \
             or pass --insecure if the network is trusted",
            self.web.listen_address
        ))
    }

    /// The whole configuration as YAML, secrets shown as `<secret>`.
    pub fn print(&self) -> String {
        print::print(&self.tree.0)
    }

    /// The part that Alertmanager would read, for `/api/v2/status` and the tools that load it from there.
    pub fn print_alertmanager(&self) -> String {
        print::print_alertmanager(&self.tree.0)
    }
}
