//! From the bytes of a request to samples in the head.
//! In: a decompressed message. Out: a [`Report`] of what was kept and what was not, and why.
//! Never: parses the labels of a series that it knows by their bytes, or keeps nothing because one sample is bad.
//! Start at [`Append::run`].

use super::report::{Refused, Report, quoted};
use crate::model::{SampleValue, Timestamp};
use crate::series::ha::{HaTracker, NO_ORIGIN};
use crate::series::{AppendError, Appended, Batch, Head, SeriesHandle, SpanHasher};
use crate::wire::remote_write::v1::{self, Pairs};
use crate::wire::remote_write::v2::{self, Symbols};
use crate::wire::remote_write::{Malformed, RawMetadata, RawSample, Version, histogram};
use smallvec::SmallVec;
use std::fmt::Display;
use std::sync::Arc;

/// One request on its way.
pub struct Append<'a> {
    head: &'a Head,
    ha: &'a HaTracker,
    batch: Batch<'a>,
    now: Timestamp,
    report: Report,
    verdict: Verdict,
}

/// Checked labels.
type Texts<'a> = SmallVec<[(&'a str, &'a str); 32]>;

/// Whether the last seen HA origin is elected. A request usually has one origin, so the tracker is asked once.
#[derive(Default)]
struct Verdict {
    origin: u32,
    admitted: bool,
}

impl Verdict {
    #[inline]
    fn of(&mut self, ha: &HaTracker, origin: u32, now: Timestamp) -> bool {
        if origin == NO_ORIGIN {
            return true;
        }
        if self.origin != origin {
            *self = Self { origin, admitted: ha.admit(origin, now) };
        }
        self.admitted
    }
}

/// Known samples that are appended together.
const GROUP: usize = 16;
/// A new series stays for a window, so that the second try succeeds unless the clock or the budget is against it.
const PUT_TRIES: usize = 3;

/// The sample of a known series, and its message for what may go wrong.
struct Gathered<'m> {
    slot: u32,
    sample: RawSample,
    body: &'m [u8],
}

type SampleGroup<'m> = SmallVec<[Gathered<'m>; GROUP]>;

impl<'a> Append<'a> {
    /// `symbols` is memory that is used again from request to request.
    pub fn run(
        version: Version,
        message: &[u8],
        symbols: &mut Symbols,
        head: &'a Head,
        ha: &'a HaTracker,
        now: Timestamp,
    ) -> Report {
        let mut append =
            Append { head, ha, batch: head.batch(now), now, report: Report::default(), verdict: Verdict::default() };
        let end = match version {
            Version::V1 => append.v1(message),
            Version::V2 => append.v2(message, symbols),
        };
        if let Err(malformed) = end {
            append.report.malformed = Some(malformed);
            append.report.rejected.push(("malformed", 1));
        }
        append.report.watched = append.batch.watched();
        append.report.saw(append.batch.newest());
        append.report
    }

    fn v1(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let hasher = self.head.hasher();
        let mut group = SampleGroup::new();
        let mut walk = || {
            for item in v1::items(message) {
                match item? {
                    v1::Item::Series(body) => {
                        if let Some((span, sample)) = v1::tail_sample(body)
                            && let Some(key) = hasher.span(span)
                            && self.gather(key, sample, body, &mut group)
                        {
                            if group.len() == GROUP {
                                self.flush_v1(&mut group)?;
                            }
                            continue;
                        }
                        self.flush_v1(&mut group)?;
                        self.v1_series(body)?;
                    }
                    v1::Item::Metadata(metadata) => self.metadata(&metadata, &[], |_| None),
                }
            }
            Ok(())
        };
        let end = walk();
        // What came before the message broke off is kept.
        self.flush_v1(&mut group).and(end)
    }

    fn flush_v1(&mut self, group: &mut SampleGroup<'_>) -> Result<(), Malformed> {
        let gone = self
            .append_group(group, |body| v1::tail_sample(body).map_or(Refused::Span(body), |(s, _)| Refused::Span(s)));
        gone.into_iter().try_for_each(|body| self.v1_series(body))
    }

    fn v1_series(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let series = v1::TimeSeries::parse(body)?;
        let n = (series.samples().count() + series.histograms().count()) as u64;
        if n == 0 {
            return Ok(());
        }
        let key = series.label_span().and_then(|span| self.head.hasher().span(span));
        let Some((place, origin)) = self.find(key, &series.labels, n) else { return Ok(()) };
        self.append(place, origin, &series.labels, series.samples(), series.histograms(), series.exemplars as u64)
    }

    /// Puts the sample of a known series beside others; false when the key is not known.
    #[inline]
    fn gather<'m>(&mut self, key: u128, sample: RawSample, body: &'m [u8], group: &mut SampleGroup<'m>) -> bool {
        let Some((slot, origin)) = self.batch.slot_of(key) else { return false };
        if self.verdict.of(self.ha, origin, self.now) {
            group.push(Gathered { slot, sample, body });
        } else {
            self.report.ha_dropped += 1;
        }
        true
    }

    /// Appends what was gathered; returns the bodies of series that have left in the meantime.
    #[inline]
    fn append_group<'m, 's>(
        &mut self,
        group: &mut SampleGroup<'m>,
        name: impl Fn(&'m [u8]) -> Refused<'s>,
    ) -> SmallVec<[&'m [u8]; 1]> {
        let mut gone = SmallVec::new();
        let Self { batch, report, .. } = self;
        let sample = |g: &Gathered<'m>| (g.slot, g.sample.t_ms, g.sample.bits);
        batch.append_group(group, sample, |g, result| match result {
            // A sample that was there already counts as written: the sender's second try must succeed.
            Some(Ok(Appended::Added | Appended::Known)) => report.samples += 1,
            Some(Err(e)) => {
                if e == AppendError::TooFarAhead {
                    report.saw(Some(Timestamp::from_millis(g.sample.t_ms)));
                }
                report.reject(e.reason(), 1, format_args!("{e}: {}", name(g.body)));
            }
            None => gone.push(g.body),
        });
        group.clear();
        gone
    }

    /// The series that is known by `key`, or else by its labels; then the key is remembered.
    fn find(&mut self, key: Option<u128>, pairs: &Pairs<'_>, n: u64) -> Option<(SeriesHandle, u32)> {
        if let Some(known) = key.and_then(|key| self.batch.known(key)) {
            return Some(known);
        }
        let (place, origin) = self.resolve(pairs, n)?;
        if let Some(key) = key {
            self.batch.remember(key, place, origin);
        }
        Some((place, origin))
    }

    fn v2(&mut self, message: &[u8], symbols: &mut Symbols) -> Result<(), Malformed> {
        let hasher = self.head.hasher();
        symbols.read(message, |text| hasher.text(text))?;
        let symbols = &*symbols;
        let mut group = SampleGroup::new();
        let mut walk = || {
            for body in v2::series(message) {
                let body = body?;
                if let Some((refs, sample)) = v2::usual(body, symbols.len())
                    && let Some(key) = row_key(hasher, symbols, refs)
                    && self.gather(key, sample, body, &mut group)
                {
                    if group.len() == GROUP {
                        self.flush_v2(message, symbols, &mut group)?;
                    }
                    continue;
                }
                self.flush_v2(message, symbols, &mut group)?;
                self.v2_series(message, symbols, &v2::TimeSeries::parse(body)?)?;
            }
            Ok(())
        };
        let end = walk();
        self.flush_v2(message, symbols, &mut group).and(end)
    }

    fn flush_v2(&mut self, message: &[u8], symbols: &Symbols, group: &mut SampleGroup<'_>) -> Result<(), Malformed> {
        let refs = |body| v2::usual(body, symbols.len()).map_or(&[][..], |(refs, _)| refs);
        let gone = self.append_group(group, |body| Refused::Refs(message, symbols, refs(body)));
        gone.into_iter().try_for_each(|body| self.v2_series(message, symbols, &v2::TimeSeries::parse(body)?))
    }

    fn v2_series(&mut self, message: &[u8], symbols: &Symbols, series: &v2::TimeSeries<'_>) -> Result<(), Malformed> {
        let n = (series.samples + series.histograms) as u64;
        let (mut pairs, mut hashes) = (Pairs::new(), SmallVec::<[(u64, u64); 32]>::new());
        let (refs, odd) = series.refs.as_chunks::<2>();
        for [name, value] in refs {
            let (Some(n_text), Some(v_text), Some(n_hash), Some(v_hash)) =
                (symbols.get(message, *name), symbols.get(message, *value), symbols.hash(*name), symbols.hash(*value))
            else {
                let outside = (*name).max(*value);
                self.reject_refs(
                    n,
                    format_args!("label reference {outside} is outside of symbols table of {}", symbols.len()),
                );
                return Ok(());
            };
            hashes.push((n_hash, v_hash));
            pairs.push((n_text, v_text));
        }
        if !odd.is_empty() {
            self.reject_refs(n, format_args!("odd number of label references: {}", series.refs.len()));
            return Ok(());
        }
        if let Some(RawMetadata::V2 { help_ref, unit_ref, .. }) = &series.metadata
            && (*help_ref).max(*unit_ref) as usize >= symbols.len()
        {
            let outside = (*help_ref).max(*unit_ref);
            self.reject_refs(
                n,
                format_args!("metadata reference {outside} is outside of symbols table of {}", symbols.len()),
            );
            return Ok(());
        }
        let both = series.samples > 0 && series.histograms > 0;
        if n == 0 || both {
            let rule = if both { "not both" } else { "at least one" };
            let what = Refused::Pairs(&pairs);
            self.report.reject(
                "invalid_labels",
                n.max(1),
                format_args!("TimeSeries must contain samples or histograms, {rule}: {what}"),
            );
            return Ok(());
        }
        let key = self.head.hasher().row(hashes.into_iter().map(Some));
        let known = key.and_then(|key| self.batch.known(key));
        let (place, origin) = if let Some(known) = known {
            known
        } else {
            let Some(found) = self.find(key, &pairs, n) else { return Ok(()) };
            if let Some(metadata) = &series.metadata {
                let name = crate::model::labels::METRIC_NAME.as_bytes();
                let metric = pairs.iter().find(|(n, _)| *n == name).map_or(&[][..], |(_, value)| *value);
                self.metadata(metadata, metric, |r| symbols.get(message, r));
            }
            found
        };
        let exemplars = self.v2_exemplars(symbols, series, &pairs);
        self.append(place, origin, &pairs, series.samples(), series.histograms(), exemplars)
    }

    /// How many exemplars are good; the others are reported.
    fn v2_exemplars(&mut self, symbols: &Symbols, series: &v2::TimeSeries<'_>, pairs: &Pairs<'_>) -> u64 {
        let mut good = 0;
        if series.exemplars() == 0 {
            return good;
        }
        for refs in series.exemplar_refs() {
            if refs.len() % 2 == 0 && refs.iter().all(|r| (*r as usize) < symbols.len()) {
                good += 1;
            } else {
                let what = Refused::Pairs(pairs);
                let text = format_args!("exemplar label reference is odd or outside of symbols table: {what}");
                self.report.reject("invalid_labels", 1, text);
            }
        }
        good
    }

    fn reject_refs(&mut self, n: u64, what: impl Display) {
        self.report.reject("invalid_labels", n.max(1), what);
    }

    /// Finds or makes the series of these pairs. All that is checked once per series is checked here.
    fn resolve(&mut self, pairs: &Pairs<'_>, n: u64) -> Option<(SeriesHandle, u32)> {
        let (texts, origin) = match self.texts(pairs) {
            Ok(checked) => checked,
            Err(text) => {
                self.report.reject("invalid_labels", n, format_args!("{text}: {}", Refused::Pairs(pairs)));
                return None;
            }
        };
        match self.batch.place(&texts) {
            Ok(place) => Some((place, origin)),
            Err(AppendError::NoRoom { metric }) => {
                self.head.leave_out(&metric, n);
                self.report.left_out += n;
                None
            }
            Err(e) => {
                self.report.reject(e.reason(), n, format_args!("{e}: {}", Refused::Pairs(pairs)));
                None
            }
        }
    }

    /// Sorts and checks; takes the replica label out and remembers who writes.
    fn texts<'t>(&self, pairs: &Pairs<'t>) -> Result<(Texts<'t>, u32), String> {
        let mut texts = Texts::new();
        for (name, value) in pairs {
            let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
                return Err("invalid UTF-8 in a label".to_owned());
            };
            if name.is_empty() {
                return Err("empty label name".to_owned());
            }
            texts.push((name, value));
        }
        texts.sort_unstable_by_key(|(name, _)| *name);
        if let Some(twice) = texts.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(format!("duplicate label name {}", quoted(twice[0].0.as_bytes())));
        }
        // An empty value means that there is no such label.
        texts.retain(|(_, value)| !value.is_empty());
        if !texts.iter().any(|(name, _)| *name == crate::model::labels::METRIC_NAME) {
            return Err("missing metric name".to_owned());
        }
        let config = self.ha.config();
        let value = |label: &str| texts.iter().find(|(name, _)| *name == label).map_or("", |(_, value)| *value);
        let origin = self.ha.origin(value(&config.cluster_label), value(&config.replica_label));
        if origin != NO_ORIGIN {
            texts.retain(|(name, _)| *name != config.replica_label);
        }
        Ok((texts, origin))
    }

    fn append<'m>(
        &mut self,
        mut place: SeriesHandle,
        origin: u32,
        pairs: &Pairs<'_>,
        samples: impl Iterator<Item = RawSample>,
        histograms: impl Iterator<Item = &'m [u8]>,
        exemplars: u64,
    ) -> Result<(), Malformed> {
        if !self.verdict.of(self.ha, origin, self.now) {
            self.report.ha_dropped += (samples.count() + histograms.count()) as u64;
            return Ok(());
        }
        for s in samples {
            let value = SampleValue::Float(f64::from_bits(s.bits));
            self.report.samples += u64::from(self.put(&mut place, pairs, s.t_ms, &value));
        }
        for message in histograms {
            let (t_ms, decoded) = histogram(message)?;
            match decoded {
                Ok(h) => {
                    let value = SampleValue::Histogram(Arc::new(h));
                    self.report.histograms += u64::from(self.put(&mut place, pairs, t_ms, &value));
                }
                Err(e) => self.refuse(place, "invalid_histogram", &e),
            }
        }
        self.report.exemplars += exemplars;
        Ok(())
    }

    /// Whether the sample was kept; if not, why is in the report. A series that has left since it was found comes in anew.
    fn put(&mut self, place: &mut SeriesHandle, pairs: &Pairs<'_>, t_ms: i64, value: &SampleValue) -> bool {
        for _ in 0..PUT_TRIES {
            match self.batch.append_at(*place, t_ms, value) {
                Some(Ok(_)) => return true,
                Some(Err(e)) => {
                    if e == AppendError::TooFarAhead {
                        self.report.saw(Some(Timestamp::from_millis(t_ms)));
                    }
                    self.refuse(*place, e.reason(), &e);
                    return false;
                }
                None => match self.resolve(pairs, 1) {
                    Some((found, _)) => *place = found,
                    None => return false,
                },
            }
        }
        // The series left the head at each try; only a memory budget sends series away that often.
        self.report.left_out += 1;
        false
    }

    fn refuse(&mut self, place: SeriesHandle, reason: &'static str, why: &dyn Display) {
        if self.report.is_full() {
            self.report.reject(reason, 1, "");
            return;
        }
        let labels = self.batch.labels(place);
        self.report.reject(reason, 1, format_args!("{why}: {}", Refused::Labels(&labels)));
    }

    /// Metadata never fails a write; what is not text is left out.
    fn metadata<'m>(&mut self, metadata: &RawMetadata<'m>, metric: &'m [u8], symbol: impl Fn(u32) -> Option<&'m [u8]>) {
        let (kind, metric, help, unit) = match metadata {
            RawMetadata::V1 { kind, family, help, unit } => (*kind, *family, Some(*help), Some(*unit)),
            RawMetadata::V2 { kind, help_ref, unit_ref } => (*kind, metric, symbol(*help_ref), symbol(*unit_ref)),
        };
        let text = |bytes: Option<&'m [u8]>| bytes.and_then(|b| std::str::from_utf8(b).ok());
        if let (Some(metric), Some(help), Some(unit)) = (text(Some(metric)), text(help), text(unit)) {
            self.head.metadata().lock().put(metric, kind, help, unit);
            self.report.metadata += 1;
        }
    }
}

/// What packed references are known by, whatever the numbers are in this request's table. A function of its own, so that
/// its sum stays in registers.
#[inline(never)]
fn row_key(hasher: &SpanHasher, symbols: &Symbols, refs: &[u8]) -> Option<u128> {
    hasher.row(symbols.hashes(refs))
}
