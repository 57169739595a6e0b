//! Names that things are known by.
//! In: numbers and text. Out: newtypes that cannot be mistaken for one another.
//! Never: random; ids that people say are counters kept by the engine.
//! Start at [`Fingerprint`].

use super::labels::Labels;
use std::fmt;
use std::sync::Arc;

/// The identity of an alert: FNV-1a 64 over its sorted labels, as Alertmanager computes it (prometheus/common `Fingerprint`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    const OFFSET: u64 = 14_695_981_039_346_656_037;
    const PRIME: u64 = 1_099_511_628_211;

    /// Name, 0xff, value, 0xff for each label in byte order of the names.
    pub fn of(labels: &Labels) -> Self {
        Self::of_pairs(labels.iter())
    }

    /// The same over pairs that are sorted by name already, so that a part of a label set needs no copy.
    pub fn of_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut hash = Self::OFFSET;
        let mut eat = |bytes: &[u8]| {
            for b in bytes {
                hash = (hash ^ u64::from(*b)).wrapping_mul(Self::PRIME);
            }
        };
        for (name, value) in pairs {
            eat(name.as_bytes());
            eat(&[0xff]);
            eat(value.as_bytes());
            eat(&[0xff]);
        }
        Self(hash)
    }

    /// Reads the sixteen hex digits that [`fmt::Display`] prints.
    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A series in the head. Unique for the life of the process, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SeriesId(pub u64);

/// A counter that people can say: `INC-1042`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IncidentId(pub u64);

impl IncidentId {
    /// Reads `INC-1042`.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("INC-")?.parse().ok().map(Self)
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INC-{}", self.0)
    }
}

/// The idempotency key of one notification to one destination; a repeat after a crash carries the same key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NotificationKey(pub Arc<str>);

impl NotificationKey {
    /// What stands before the number of a message that a person had sent again.
    const RESEND: &str = "/resend";

    /// The key under which a message is sent again for the `number`th time.
    #[must_use]
    pub fn resend(&self, number: u32) -> Self {
        Self(format!("{}{}{number}", self.original(), Self::RESEND).into())
    }

    pub fn is_resend(&self) -> bool {
        self.original().len() < self.0.len()
    }

    /// The key that was sent first.
    pub fn original(&self) -> &str {
        match self.0.rsplit_once(Self::RESEND) {
            Some((original, number)) if number.parse::<u32>().is_ok() => original,
            _ => &self.0,
        }
    }
}

impl fmt::Display for NotificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Ids in the data of timeline events are the texts that people see.
macro_rules! as_text {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} cannot be read")))
            }
        }
    };
}

as_text!(Fingerprint);
as_text!(IncidentId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_alertmanagers() {
        let labels = Labels::from_pairs([("name", "garland, briggs"), ("fear", "love is not enough")]);
        assert_eq!(Fingerprint::of(&labels).to_string(), "507a62d79ee76c9a");
        assert_eq!(Fingerprint::of(&Labels::empty()).0, Fingerprint::OFFSET);
    }

    #[test]
    fn a_message_is_sent_again_under_a_key_of_its_own() {
        let key = NotificationKey("INC-1/r1/s1/ops/slack0".into());
        let again = key.resend(1);
        assert_eq!(&*again.0, "INC-1/r1/s1/ops/slack0/resend1");
        assert_eq!(&*again.resend(2).0, "INC-1/r1/s1/ops/slack0/resend2");
        assert_eq!((key.is_resend(), again.is_resend()), (false, true));
        assert!(!NotificationKey("g/1/ops/resender0".into()).is_resend());
    }

    #[test]
    fn incident_id_can_be_said() {
        assert_eq!(IncidentId::parse("INC-7"), Some(IncidentId(7)));
        assert_eq!(IncidentId(7).to_string(), "INC-7");
        assert_eq!(IncidentId::parse("7"), None);
    }
}
