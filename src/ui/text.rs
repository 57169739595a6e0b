//! Times and lengths as people read them.
//! In: moments. Out: short text.
//! Never: asks the clock; `now` is an argument.
//! Start at [`ago`].

use crate::model::Timestamp;
use std::time::Duration;

/// `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
pub fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => match seconds / 60 % 60 {
            0 => format!("{} h", seconds / 3600),
            minutes => format!("{} h {minutes} min", seconds / 3600),
        },
        _ => match seconds / 3600 % 24 {
            0 => format!("{} d", seconds / 86_400),
            hours => format!("{} d {hours} h", seconds / 86_400),
        },
    }
}

/// `just now`, `12 min ago`; a moment ahead is `in 5 min`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return format!("in {}", length(at.since(now)));
    }
    match now.since(at) {
        short if short < Duration::from_secs(2) => "just now".to_owned(),
        long => format!("{} ago", length(long)),
    }
}

/// A moment that is due: `in 5 min`; one that has come is `now`.
pub fn due(at: Timestamp, now: Timestamp) -> String {
    if at > now { ago(at, now) } else { "now".to_owned() }
}

/// The time of day, with the date when it is not today's: `03:04:05 UTC`, `2026-01-02 03:04:05 UTC`.
pub fn near(at: Timestamp, now: Timestamp) -> String {
    let text = clock(at);
    if text[..10] == clock(now)[..10] { text[11..].to_owned() } else { text }
}

/// Why an alert goes on: nothing says that it is over.
pub fn source_lost(since: Timestamp, now: Timestamp) -> String {
    format!("held: its source went silent at {}, not resolved", near(since, now))
}

/// The engine writes moments in full; people read `03:04:05 UTC`.
pub fn humane(text: &str, now: Timestamp) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([':', ';', ',', ')']);
        match Timestamp::parse_rfc3339(bare).filter(|_| bare.len() >= 20) {
            Some(at) => format!("{}{}", near(at, now), &word[bare.len()..]),
            None => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A sentence: with a capital and a full stop.
pub fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let capital: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{capital}{}{stop}", chars.as_str())
}

/// `2026-01-02 03:04:05 UTC`.
pub fn clock(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    format!("{} {} UTC", &text[..10], &text[11..19])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_source_is_told() {
        let now = Timestamp::parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        let since = now - Duration::from_mins(9);
        assert_eq!(source_lost(since, now), "held: its source went silent at 02:55:05 UTC, not resolved");
    }

    #[test]
    fn lengths_are_short() {
        for (seconds, text) in [(5, "5 s"), (60, "1 min"), (3661, "1 h 1 min"), (7200, "2 h"), (90_000, "1 d 1 h")] {
            assert_eq!(length(Duration::from_secs(seconds)), text);
        }
        let now = Timestamp::from_millis(1_000_000);
        assert_eq!(ago(now, now), "just now");
        assert_eq!(ago(now + Duration::from_secs(300), now), "in 5 min");
        assert_eq!((due(now, now).as_str(), due(now + Duration::from_secs(9), now).as_str()), ("now", "in 9 s"));
        assert_eq!(clock(Timestamp::EPOCH), "1970-01-01 00:00:00 UTC");
        assert_eq!(near(Timestamp::EPOCH, now), "00:00:00 UTC");
        assert_eq!(near(Timestamp::EPOCH, now + Duration::from_secs(90_000)), "1970-01-01 00:00:00 UTC");
        let said = "step 2 at 1970-01-01T00:00:07.250Z: ben";
        assert_eq!(humane(said, now), "step 2 at 00:00:07 UTC: ben");
        assert_eq!(sentence("ümlaut comes first"), "Ümlaut comes first.");
    }
}
