//! What an incident is called: the first alert's name and place.
//! In: labels of the alert that opened it. Out: a short line that stays the same.
//! Never: longer than the limit it is given.
//! Start at [`base`].

use crate::model::Labels;

/// The labels that say where, the most telling first.
const PLACES: [&str; 9] = ["instance", "node", "host", "hostname", "pod", "service", "deployment", "job", "namespace"];

/// `InstanceDown node-1:9100`.
pub fn base(labels: &Labels, bytes_max: usize) -> String {
    let place = PLACES.iter().find_map(|name| labels.get(name));
    let text = match (labels.alert_name(), place) {
        ("", None) => labels.to_string(),
        ("", Some(place)) => place.to_owned(),
        (name, Some(place)) => format!("{name} {place}"),
        (name, None) => name.to_owned(),
    };
    cut(text, bytes_max)
}

/// `text`, shortened to `bytes_max` bytes with an ellipsis when it is longer.
pub fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let mut end = bytes_max.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_short_and_stable() {
        let check = |labels: &[(&str, &str)], expect: &str| {
            assert_eq!(base(&Labels::from_pairs(labels.iter().copied()), 30), expect);
        };
        check(&[("alertname", "InstanceDown"), ("instance", "n1:9100"), ("job", "node")], "InstanceDown n1:9100");
        check(&[("alertname", "InstanceDown"), ("job", "node")], "InstanceDown node");
        check(&[("alertname", "A")], "A");
        check(&[("x", "1")], "{x=\"1\"}");
        check(&[("alertname", "äääääääääääääääääääääää")], "äääääääääääää…");
    }
}
