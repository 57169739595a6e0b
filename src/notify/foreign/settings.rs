//! Receiver kinds that Alertmanager delivers to and we do not: read and judged as Alertmanager 0.33 judges them.
//! In: `opsgenie_configs` and its like, and what `global` says for them. Out: an integration that refuses each message by name.
//! Never: lets such a kind look like one that delivers: loading warns at every start and reload, each message to it fails for good.
//! Start at [`read`].

use super::Foreign;
use crate::notify::http;
use crate::notify::kinds::{Capability, Repeats};
use crate::notify::settings::{Defaults, IntegrationConfig, Settings};
use crate::notify::{Notifier, Renderer};
use crate::yaml::{At, Fields};
use std::sync::Arc;

/// One of these fields must be filled here, or one of those of `global`; else the sentence is what is wrong.
struct Need {
    fields: &'static [&'static str],
    global: &'static [&'static str],
    missing: &'static str,
}

struct Kind {
    key: &'static str,
    name: &'static str,
    /// All but `send_resolved` and `http_config`, which every kind has.
    fields: &'static [&'static str],
    needs: &'static [Need],
    /// Alertmanager's default.
    send_resolved: bool,
}

const fn need(fields: &'static [&'static str], global: &'static [&'static str], missing: &'static str) -> Need {
    Need { fields, global, missing }
}

const WEBHOOK_URL: Need =
    need(&["webhook_url", "webhook_url_file"], &[], "one of webhook_url or webhook_url_file must be configured");

/// In the order of Alertmanager's struct.
const KINDS: [Kind; 14] = [
    Kind {
        key: "discord_configs",
        name: "discord",
        fields: &["webhook_url", "webhook_url_file", "content", "title", "message", "username", "avatar_url"],
        needs: &[WEBHOOK_URL],
        send_resolved: true,
    },
    Kind {
        key: "incidentio_configs",
        name: "incidentio",
        fields: &["url", "url_file", "alert_source_token", "alert_source_token_file", "max_alerts", "timeout"],
        needs: &[need(&["url", "url_file"], &[], "one of url or url_file must be configured")],
        send_resolved: true,
    },
    Kind {
        key: "jira_configs",
        name: "jira",
        fields: &[
            "api_url",
            "api_type",
            "project",
            "summary",
            "description",
            "labels",
            "priority",
            "issue_type",
            "reopen_transition",
            "resolve_transition",
            "wont_fix_resolution",
            "reopen_duration",
            "fields",
        ],
        needs: &[
            need(&["project"], &[], "missing project in jira_config"),
            need(&["issue_type"], &[], "missing issue_type in jira_config"),
            need(&["api_url"], &["jira_api_url"], "no global Jira Cloud URL set"),
        ],
        send_resolved: true,
    },
    Kind {
        key: "mattermost_configs",
        name: "mattermost",
        fields: &[
            "webhook_url",
            "webhook_url_file",
            "channel",
            "username",
            "icon_url",
            "icon_emoji",
            "text",
            "fallback",
            "color",
            "pretext",
            "author_name",
            "author_link",
            "author_icon",
            "title",
            "title_link",
            "fields",
            "thumb_url",
            "footer",
            "footer_icon",
            "image_url",
            "attachments",
            "props",
            "type",
            "priority",
        ],
        needs: &[need(
            &["webhook_url", "webhook_url_file"],
            &["mattermost_webhook_url"],
            "no global Mattermost Webhook URL set either inline or in a file",
        )],
        send_resolved: true,
    },
    Kind {
        key: "msteams_configs",
        name: "msteams",
        fields: &["webhook_url", "webhook_url_file", "title", "summary", "text"],
        needs: &[WEBHOOK_URL],
        send_resolved: true,
    },
    Kind {
        key: "msteamsv2_configs",
        name: "msteamsv2",
        fields: &["webhook_url", "webhook_url_file", "title", "text"],
        needs: &[WEBHOOK_URL],
        send_resolved: true,
    },
    Kind {
        key: "opsgenie_configs",
        name: "opsgenie",
        fields: &[
            "api_key",
            "api_key_file",
            "api_url",
            "message",
            "description",
            "source",
            "details",
            "entity",
            "responders",
            "actions",
            "tags",
            "note",
            "priority",
            "update_alerts",
        ],
        needs: &[need(
            &["api_key", "api_key_file"],
            &["opsgenie_api_key"],
            "no global OpsGenie API Key set either inline or in a file",
        )],
        send_resolved: true,
    },
    Kind {
        key: "pushover_configs",
        name: "pushover",
        fields: &[
            "user_key",
            "user_key_file",
            "token",
            "token_file",
            "title",
            "message",
            "url",
            "url_title",
            "device",
            "sound",
            "priority",
            "retry",
            "expire",
            "ttl",
            "html",
            "monospace",
        ],
        needs: &[
            need(&["user_key", "user_key_file"], &[], "one of user_key or user_key_file must be configured"),
            need(&["token", "token_file"], &[], "one of token or token_file must be configured"),
        ],
        send_resolved: true,
    },
    Kind {
        key: "rocketchat_configs",
        name: "rocketchat",
        fields: &[
            "api_url",
            "channel",
            "token",
            "token_file",
            "token_id",
            "token_id_file",
            "color",
            "title",
            "title_link",
            "text",
            "fields",
            "short_fields",
            "emoji",
            "icon_url",
            "image_url",
            "thumb_url",
            "link_names",
            "actions",
        ],
        needs: &[
            need(
                &["token", "token_file"],
                &["rocketchat_token"],
                "no global Rocketchat Token set either inline or in a file",
            ),
            need(
                &["token_id", "token_id_file"],
                &["rocketchat_token_id"],
                "no global Rocketchat TokenID set either inline or in a file",
            ),
        ],
        send_resolved: false,
    },
    Kind {
        key: "sns_configs",
        name: "sns",
        fields: &[
            "api_url",
            "sigv4",
            "topic_arn",
            "phone_number",
            "target_arn",
            "subject",
            "message",
            "attributes",
            "use_aws_http_client",
        ],
        needs: &[need(
            &["target_arn", "topic_arn", "phone_number"],
            &[],
            "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config",
        )],
        send_resolved: true,
    },
    Kind {
        key: "telegram_configs",
        name: "telegram",
        fields: &[
            "api_url",
            "bot_token",
            "bot_token_file",
            "chat_id",
            "chat_id_file",
            "message_thread_id",
            "message",
            "disable_notifications",
            "parse_mode",
        ],
        needs: &[
            need(&["chat_id", "chat_id_file"], &[], "missing chat_id or chat_id_file on telegram_config"),
            need(
                &["bot_token", "bot_token_file"],
                &["telegram_bot_token"],
                "missing bot_token or bot_token_file on telegram_config",
            ),
        ],
        send_resolved: true,
    },
    Kind {
        key: "victorops_configs",
        name: "victorops",
        fields: &[
            "api_key",
            "api_key_file",
            "api_url",
            "routing_key",
            "message_type",
            "state_message",
            "entity_display_name",
            "monitoring_tool",
            "custom_fields",
        ],
        needs: &[
            need(&["routing_key"], &[], "missing Routing key in VictorOps config"),
            need(&["api_key", "api_key_file"], &["victorops_api_key"], "no global VictorOps API Key set"),
        ],
        send_resolved: true,
    },
    Kind {
        key: "webex_configs",
        name: "webex",
        fields: &["api_url", "room_id", "message"],
        needs: &[need(&["room_id"], &[], "missing room_id on webex_config")],
        send_resolved: true,
    },
    Kind {
        key: "wechat_configs",
        name: "wechat",
        fields: &[
            "api_secret",
            "api_secret_file",
            "api_url",
            "corp_id",
            "agent_id",
            "to_user",
            "to_party",
            "to_tag",
            "message",
            "message_type",
        ],
        needs: &[
            need(
                &["api_secret", "api_secret_file"],
                &["wechat_api_secret"],
                "no global Wechat Api Secret set either inline or in a file",
            ),
            need(&["corp_id"], &["wechat_api_corp_id"], "no global Wechat CorpID set"),
        ],
        send_resolved: false,
    },
];

/// Pairs of which only one may be written.
const EITHER: [(&str, &str); 10] = [
    ("webhook_url", "webhook_url_file"),
    ("url", "url_file"),
    ("alert_source_token", "alert_source_token_file"),
    ("api_key", "api_key_file"),
    ("api_secret", "api_secret_file"),
    ("bot_token", "bot_token_file"),
    ("chat_id", "chat_id_file"),
    ("token", "token_file"),
    ("token_id", "token_id_file"),
    ("user_key", "user_key_file"),
];

/// The integrations of such kinds of one receiver, and where each is written.
pub fn read(receiver: &Fields<'_>, defaults: &Defaults<'_>) -> Vec<At<IntegrationConfig>> {
    let (mut found, set) = (Vec::new(), set_in_global(&defaults.global));
    for kind in &KINDS {
        for f in receiver.each(kind.key) {
            found.push(At { at: f.at(), value: one(f, kind, &set) });
        }
    }
    found
}

fn one(f: Fields<'_>, kind: &'static Kind, set: &[&str]) -> IntegrationConfig {
    let send_resolved = f.bool("send_resolved");
    if let Some(config) = f.fields("http_config") {
        http::http(config);
    }
    for (inline, file) in EITHER {
        // Only fields of the kind are asked for: the others are refused as unknown below.
        let has_both = kind.fields.contains(&inline) && kind.fields.contains(&file);
        if has_both && f.node(inline).is_some() && f.node(file).is_some() {
            f.notes().mistake(f.at(), format!("at most one of {inline} & {file} must be configured"));
        }
    }
    for field in kind.fields {
        f.node(field);
    }
    for need in kind.needs {
        let here = need.fields.iter().any(|field| f.node(field).is_some());
        if !here && !need.global.iter().any(|key| set.contains(key)) {
            f.notes().mistake(f.at(), need.missing);
        }
    }
    f.finish();
    IntegrationConfig::new(ForeignConfig { kind: kind.name, send_resolved, send_resolved_default: kind.send_resolved })
}

/// Secrets of receiver kinds that are not supported: read, so that a stock file is judged as Alertmanager judges it.
const FOREIGN_SECRETS: [(&str, &str); 7] = [
    ("opsgenie_api_key", "opsgenie_api_key_file"),
    ("victorops_api_key", "victorops_api_key_file"),
    ("wechat_api_secret", "wechat_api_secret_file"),
    ("telegram_bot_token", "telegram_bot_token_file"),
    ("rocketchat_token", "rocketchat_token_file"),
    ("rocketchat_token_id", "rocketchat_token_id_file"),
    ("mattermost_webhook_url", "mattermost_webhook_url_file"),
];

const FOREIGN_URLS: [&str; 9] = [
    "opsgenie_api_url",
    "victorops_api_url",
    "wechat_api_url",
    "wechat_api_corp_id",
    "telegram_api_url",
    "webex_api_url",
    "rocketchat_api_url",
    "jira_api_url",
    "hipchat_api_url",
];

/// Names of the keys for these kinds that `global` sets.
pub fn set_in_global(f: &Fields<'_>) -> Vec<&'static str> {
    let mut set = Vec::new();
    for (key, file_key) in FOREIGN_SECRETS {
        let (inline, file) = (f.filled(key), f.filled(file_key));
        if let (Some(inline), Some(_)) = (inline, file) {
            f.notes().mistake_with(
                inline.at,
                format!("at most one of {key} & {file_key} must be configured"),
                "keep the file and remove the inline secret",
            );
        }
        if inline.is_some() || file.is_some() {
            set.push(key);
        }
    }
    for key in FOREIGN_URLS {
        if f.filled(key).is_some() {
            set.push(key);
        }
    }
    set
}

/// A kind of Alertmanager's that we do not deliver to: what is sent to it fails at once, and says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignConfig {
    /// `opsgenie`, `telegram`, …
    pub kind: &'static str,
    /// `None`: the kind's default.
    pub send_resolved: Option<bool>,
    pub send_resolved_default: bool,
}

impl Settings for ForeignConfig {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn send_resolved(&self) -> Option<bool> {
        self.send_resolved
    }

    fn send_resolved_default(&self) -> bool {
        self.send_resolved_default
    }

    fn capability(&self) -> Capability {
        Capability { updates_in_place: false, threads: false, acknowledgements: false, repeats: Repeats::BestEffort }
    }

    fn build(&self, _: &Renderer) -> Result<Arc<dyn Notifier>, String> {
        Ok(Arc::new(Foreign(self.kind)))
    }
}
