//! What became of a request, and what its sender is answered.
//! In: counts and complaints as a request is read. Out: the text of a 400.
//! Never: grows with the number of bad samples, or repeats a sender's text at length.
//! Start at [`Report`].

use crate::model::{Labels, Timestamp};
use crate::wire::remote_write::Malformed;
use crate::wire::remote_write::v1::{self, Pair};
use crate::wire::remote_write::v2::Symbols;
use smallvec::SmallVec;
use std::fmt::Display;
use std::net::IpAddr;

/// Bad samples that an answer names; the rest is only counted.
const COMPLAINTS_MAX: usize = 20;
/// A name or value in a complaint is cut at this many bytes before anything else.
const COMPLAINT_TEXT_BYTES: usize = 128;
/// Label text in a complaint is cut at this many characters.
const COMPLAINT_LABELS_CHARS: usize = 300;

/// What became of one request.
#[derive(Debug, Default)]
pub struct Report {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
    pub metadata: u64,
    /// Not kept because another HA replica is elected; this is no error.
    pub ha_dropped: u64,
    /// Not kept because the memory budget has no room for their series; this is no error either.
    pub left_out: u64,
    /// How many were bad, the first few as text.
    pub bad: u64,
    pub complaints: Vec<String>,
    /// Reason and number.
    pub rejected: SmallVec<[(&'static str, u64); 4]>,
    /// Whether a sample came to a series that some rule watches.
    pub watched: bool,
    /// The newest sample, one that was refused for being too far ahead included.
    pub newest: Option<Timestamp>,
    /// Set when the message broke off; what came before it was kept.
    pub malformed: Option<Malformed>,
}

impl Report {
    pub(super) fn reject(&mut self, reason: &'static str, n: u64, what: impl Display) {
        self.bad += n;
        match self.rejected.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, count)) => *count += n,
            None => self.rejected.push((reason, n)),
        }
        if !self.is_full() {
            self.complaints.push(what.to_string());
        }
    }

    /// Whether more complaints would only be counted.
    pub(super) fn is_full(&self) -> bool {
        self.complaints.len() >= COMPLAINTS_MAX
    }

    /// Whether something of the request is in the head now.
    pub fn kept_something(&self) -> bool {
        self.samples + self.histograms + self.metadata > 0
    }

    pub(super) fn saw(&mut self, newest: Option<Timestamp>) {
        self.newest = self.newest.max(newest);
    }

    /// Samples that were rejected for this reason.
    pub fn rejected_for(&self, reason: &str) -> u64 {
        self.rejected.iter().find(|(r, _)| *r == reason).map_or(0, |(_, n)| *n)
    }

    /// The text of the refusal, or `None` if all is well. Whose clock is ahead is named: a proxy's log holds many senders.
    pub fn refusal(&self, sender: Option<IpAddr>) -> Option<String> {
        let mut lines = self.complaints.clone();
        if let Some(more) = self.bad.checked_sub(lines.len() as u64).filter(|n| *n > 0) {
            lines.push(format!("and {more} more samples"));
        }
        let ahead = self.rejected_for("too_far_ahead");
        if let Some(sender) = sender.filter(|_| ahead > 0) {
            lines
                .push(format!("{ahead} samples of sender {sender} are too far ahead of our clock: check the sender's"));
        }
        lines.extend(self.malformed.map(|m| m.to_string()));
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// The start of a sender's text, for an answer.
fn readable(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(COMPLAINT_TEXT_BYTES)]).into_owned()
}

pub(super) fn quoted(text: &[u8]) -> String {
    format!("{:?}", readable(text))
}

/// Whose sample was refused, as a sender can recognise it.
pub(super) enum Refused<'a> {
    Span(&'a [u8]),
    /// A message, its symbols, and packed references.
    Refs(&'a [u8], &'a Symbols, &'a [u8]),
    Pairs(&'a [Pair<'a>]),
    Labels(&'a Labels),
}

impl Display for Refused<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Labels(labels) => labels.to_string(),
            Self::Span(span) => {
                return v1::TimeSeries::parse(span).map_or(Ok(()), |s| Refused::Pairs(&s.labels).fmt(f));
            }
            Self::Refs(message, symbols, refs) => {
                return Refused::Pairs(&symbols.pairs(message, refs)).fmt(f);
            }
            Self::Pairs(pairs) => {
                let pair = |(n, v): &Pair<'_>| format!("{}={}", readable(n), quoted(v));
                let pairs: Vec<String> = pairs.iter().take(64).map(pair).collect();
                format!("{{{}}}", pairs.join(", "))
            }
        };
        match text.char_indices().nth(COMPLAINT_LABELS_CHARS) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(&text),
        }
    }
}
