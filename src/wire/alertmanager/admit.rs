//! What of a posted alert is kept: labels whole, annotations cut where they are too long, and what cannot be an alert refused.
//! In: pairs as they came. Out: [`Labels`], or a sentence.
//! Never: changes a label (it would become another alert), or refuses an alert because of its annotations' length.
//! Start at [`labels`] and [`annotations`].

use super::Pairs;
use crate::model::Labels;
use std::borrow::Cow;

/// The longest label or annotation name, in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;
/// The longest value of a label, in bytes.
pub const LABEL_BYTES_MAX: usize = 64 << 10;
/// An annotation that is longer is cut: it holds a paragraph, and messages cut it further.
pub const ANNOTATION_BYTES_MAX: usize = 16 << 10;
/// The most labels, and the most annotations, of one alert. Alertmanager has no limit; Prometheus' alerts carry about ten.
pub const PAIRS_MAX: usize = 1_024;
/// All labels, and all annotations, of one alert: what one alert can take of the memory.
pub const ALERT_BYTES_MAX: usize = 1 << 20;
/// A generator URL is cut after so many bytes.
pub const URL_BYTES_MAX: usize = 64 << 10;
/// The annotation that says how many others were left out.
pub const LEFT_OUT: &str = "watchfire_left_out";
/// Of a name that is shown in an answer.
const SHOWN_CHARS: usize = 64;

/// The labels, all of them, or why this cannot be an alert.
pub(super) fn labels(pairs: &Pairs<'_>) -> Result<Labels, String> {
    check_names("label", pairs)?;
    if pairs.total > PAIRS_MAX {
        return Err(format!("{} labels, at most {PAIRS_MAX} are taken", pairs.total));
    }
    if let Some((name, value)) = pairs.kept.iter().find(|(name, _)| name.len() > NAME_BYTES_MAX) {
        return Err(too_long(name, value.len()));
    }
    if let Some((name, value)) = pairs.kept.iter().find(|(_, value)| value.len() > LABEL_BYTES_MAX) {
        return Err(too_long(name, value.len()));
    }
    let bytes: usize = pairs.kept.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > ALERT_BYTES_MAX {
        return Err(format!("its labels have {bytes} bytes together, at most {ALERT_BYTES_MAX} are taken"));
    }
    let labels = Labels::from_refs(pairs.kept.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect());
    if labels.is_empty() { Err("at least one label pair required".to_owned()) } else { Ok(labels) }
}

/// The annotations, each cut to its limit, as many as there is room for.
pub(super) fn annotations(pairs: &Pairs<'_>) -> Result<Labels, String> {
    check_names("annotation", pairs)?;
    let is_usual = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| {
        name.len() <= NAME_BYTES_MAX && value.len() <= ANNOTATION_BYTES_MAX
    };
    // Sixty-four values at their limit are what an alert may have; the usual dozen needs no count and no copy.
    let fits = pairs.kept.len() <= ALERT_BYTES_MAX / (ANNOTATION_BYTES_MAX + NAME_BYTES_MAX);
    if fits && pairs.kept.iter().all(is_usual) && pairs.total == pairs.kept.len() {
        return Ok(Labels::from_refs(pairs.kept.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect()));
    }
    let (mut kept, mut bytes) = (Vec::with_capacity(pairs.kept.len()), 0);
    for (name, value) in pairs.kept.iter().filter(|(name, _)| name.len() <= NAME_BYTES_MAX) {
        let value = cut(value);
        if bytes + name.len() + value.len() <= ALERT_BYTES_MAX {
            bytes += name.len() + value.len();
            kept.push((name.clone(), value));
        }
    }
    let left_out = pairs.total - kept.len();
    if left_out > 0 {
        kept.push((Cow::Borrowed(LEFT_OUT), Cow::Owned(format!("… [cut: {left_out} of {} annotations]", pairs.total))));
    }
    Ok(Labels::from_refs(kept.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect()))
}

/// The generator URL, cut.
pub(super) fn url(text: &str) -> &str {
    &text[..text.floor_char_boundary(URL_BYTES_MAX.min(text.len()))]
}

fn check_names(what: &str, pairs: &Pairs<'_>) -> Result<(), String> {
    if pairs.kept.iter().any(|(name, _)| name.is_empty()) {
        return Err(format!("invalid {what} set: a name is empty"));
    }
    Ok(())
}

fn too_long(name: &str, value_bytes: usize) -> String {
    let shown: String = name.chars().take(SHOWN_CHARS).collect();
    format!(
        "label {shown:?} is too long: its name has {} bytes of at most {NAME_BYTES_MAX}, its value {value_bytes} of at most {LABEL_BYTES_MAX}",
        name.len()
    )
}

/// The value with a mark that says how long it was; the mark is within the limit.
fn cut(value: &str) -> Cow<'_, str> {
    if value.len() <= ANNOTATION_BYTES_MAX {
        return Cow::Borrowed(value);
    }
    let mark = format!("… [cut: {} bytes]", value.len());
    let kept = value.floor_char_boundary(ANNOTATION_BYTES_MAX - mark.len());
    Cow::Owned(format!("{}{mark}", &value[..kept]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(String, String)]) -> Pairs<'_> {
        let kept = list.iter().take(PAIRS_MAX).map(|(n, v)| (Cow::Borrowed(&**n), Cow::Borrowed(&**v))).collect();
        Pairs { kept, total: list.len() }
    }

    #[test]
    fn annotations_are_cut_and_say_so() {
        let check = |length: usize, text: &str, expect_len: usize, expect_end: &str| {
            let list = [("summary".to_owned(), text.repeat(length / text.len()))];
            let kept = annotations(&pairs(&list)).unwrap();
            let value = kept.value("summary");
            assert!(value.len() == expect_len && value.ends_with(expect_end), "{length}: {} bytes", value.len());
        };
        check(ANNOTATION_BYTES_MAX, "x", ANNOTATION_BYTES_MAX, "xx");
        check(81_920, "x", ANNOTATION_BYTES_MAX, "x… [cut: 81920 bytes]");
        check(90_000, "ä", ANNOTATION_BYTES_MAX, "ä… [cut: 90000 bytes]");
        let many: Vec<(String, String)> = (0..3_000).map(|i| (format!("a{i}"), "v".to_owned())).collect();
        let kept = annotations(&pairs(&many)).unwrap();
        assert_eq!(kept.iter().count(), PAIRS_MAX + 1);
        assert_eq!(kept.value(LEFT_OUT), "… [cut: 1976 of 3000 annotations]");
        let heavy: Vec<(String, String)> = (0..200).map(|i| (format!("a{i}"), "v".repeat(20_000))).collect();
        let kept = annotations(&pairs(&heavy)).unwrap();
        assert_eq!(kept.value(LEFT_OUT), "… [cut: 137 of 200 annotations]");
    }

    #[test]
    fn labels_are_kept_whole_or_refused() {
        let check = |list: &[(String, String)], expect: Result<usize, &str>| {
            let got = labels(&pairs(list)).map(|l| l.iter().count());
            match (&got, expect) {
                (Ok(n), Ok(expected)) => assert_eq!(*n, expected),
                (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
                _ => panic!("{got:?}, not {expect:?}"),
            }
        };
        let one = |name: usize, value: usize| [("n".repeat(name), "v".repeat(value))];
        check(&one(1, 20_000), Ok(1));
        check(&one(1, LABEL_BYTES_MAX), Ok(1));
        check(&one(1, LABEL_BYTES_MAX + 1), Err("65537 of at most 65536"));
        check(&one(NAME_BYTES_MAX + 1, 1), Err("is too long"));
        let many = |n: usize, bytes: usize| (0..n).map(|i| (format!("a{i}"), "v".repeat(bytes))).collect::<Vec<_>>();
        check(&many(200, 1), Ok(200));
        check(&many(PAIRS_MAX + 1, 1), Err("1025 labels, at most 1024"));
        check(&many(20, LABEL_BYTES_MAX), Err("bytes together"));
    }
}
