//! What an incident is called: the first alert's name and place, and how many more there are.
//! In: labels of the alert that opened it. Out: a short line that stays the same but for the count.
//! Never: longer than the limit it is given.
//! Start at [`title`].

use crate::model::Labels;

/// The labels that say where, the most telling first.
const PLACES: [&str; 9] = ["instance", "node", "host", "hostname", "pod", "service", "deployment", "job", "namespace"];

/// `InstanceDown node-1:9100`: the part of the title that never changes.
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

/// The base with `(+3)` for three more alerts.
pub fn title(base: &str, alert_count: u32) -> String {
    match alert_count {
        0 | 1 => base.to_owned(),
        n => format!("{base} (+{})", n - 1),
    }
}

/// The base of a title that [`title`] made.
pub fn base_of(title: &str) -> &str {
    match title.rsplit_once(" (+") {
        Some((base, count)) if count.strip_suffix(')').is_some_and(|n| n.parse::<u32>().is_ok()) => base,
        _ => title,
    }
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
        let check = |labels: &[(&str, &str)], count, expect: &str| {
            let base = base(&Labels::from_pairs(labels.iter().copied()), 30);
            let title = title(&base, count);
            assert_eq!(title, expect);
            assert_eq!(base_of(&title), base);
        };
        check(&[("alertname", "InstanceDown"), ("instance", "n1:9100"), ("job", "node")], 1, "InstanceDown n1:9100");
        check(&[("alertname", "InstanceDown"), ("job", "node")], 4, "InstanceDown node (+3)");
        check(&[("alertname", "A")], 2, "A (+1)");
        check(&[("x", "1")], 1, "{x=\"1\"}");
        check(&[("alertname", "äääääääääääääääääääääää")], 2, "äääääääääääää… (+1)");
    }
}
