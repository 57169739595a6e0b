//! Slack's mrkdwn: what must be escaped in text that comes from alerts.
//! In: untrusted text. Out: text that cannot link, mention or shout.
//! Never: escapes what the operator wrote in a template.
//! Start at [`escape`].

use crate::model::{Labels, Message};

/// Between a mention's sigil and its word: invisible, and enough to make it plain text.
const WORD_JOINER: char = '\u{2060}';
const SHOUTS: [&str; 3] = ["@here", "@channel", "@everyone"];

/// Slack's three characters as entities (so `<!channel>` and `<http://…|click>` are plain text), and bare shouts broken up.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' if SHOUTS.iter().any(|s| text[at..].get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s))) => {
                out.push(c);
                out.push(WORD_JOINER);
            }
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The message with everything that alerts bring along escaped: what templates are given.
pub(super) fn escaped_message(message: &Message) -> Message {
    let labels = |labels: &Labels| Labels::from_pairs(labels.iter().map(|(n, v)| (escape(n), escape(v))));
    let mut message = message.clone();
    message.group_labels = labels(&message.group_labels);
    message.common_labels = labels(&message.common_labels);
    message.common_annotations = labels(&message.common_annotations);
    for alert in &mut message.alerts {
        alert.labels = labels(&alert.labels);
        alert.annotations = labels(&alert.annotations);
        alert.generator_url = escape(&alert.generator_url).into();
    }
    if let Some(incident) = &mut message.incident {
        incident.title = escape(&incident.title);
        incident.reason = escape(&incident.reason);
        incident.acknowledged_by = incident.acknowledged_by.as_deref().map(|by| escape(by).into());
    }
    for link in &mut message.incidents {
        link.title = escape(&link.title);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_cannot_mention_or_link() {
        assert_eq!(escape("<!channel> a & b <http://x|y>"), "&lt;!channel&gt; a &amp; b &lt;http://x|y&gt;");
        assert_eq!(escape("@Here and me@heresy.org"), "@\u{2060}Here and me@\u{2060}heresy.org");
        assert_eq!(escape("plain ☃ @ana\n"), "plain ☃ @ana\n");
    }
}
