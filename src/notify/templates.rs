//! Go templates for notifications: the operator's files, and the names that Alertmanager's users expect.
//! In: template files, template texts. Out: text, on behalf of [`super::Renderer`].
//! Never: reads files itself; `config` does.
//! Start at [`Templates`].

use super::render::TemplateEngine;
use super::{html, made_up, text};
use crate::model::{Message, Timestamp};
use crate::template::{Env, Map, Mode, Template, TemplateError, TemplateSet, Value, alertmanager};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Parsed texts that are kept; a configuration has far fewer.
const PARSED_MAX: usize = 4096;

/// What `{{ template "slack.default.title" . }}` and its like say: our own words, under Alertmanager's names.
/// `.Watchfire` holds them ready; everything else is Alertmanager's data.
const DEFAULTS: &str = r#"
{{- define "__alertmanager" }}Watchfire{{ end }}
{{- define "__alertmanagerURL" }}{{ .ExternalURL }}{{ end }}
{{- define "__subject" }}{{ .Watchfire.Title }}{{ end }}
{{- define "__description" }}{{ .Watchfire.Sentence }}{{ end }}
{{- define "__text_alert_list" }}{{ range . }}- {{ range .Labels.SortedPairs }}{{ .Name }}={{ .Value }} {{ end }}
{{ range .Annotations.SortedPairs }}  {{ .Name }}: {{ .Value }}
{{ end }}{{ end }}{{ end }}
{{- define "slack.default.title" }}{{ template "__subject" . }}{{ end }}
{{- define "slack.default.titlelink" }}{{ .Watchfire.Link }}{{ end }}
{{- define "slack.default.username" }}{{ template "__alertmanager" . }}{{ end }}
{{- define "slack.default.fallback" }}{{ template "__subject" . }}{{ end }}
{{- define "slack.default.text" }}{{ .Watchfire.Text }}{{ end }}
{{- define "slack.default.pretext" }}{{ end }}
{{- define "slack.default.callbackid" }}{{ end }}
{{- define "slack.default.iconemoji" }}{{ end }}
{{- define "slack.default.iconurl" }}{{ end }}
{{- define "slack.default.footer" }}{{ end }}
{{- define "pagerduty.default.description" }}{{ template "__subject" . }}{{ end }}
{{- define "pagerduty.default.client" }}{{ template "__alertmanager" . }}{{ end }}
{{- define "pagerduty.default.clientURL" }}{{ .Watchfire.Link }}{{ end }}
{{- define "pagerduty.default.instances" }}{{ template "__text_alert_list" . }}{{ end }}
{{- define "email.default.subject" }}{{ template "__subject" . }}{{ end }}
{{- define "email.default.text" }}{{ .Watchfire.Text }}{{ end }}
{{- define "email.default.html" }}{{ .Watchfire.Html | safeHtml }}{{ end }}"#;

/// One text of the configuration that is a template.
#[derive(Clone, Copy, Debug)]
pub struct TemplateField<'a> {
    /// As the configuration calls it: `title`, `headers`.
    pub name: &'a str,
    pub text: &'a str,
    pub is_html: bool,
}

impl<'a> TemplateField<'a> {
    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, is_html: false }
    }
}

/// The template engine of one configuration.
pub struct Templates {
    text: TemplateSet,
    html: TemplateSet,
    parsed: Mutex<HashMap<(bool, Arc<str>), Template>>,
}

impl Default for Templates {
    fn default() -> Self {
        Self::new([]).expect("the definitions of the house are templates; a test parses them")
    }
}

impl Templates {
    /// `files`: name and text of each template file, in the order of the configuration; a later definition replaces an
    /// earlier one, and ours.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, TemplateError> {
        let mut text = TemplateSet::new(alertmanager::FUNCS, Mode::Text);
        let mut html = TemplateSet::new(alertmanager::FUNCS, Mode::Html);
        for (name, source) in std::iter::once(("default.tmpl", DEFAULTS)).chain(files) {
            text.add(name, source)?;
            html.add(name, source)?;
        }
        Ok(Self { text, html, parsed: Mutex::new(HashMap::new()) })
    }

    /// Whether a text of the configuration is a template that can say something: it is parsed, and run on made-up messages.
    pub fn check(&self, field: &TemplateField<'_>) -> Result<(), TemplateError> {
        let set = if field.is_html { &self.html } else { &self.text };
        let template = set.parse(field.name, field.text)?;
        made_up::messages().iter().try_for_each(|message| {
            let world = World { now: made_up::NOW, external_url: &message.external_url };
            template.execute_in(&data(message), &world).map(|_| ())
        })
    }

    fn parsed(&self, template: &str, html: bool) -> Result<Template, TemplateError> {
        let key = (html, Arc::from(template));
        if let Some(found) = self.parsed.lock().get(&key) {
            return Ok(found.clone());
        }
        let set = if html { &self.html } else { &self.text };
        let fresh = set.parse("", template)?;
        let mut parsed = self.parsed.lock();
        if parsed.len() < PARSED_MAX {
            parsed.insert(key, fresh.clone());
        }
        Ok(fresh)
    }
}

impl TemplateEngine for Templates {
    fn render(&self, template: &str, message: &Message, now: Timestamp, html: bool) -> Result<String, String> {
        let template = self.parsed(template, html).map_err(|e| e.to_string())?;
        let world = World { now, external_url: &message.external_url };
        template.execute_in(&data(message), &world).map_err(|e| e.to_string())
    }
}

/// What template functions may ask.
struct World<'a> {
    now: Timestamp,
    external_url: &'a str,
}

impl Env for World<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn external_url(&self) -> &str {
        self.external_url
    }
}

/// Alertmanager's data, with our own words added.
fn data(message: &Message) -> Value {
    let root = alertmanager::data(message);
    let Value::Map(map) = &root else { return root };
    let own = Value::string_map([
        ("Title", text::title(message)),
        ("Sentence", text::sentence(message)),
        ("Text", text::plain(message)),
        ("Html", html::document(message)),
        ("Link", text::link(message).to_owned()),
    ]);
    let mut map = Map::clone(map);
    map.entries.insert("Watchfire".into(), own);
    Value::Map(Arc::new(map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    #[test]
    fn every_definition_of_the_house_renders() {
        let templates = Templates::default();
        let message = Message {
            firing: true,
            receiver: "r".into(),
            group_key: "g".into(),
            group_labels: Labels::from_pairs([("alertname", "Down")]),
            common_labels: Labels::empty(),
            common_annotations: Labels::empty(),
            external_url: "http://watchfire".into(),
            alerts: Vec::new(),
            truncated_alerts: 0,
            incident: None,
            incidents: Vec::new(),
        };
        let names: Vec<&str> = DEFAULTS.split("define \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(names.len() > 20);
        for name in names {
            let is_list = name == "__text_alert_list" || name == "pagerduty.default.instances";
            let data = if is_list { ".Alerts" } else { "." };
            for html in [false, true] {
                let template = format!("{{{{ template \"{name}\" {data} }}}}");
                let said = templates.render(&template, &message, Timestamp::EPOCH, html);
                assert!(said.is_ok(), "{name}: {said:?}");
            }
        }
        let said = templates.render(r#"{{ template "__subject" . }}"#, &message, Timestamp::EPOCH, false);
        assert_eq!(said.as_deref(), Ok("[FIRING:0] Down"));
    }

    #[test]
    fn a_text_is_tried_on_made_up_messages() {
        let files = [("own.tmpl", r#"{{ define "own" }}{{ .CommonLabels.severity | toUpper }}{{ end }}"#)];
        let templates = Templates::new(files).unwrap();
        let check = |text: &str| {
            let field = TemplateField { name: "title", text, is_html: false };
            templates.check(&field).map_err(|error| error.to_string())
        };
        for good in [
            "plain",
            r#"{{ template "own" . }}"#,
            r#"{{ template "slack.default.title" . }}"#,
            "{{ range .Alerts.Firing }}{{ .Labels.instance }} {{ .Annotations.summary }} {{ .StartsAt }}{{ end }}",
            "{{ .GroupLabels.SortedPairs.Values | join \", \" }} {{ len .Alerts }} {{ (index .Alerts 0).Labels.alertname }}",
            "{{ if eq .Status \"firing\" }}{{ .CommonAnnotations.nosuch }}{{ end }}{{ .Watchfire.Title }}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, words) in [
            ("{{ .Broken", "unclosed action"),
            ("{{ nosuch .Alerts }}", "function \"nosuch\" not defined"),
            ("{{ if }}x{{ end }}", "missing value for if"),
            (r#"{{ template "nosuch" . }}"#, "template \"nosuch\" not defined"),
            ("{{ .Nosuch.Field }}", "Nosuch"),
            ("{{ range .Alerts }}{{ .Lables.instance }}{{ end }}", "can't evaluate field Lables"),
        ] {
            let said = check(bad).expect_err(bad);
            assert!(said.contains(words), "{bad}: {said}");
        }
    }
}
