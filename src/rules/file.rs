//! Rule files: Prometheus' YAML, checked as promtool checks it.
//! In: a file's text. Out: [`RuleFile`], every expression parsed and every template read, or all mistakes found.
//! Never: opens a file.
//! Start at [`parse`].

use super::{known_fields, trial};
use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, duration};
use crate::promql::{self, Expr, Features};
use crate::template::Template;
use crate::template::prometheus::parse_alert_template;
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Rules that one file may hold; the largest public ones hold a few hundred.
pub const RULES_MAX: usize = 20_000;

/// A checked file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    pub path: Arc<str>,
    pub groups: Vec<GroupSpec>,
    /// Templates that can never work. Prometheus takes them too, and sends `<error expanding template…>` to whoever is told.
    pub warnings: Vec<RuleFileError>,
}

#[derive(Clone, Debug)]
pub struct GroupSpec {
    pub name: Arc<str>,
    pub file: Arc<str>,
    /// `None`: the global evaluation interval.
    pub interval: Option<Duration>,
    /// `None`: the server's.
    pub query_offset: Option<Duration>,
    /// Most alerts or series one rule may give; 0 = no limit.
    pub limit: usize,
    pub rules: Vec<RuleSpec>,
}

#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// The alert's or the recorded metric's name.
    pub name: Arc<str>,
    pub expr: Expr,
    /// Labels of the rule over those of its group, in order of the names.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    pub body: RuleBody,
}

#[derive(Clone, Debug)]
pub enum RuleBody {
    Recording,
    Alerting {
        for_: Duration,
        keep_firing_for: Duration,
        annotations: Vec<(Arc<str>, Arc<str>)>,
        /// One per label and annotation, in their order.
        label_templates: Vec<Template>,
        annotation_templates: Vec<Template>,
    },
}

impl RuleSpec {
    /// The labels as they are written, for listings.
    pub fn label_set(&self) -> Labels {
        Labels::from_pairs(self.labels.iter().map(|(n, v)| (n.as_ref(), v.as_ref())))
    }
}

/// One mistake in a rule file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {text}")]
pub struct RuleFileError {
    pub file: String,
    pub line: u64,
    pub column: u64,
    pub text: String,
}

#[derive(Default, Deserialize)]
struct RawFile {
    #[serde(default)]
    groups: Option<Vec<Spanned<RawGroup>>>,
}

#[derive(Deserialize)]
struct RawGroup {
    #[serde(default)]
    name: Option<String>,
    interval: Option<String>,
    query_offset: Option<String>,
    limit: Option<i64>,
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    rules: Option<Vec<Spanned<RawRule>>>,
}

#[derive(Deserialize)]
struct RawRule {
    record: Option<String>,
    alert: Option<String>,
    expr: Option<Spanned<String>>,
    #[serde(rename = "for")]
    for_: Option<String>,
    keep_firing_for: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Option<String>>>,
}

/// How a rule file is read. The default is how a server does: strictly, and the stable language alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// What expressions may use besides the stable language.
    pub features: Features,
    /// Fields that nobody knows are passed over.
    pub ignore_unknown_fields: bool,
}

/// Reads the first document of a rule file; `path` is only said in errors and listings.
pub fn parse(text: &str, path: &str) -> Result<RuleFile, Vec<RuleFileError>> {
    parse_with(text, path, Reading::default())
}

/// The same, read as it is wanted.
pub fn parse_with(text: &str, path: &str, reading: Reading) -> Result<RuleFile, Vec<RuleFileError>> {
    let features = reading.features;
    let mut checker = Checker { path, file: Arc::from(path), features, errors: Vec::new(), warnings: Vec::new() };
    let options = serde_saphyr::options! { with_snippet: false };
    let document = first_document(text);
    let raw: RawFile = match document.map(|text| serde_saphyr::from_str_with_options(text, options)) {
        None => RawFile::default(),
        Some(Ok(raw)) => raw,
        Some(Err(error)) => return yaml_error(&error, text, path),
    };
    if let Some(document) = document.filter(|_| !reading.ignore_unknown_fields) {
        match known_fields::unknown(document) {
            Ok(fields) => fields.into_iter().for_each(|(field, at)| checker.unknown_field(&field, at)),
            Err(error) => return yaml_error(&error, text, path),
        }
    }
    let groups = checker.groups(raw.groups.unwrap_or_default());
    if checker.errors.is_empty() {
        return Ok(RuleFile { path: Arc::from(path), groups, warnings: checker.warnings });
    }
    checker.errors.sort_by_key(|error| (error.line, error.column));
    Err(checker.errors)
}

/// Prometheus reads the first document only; `None` when nothing stands in it but comments.
pub(super) fn first_document(text: &str) -> Option<&str> {
    let (mut seen, mut opened, mut end) = (false, false, text.len());
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_end();
        let marker = trimmed == "---" || trimmed.starts_with("--- ") || trimmed == "...";
        if marker && (seen || opened) {
            end = at;
            break;
        }
        opened |= marker;
        let content = trimmed.trim_start();
        seen |= !marker && !matches!(content, "" | "null" | "~") && !content.starts_with('#');
        at += line.len();
    }
    seen.then(|| &text[..end])
}

fn yaml_error<T>(error: &serde_saphyr::Error, text: &str, path: &str) -> Result<T, Vec<RuleFileError>> {
    let said = error.to_string();
    let first = said.lines().next().unwrap_or(&said).trim_start_matches("error: ");
    if text.trim().is_empty() {
        return Err(vec![]);
    }
    let (line, column) = error.location().map_or((1, 1), |l| (l.line().max(1), l.column().max(1)));
    Err(vec![RuleFileError { file: path.to_owned(), line, column, text: first.to_owned() }])
}

struct Checker<'a> {
    path: &'a str,
    file: Arc<str>,
    features: Features,
    errors: Vec<RuleFileError>,
    warnings: Vec<RuleFileError>,
}

type Location = serde_saphyr::Location;

impl Checker<'_> {
    fn error(&mut self, at: Location, text: impl Into<String>) {
        let (line, column) = (at.line().max(1), at.column().max(1));
        self.errors.push(RuleFileError { file: self.path.to_owned(), line, column, text: text.into() });
    }

    fn unknown_field(&mut self, field: &str, at: Location) {
        // yaml.v3 says it so, and people search for its words.
        self.error(at, format!("field {field} not found in a rule file; did you mistype it?"));
    }

    fn groups(&mut self, raw: Vec<Spanned<RawGroup>>) -> Vec<GroupSpec> {
        let mut names = HashSet::new();
        let mut groups = Vec::with_capacity(raw.len());
        let mut count = 0;
        for group in raw {
            let at = group.referenced;
            let group = group.value;
            let name = group.name.clone().unwrap_or_default();
            if name.is_empty() {
                self.error(at, "groupname must not be empty");
            } else if !names.insert(name.clone()) {
                self.error(at, format!("groupname: {name:?} is repeated in the same file"));
            }
            count += group.rules.as_ref().map_or(0, Vec::len);
            if count > RULES_MAX {
                self.error(at, format!("more than {RULES_MAX} rules in one file; split it up"));
                break;
            }
            groups.push(self.group(&name, group, at));
        }
        groups
    }

    fn group(&mut self, name: &str, raw: RawGroup, at: Location) -> GroupSpec {
        let mut span = |text: &Option<String>, field: &str| {
            let text = text.as_deref().filter(|t| !t.is_empty())?;
            let parsed = duration::parse(text);
            if parsed.is_none() {
                self.error(at, format!("group {name:?}: {field}: not a valid duration string: {text:?}"));
            }
            parsed
        };
        let interval = span(&raw.interval, "interval").filter(|d| !d.is_zero());
        let query_offset = span(&raw.query_offset, "query_offset");
        let group_labels = raw.labels.unwrap_or_default();
        for label in group_labels.keys().filter(|l| !is_label_name(l)) {
            self.error(at, format!("group {name:?}: invalid label name: {label}"));
        }
        let limit = usize::try_from(raw.limit.unwrap_or(0)).unwrap_or(0);
        let mut rules = Vec::new();
        for (i, rule) in raw.rules.unwrap_or_default().into_iter().enumerate() {
            let at = rule.referenced;
            let mut raw = rule.value;
            let mut labels = group_labels.clone();
            labels.extend(raw.labels.take().unwrap_or_default());
            let title = raw.alert.as_deref().or(raw.record.as_deref()).unwrap_or("").to_owned();
            let before = self.errors.len();
            let spec = self.rule(raw, labels, at);
            for error in &mut self.errors[before..] {
                error.text = format!("group {name:?}, rule {}, {title:?}: {}", i + 1, error.text);
            }
            rules.extend(spec);
        }
        GroupSpec { name: Arc::from(name), file: self.file.clone(), interval, query_offset, limit, rules }
    }

    fn rule(&mut self, raw: RawRule, labels: BTreeMap<String, Option<String>>, at: Location) -> Option<RuleSpec> {
        let before = self.errors.len();
        let record = raw.record.filter(|r| !r.is_empty());
        let alert = raw.alert.filter(|a| !a.is_empty());
        match (&record, &alert) {
            (Some(_), Some(_)) => self.error(at, "only one of 'record' and 'alert' must be set"),
            (None, None) => self.error(at, "one of 'record' or 'alert' must be set"),
            _ => {}
        }
        let expr = match raw.expr.as_ref().filter(|e| !e.value.trim().is_empty()) {
            None => {
                self.error(at, "field 'expr' must be set in rule");
                None
            }
            Some(text) => match promql::parse_with(&text.value, self.features) {
                Ok(expr) => Some(expr),
                Err(e) => {
                    let said = e.to_string();
                    let prefix = if said.contains("parse error") { "" } else { "parse error: " };
                    self.error(text.referenced, format!("could not parse expression: {prefix}{said}"));
                    None
                }
            },
        };
        let mut span = |text: &Option<String>, field: &str| {
            let text = text.as_deref().filter(|t| !t.is_empty())?;
            let parsed = duration::parse(text);
            if parsed.is_none() {
                self.error(at, format!("{field}: not a valid duration string: {text:?}"));
            }
            parsed
        };
        let for_ = span(&raw.for_, "for").unwrap_or_default();
        let keep_firing_for = span(&raw.keep_firing_for, "keep_firing_for").unwrap_or_default();
        let annotations = pairs(raw.annotations.unwrap_or_default());
        if let Some(name) = &record {
            self.recording(name, for_, keep_firing_for, !annotations.is_empty(), at);
        }
        let labels = pairs(labels);
        for (label, _) in labels.iter().filter(|(l, _)| !is_label_name(l)) {
            self.error(at, format!("invalid label name: {label}"));
        }
        for (annotation, _) in annotations.iter().filter(|(a, _)| a.is_empty()) {
            self.error(at, format!("invalid annotation name: {annotation}"));
        }
        let body = match &alert {
            None => RuleBody::Recording,
            Some(name) => RuleBody::Alerting {
                for_,
                keep_firing_for,
                label_templates: self.templates(name, &labels, "label", at),
                annotation_templates: self.templates(name, &annotations, "annotation", at),
                annotations,
            },
        };
        let name = Arc::from(alert.or(record).unwrap_or_default());
        (self.errors.len() == before).then_some(())?;
        Some(RuleSpec { name, expr: expr?, labels, body })
    }

    fn recording(&mut self, name: &str, for_: Duration, keep: Duration, annotations: bool, at: Location) {
        if annotations {
            self.error(at, "invalid field 'annotations' in recording rule");
        }
        if !for_.is_zero() {
            self.error(at, "invalid field 'for' in recording rule");
        }
        if !keep.is_zero() {
            self.error(at, "invalid field 'keep_firing_for' in recording rule");
        }
        if name.contains(['{', '}']) {
            self.error(at, format!("braces present in the recording rule name; should it be in expr?: {name}"));
        }
    }

    fn templates(&mut self, alert: &str, texts: &[(Arc<str>, Arc<str>)], kind: &str, at: Location) -> Vec<Template> {
        let mut templates = Vec::with_capacity(texts.len());
        for (name, text) in texts {
            match parse_alert_template(&format!("__alert_{alert}"), text) {
                Ok(template) => {
                    if let Some(e) = trial::mistake(&template) {
                        let text = format!("alert {alert:?}: {kind} {name:?}: error executing template: {e}");
                        let file = self.path.to_owned();
                        let (line, column) = (at.line().max(1), at.column().max(1));
                        self.warnings.push(RuleFileError { file, line, column, text });
                    }
                    templates.push(template);
                }
                Err(e) => self.error(at, format!("{kind} {name:?}: error parsing template: {e}")),
            }
        }
        templates
    }
}

/// Any text but the empty one may name a label since Prometheus 3; the metric's name may not be set by a rule.
fn is_label_name(name: &str) -> bool {
    !name.is_empty() && name != METRIC_NAME
}

fn pairs(map: BTreeMap<String, Option<String>>) -> Vec<(Arc<str>, Arc<str>)> {
    map.into_iter().map(|(n, v)| (Arc::from(n), Arc::from(v.unwrap_or_default()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let errors = parse(text, "f.yml").expect_err(text);
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|e| e.contains(expect)), "{expect} not in {said:?}");
    }

    #[test]
    fn refuses_what_promtool_refuses() {
        let rule = |rule: &str| format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
        check("groups:\n- name: g\n- name: g\n", "f.yml:3:3: groupname: \"g\" is repeated in the same file");
        check(&rule("{alert: A, record: r, expr: 1}"), "only one of 'record' and 'alert' must be set");
        check(&rule("{expr: 1}"), "one of 'record' or 'alert' must be set");
        check(&rule("{alert: A}"), "f.yml:4:5: group \"g\", rule 1, \"A\": field 'expr' must be set in rule");
        check(&rule("{alert: A, expr: sum(}"), "parse error");
        check(&rule("{record: a, expr: 1, for: 1m}"), "invalid field 'for' in recording rule");
        check(&rule("{record: a, expr: 1, annotations: {a: b}}"), "invalid field 'annotations' in recording rule");
        check(&rule("{record: 'a{}', expr: 1}"), "braces present in the recording rule name");
        check(&rule("{alert: A, expr: 1, annotation: {a: b}}"), "field annotation not found");
        check(&rule("{alert: A, expr: 1, labels: {__name__: b}}"), "invalid label name: __name__");
        check(&rule("{alert: A, expr: 1, labels: {a: '{{ $x }}'}}"), "undefined variable");
        let asks = |text: &str| rule(&format!("{{alert: A, expr: 1, annotations: {{a: '{text}'}}}}"));
        check(&asks("{{ if }}x{{ end }}"), "error parsing template: template: __alert_A:1: missing value for if");
        let warned = |text: &str, expect: &str| {
            let file = parse(&asks(text), "f.yml").unwrap();
            assert!(
                file.warnings.len() == 1 && file.warnings[0].to_string().contains(expect),
                "{text}: {:?}",
                file.warnings
            );
        };
        warned("{{ $value.Labels }}", "can't evaluate field Labels in type float64");
        warned("{{ $labels.a.b }}", "f.yml:4:5: alert \"A\": annotation \"a\": error executing template");
        warned("{{ $.labels.service }}", "can't evaluate field labels");
        warned("{{ .Alerts }}", "can't evaluate field Alerts");
        warned("{{ (query \"up\" | first).Nothing }}", "can't evaluate field Nothing");
        warned("{{ humanize }}", "wrong number of args");
        check(&rule("{alert: A, expr: 1, for: 1x}"), "not a valid duration string: \"1x\"");
        check(&rule("{alert: A, expr: 'sum(', labels: {__name__: b}}"), "invalid label name");
    }

    #[test]
    fn every_unknown_field_is_named() {
        let text = "groupz: []\ngroups:\n- name: g\n  evry: 1m\n  rules:\n  - {alert: A, expr: sum(, fro: 1m}\n  - {record: r, expr: 1, label: {a: b}}\n";
        let said: Vec<String> = parse(text, "f.yml").unwrap_err().iter().map(ToString::to_string).collect();
        let expect =
            ["f.yml:1:1: field groupz", "f.yml:4:3: field evry", "parse error", "field fro", "f.yml:7:26: field label"];
        assert_eq!(said.len(), expect.len(), "{said:?}");
        for (said, expect) in said.iter().zip(expect) {
            assert!(said.contains(expect), "{said}: {expect}");
        }
        let lenient = Reading { ignore_unknown_fields: true, ..Reading::default() };
        assert_eq!(parse_with(text, "f.yml", lenient).unwrap_err().len(), 1);
    }

    #[test]
    fn a_template_that_only_dislikes_made_up_data_is_taken() {
        for text in [
            "{{ $labels.a | humanize }}",
            "{{ with query \"up\" }}{{ . | first | value | humanizePercentage }}{{ end }}",
            "{{ printf \"%s %v\" $labels.a $value }}",
            "{{ range query \"up\" }}{{ .Labels.a }} {{ .Value }}{{ end }}",
            "{{ $externalLabels.a }}{{ $externalURL }}{{ parseDuration $labels.a }}",
        ] {
            let text = format!("groups: [{{name: g, rules: [{{alert: A, expr: 1, annotations: {{a: '{text}'}}}}]}}]");
            assert_eq!(parse(&text, "f.yml").map(|file| file.warnings), Ok(Vec::new()), "{text}");
        }
    }

    #[test]
    fn reads_the_first_document() {
        let text = "---\ngroups:\n- name: g\n  labels: {team: a, n: 1}\n  rules:\n  - {alert: A, expr: up == 0, for: 1h30m, labels: {n: 2}}\n---\nx: y\n";
        let file = parse(text, "f.yml").unwrap();
        let rule = &file.groups[0].rules[0];
        assert_eq!(rule.label_set(), Labels::from_pairs([("team", "a"), ("n", "2")]));
        assert!(matches!(rule.body, RuleBody::Alerting { for_, .. } if for_ == Duration::from_mins(90)));
        for nothing in ["", "---\n", "---\n# a comment\n", "null\n", "---\n---\ngroups: 1\n"] {
            assert_eq!(parse(nothing, "f.yml").map(|file| file.groups.len()), Ok(0), "{nothing:?}");
        }
    }
}
