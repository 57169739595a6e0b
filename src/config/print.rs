//! Print: the configuration as YAML again, with every secret shown as `<secret>`.
//! In: the tree of the file. Out: text that reads back as the same tree, secrets aside.
//! Never: shows a value under a key that holds secrets, whatever the value looks like.
//! Start at [`print`].

use crate::yaml::{Node, Value};
use std::fmt::Write;

/// Keys that Alertmanager does not know, anywhere but at the top.
const OURS: [&str; 6] =
    ["escalation_policy", "log_configs", "hmac_secret", "hmac_secret_file", "deny_private", "update_in_place"];
/// Alertmanager's own sections.
const ALERTMANAGERS: [&str; 8] =
    ["global", "route", "receivers", "inhibit_rules", "mute_time_intervals", "time_intervals", "templates", "tracing"];
/// Keys whose values are secrets wherever they stand (Alertmanager's `Secret` and `SecretURL` fields, and ours).
const SECRETS: [&str; 33] = [
    "access_key",
    "api_key",
    "api_secret",
    "api_url",
    "app_token",
    "auth_password",
    "auth_secret",
    "bearer_token",
    "bearer_tokens",
    "bot_token",
    "client_secret",
    "credentials",
    "hmac_secret",
    "mattermost_webhook_url",
    "opsgenie_api_key",
    "password",
    "proxy_url",
    "rocketchat_token",
    "rocketchat_token_id",
    "routing_key",
    "secret_key",
    "service_key",
    "slack_api_url",
    "slack_app_token",
    "smtp_auth_password",
    "smtp_auth_secret",
    "telegram_bot_token",
    "token",
    "token_id",
    "user_key",
    "victorops_api_key",
    "webhook_url",
    "wechat_api_secret",
];
const HIDDEN: &str = "<secret>";
/// Mappings whose keys are label names or headers, not fields: nothing in them is a secret or ours by its name.
const FREE_NAMES: [&str; 10] = [
    "match",
    "match_re",
    "source_match",
    "source_match_re",
    "target_match",
    "target_match_re",
    "labels",
    "external_labels",
    "details",
    "headers",
];

/// The whole file.
pub fn print(root: &Node) -> String {
    let mut out = String::new();
    Printer { alertmanager_only: false }.map_or_value(root, 0, "", &mut out);
    out
}

/// Only what Alertmanager would read: for tools that load it (`amtool config`).
pub fn print_alertmanager(root: &Node) -> String {
    let mut out = String::new();
    Printer { alertmanager_only: true }.map_or_value(root, 0, "", &mut out);
    out
}

struct Printer {
    alertmanager_only: bool,
}

impl Printer {
    fn keeps(&self, key: &str, depth: usize, parent: &str) -> bool {
        if !self.alertmanager_only || FREE_NAMES.contains(&parent) {
            return true;
        }
        if depth == 0 { ALERTMANAGERS.contains(&key) } else { !OURS.contains(&key) }
    }

    /// A value that begins a line of its own.
    fn map_or_value(&self, node: &Node, depth: usize, parent: &str, out: &mut String) {
        match &node.value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    if self.keeps(&key.name, depth, parent) {
                        indent(depth, out);
                        self.entry(&key.name, value, depth, parent, out);
                    }
                }
            }
            Value::List(items) => {
                for item in items {
                    indent(depth, out);
                    self.item(item, depth, parent, out);
                }
            }
            _ => {
                indent(depth, out);
                scalar(&node.value, out);
                out.push('\n');
            }
        }
    }

    fn entry(&self, key: &str, value: &Node, depth: usize, parent: &str, out: &mut String) {
        quoted(key, true, out);
        out.push(':');
        let hidden = SECRETS.contains(&key) || (key == "url" && parent == "webhook_configs");
        if hidden && !FREE_NAMES.contains(&parent) && !is_empty(value) {
            let _ = writeln!(out, " {HIDDEN}");
            return;
        }
        self.after_colon(key, value, depth, out);
    }

    fn after_colon(&self, key: &str, value: &Node, depth: usize, out: &mut String) {
        match &value.value {
            Value::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
            Value::List(items) if items.is_empty() => out.push_str(" []\n"),
            Value::Map(_) | Value::List(_) => {
                out.push('\n');
                self.map_or_value(value, depth + 1, key, out);
            }
            Value::Null => out.push('\n'),
            Value::Scalar { .. } => {
                out.push(' ');
                scalar(&value.value, out);
                out.push('\n');
            }
        }
    }

    fn item(&self, item: &Node, depth: usize, parent: &str, out: &mut String) {
        out.push('-');
        match &item.value {
            Value::Map(entries) if !entries.is_empty() => {
                let mut first = true;
                for (key, value) in entries.iter().filter(|(k, _)| self.keeps(&k.name, depth + 1, parent)) {
                    if first {
                        out.push(' ');
                    } else {
                        indent(depth + 1, out);
                    }
                    first = false;
                    self.entry(&key.name, value, depth + 1, parent, out);
                }
                if first {
                    out.push_str(" {}\n");
                }
            }
            _ => self.after_colon(parent, item, depth, out),
        }
    }
}

fn is_empty(value: &Node) -> bool {
    matches!(&value.value, Value::Null) || matches!(&value.value, Value::Scalar { text, .. } if text.is_empty())
}

fn indent(depth: usize, out: &mut String) {
    (0..depth).for_each(|_| out.push_str("  "));
}

fn scalar(value: &Value, out: &mut String) {
    match value {
        Value::Scalar { text, plain } => quoted(text, *plain, out),
        _ => out.push('~'),
    }
}

/// Plain where it was plain and is one harmless word, else in double quotes.
fn quoted(text: &str, plain: bool, out: &mut String) {
    let harmless = plain
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+'))
        && !text.starts_with('-');
    if harmless {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    #[track_caller]
    fn check(text: &str, whole: &str, alertmanager: &str) {
        let tree = parse(text).unwrap();
        assert_eq!(print(&tree), whole);
        assert_eq!(print_alertmanager(&tree), alertmanager);
        // What was printed reads back and prints the same.
        assert_eq!(print(&parse(whole).unwrap()), whole);
    }

    #[test]
    fn secrets_are_hidden_and_ours_left_out() {
        check(
            "global: {smtp_auth_password: hunter2, slack_api_url: 'http://hunter2/'}\n\
             route: {receiver: a, escalation_policy: p, match: {token: keep}}\n\
             receivers:\n- name: a\n  webhook_configs: [{url: 'http://hunter2', hmac_secret: hunter2, http_config: {basic_auth: {password: hunter2}}}]\n\
             - name: \"b: c\"\n  log_configs: [{}]\n\
             web: {auth: {bearer_tokens: [hunter2]}}\n",
            "global:\n  smtp_auth_password: <secret>\n  slack_api_url: <secret>\n\
             route:\n  receiver: a\n  escalation_policy: p\n  match:\n    token: keep\n\
             receivers:\n  - name: a\n    webhook_configs:\n      - url: <secret>\n        hmac_secret: <secret>\n        http_config:\n          basic_auth:\n            password: <secret>\n  \
             - name: \"b: c\"\n    log_configs:\n      - {}\n\
             web:\n  auth:\n    bearer_tokens: <secret>\n",
            "global:\n  smtp_auth_password: <secret>\n  slack_api_url: <secret>\n\
             route:\n  receiver: a\n  match:\n    token: keep\n\
             receivers:\n  - name: a\n    webhook_configs:\n      - url: <secret>\n        http_config:\n          basic_auth:\n            password: <secret>\n  \
             - name: \"b: c\"\n",
        );
    }

    #[test]
    fn odd_text_survives() {
        let text = "a: \"x\\ny\\\"\\\\ \\u0001\"\nb: [[1, 2], {c: ~}]\nd: \"007\"\n";
        let once = print(&parse(text).unwrap());
        assert_eq!(print(&parse(&once).unwrap()), once);
        assert!(once.contains("\"007\""), "a quoted number stays text: {once}");
    }
}
