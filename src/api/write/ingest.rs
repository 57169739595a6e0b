//! From the bytes of a request to samples in the head.
//! In: a decompressed message. Out: a [`Report`] of what was kept and what was not, and why.
//! Never: parses the labels of a series that it knows by their bytes, or keeps nothing because one sample is bad.
//! Start at [`Ingest::run`].

use super::report::{Refused, Report, quoted};
use crate::model::{Labels, SampleValue, Timestamp};
use crate::series::ha::{HaTracker, NO_ORIGIN};
use crate::series::{AppendError, Appended, Batch, Hasher, Head, Series};
use crate::wire::remote_write::v1::{self, Pair, Pairs};
use crate::wire::remote_write::v2::{self, Symbols};
use crate::wire::remote_write::{Malformed, RawMetadata, RawSample, Version, histogram};
use smallvec::SmallVec;
use std::fmt::Display;
use std::sync::Arc;

/// One request on its way.
pub struct Ingest<'a> {
    head: &'a Head,
    ha: &'a HaTracker,
    batch: Batch<'a>,
    now: Timestamp,
    report: Report,
    verdict: Verdict,
}

/// The last origin, its names and whether it is admitted: a request usually has one.
#[derive(Default)]
struct Verdict {
    origin: u32,
    cluster: String,
    replica: String,
    admitted: bool,
}

impl Verdict {
    #[inline]
    fn of(&mut self, ha: &HaTracker, origin: u32, now: Timestamp) -> bool {
        if origin == NO_ORIGIN {
            return true;
        }
        if self.origin != origin {
            let (cluster, replica) = ha.names(origin).unwrap_or_default();
            *self = Self { origin, cluster, replica, admitted: ha.admit(origin, now) };
        }
        self.admitted
    }
}

impl<'a> Ingest<'a> {
    /// `symbols` is memory that is used again from request to request.
    pub fn run(
        version: Version,
        message: &[u8],
        symbols: &mut Symbols,
        head: &'a Head,
        ha: &'a HaTracker,
        now: Timestamp,
    ) -> Report {
        let mut ingest =
            Ingest { head, ha, batch: head.batch(now), now, report: Report::default(), verdict: Verdict::default() };
        let end = match version {
            Version::V1 => ingest.v1(message),
            Version::V2 => ingest.v2(message, symbols),
        };
        if let Err(malformed) = end {
            ingest.report.malformed = Some(malformed);
            ingest.report.rejected.push(("malformed", 1));
        }
        ingest.report.watched = ingest.batch.watched();
        ingest.report
    }

    fn v1(&mut self, message: &[u8]) -> Result<(), Malformed> {
        for item in v1::items(message) {
            match item? {
                v1::Item::Series(body) => self.v1_series(body)?,
                v1::Item::Metadata(metadata) => self.metadata(&metadata, &[], |_| None),
            }
        }
        Ok(())
    }

    #[inline]
    fn v1_series(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let tail = v1::tail_sample(body).map(|(span, sample)| (span, sample, self.head.hasher().bytes(span)));
        if let Some((span, sample, hash)) = tail
            && let Some(result) = self.append_known_span(span, hash, sample)
        {
            self.count_float(result, || Refused::Span(span));
            return Ok(());
        }
        let series = v1::TimeSeries::parse(body)?;
        let n = (series.samples().count() + series.histograms().count()) as u64;
        if n == 0 {
            return Ok(());
        }
        let Some((found, origin)) = self.resolve(&series.labels, n) else { return Ok(()) };
        if let Some((span, _, hash)) = tail
            && series.label_span() == Some(span)
            && self.is_canonical(span, found.labels(), origin)
        {
            self.head.alias(hash, &found, origin);
        }
        self.append(&found, origin, series.samples(), series.histograms(), series.exemplars as u64)
    }

    /// `None` when this span is not known.
    #[inline]
    fn append_known_span(&mut self, span: &[u8], hash: u64, s: RawSample) -> Option<Result<Appended, AppendError>> {
        let Self { ha, now, verdict, batch, .. } = self;
        let mut heard = None;
        let same = |labels: &Labels, origin: u32| {
            if origin == NO_ORIGIN {
                return v1::span_equals(span, labels.iter(), None);
            }
            let label = &ha.config().replica_label;
            if origin == verdict.origin {
                return v1::span_equals(span, labels.iter(), Some((label, &verdict.replica)));
            }
            let replica = ha.replica(origin).unwrap_or_default();
            v1::span_equals(span, labels.iter(), Some((label, &replica)))
        };
        let admit = |origin| {
            if origin == NO_ORIGIN || origin == verdict.origin {
                return origin == NO_ORIGIN || verdict.admitted;
            }
            heard = Some(origin);
            ha.admit(origin, *now)
        };
        let appended = batch.append_by_span(hash, same, admit, s.t_ms, f64::from_bits(s.bits));
        if let Some(origin) = heard {
            verdict.of(ha, origin, *now);
        }
        appended
    }

    /// Whether these bytes can be recognised next time; others would only fill the table.
    fn is_canonical(&self, span: &[u8], labels: &Labels, origin: u32) -> bool {
        let replica = self.ha.replica(origin);
        let extra = replica.as_deref().map(|replica| (self.ha.config().replica_label.as_str(), replica));
        v1::span_equals(span, labels.iter(), extra)
    }

    fn v2(&mut self, message: &[u8], symbols: &mut Symbols) -> Result<(), Malformed> {
        let hasher = self.head.hasher();
        symbols.read(message, |text| hasher.bytes(text))?;
        let replica = symbols_equal(symbols, message, &self.ha.config().replica_label);
        for series in v2::series(message) {
            self.v2_series(message, symbols, &replica, &series?)?;
        }
        Ok(())
    }

    fn v2_series(
        &mut self,
        message: &[u8],
        symbols: &Symbols,
        replica: &[u32],
        series: &v2::TimeSeries<'_>,
    ) -> Result<(), Malformed> {
        let n = (series.samples + series.histograms) as u64;
        let mut pairs = Pairs::new();
        let mut hash = 0_u64;
        let mut replica_pair = None;
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
            let pair_hash = if v_text.is_empty() { 0 } else { Hasher::pair(n_hash, v_hash) };
            hash = hash.wrapping_add(pair_hash);
            if replica.contains(name) {
                replica_pair = Some((v_text, pair_hash));
            }
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
        if !pairs.is_sorted_by_key(|(name, _)| *name) {
            pairs.sort_unstable_by_key(|(name, _)| *name);
        }
        let mut origin = NO_ORIGIN;
        if let Some((replica, pair_hash)) = replica_pair {
            origin = self.origin(&pairs, replica);
            if origin != NO_ORIGIN {
                hash = hash.wrapping_sub(pair_hash);
            }
        }
        let left_out = (origin != NO_ORIGIN).then_some(self.ha.config().replica_label.as_bytes());
        let known = self.head.find(hash, |labels| same_pairs(&pairs, left_out, labels));
        let (found, origin) = if let Some(found) = known {
            (found, origin)
        } else {
            let Some(resolved) = self.resolve(&pairs, n) else { return Ok(()) };
            if let Some(metadata) = &series.metadata {
                self.metadata(metadata, resolved.0.labels().metric_name().as_bytes(), |r| symbols.get(message, r));
            }
            resolved
        };
        let exemplars = self.v2_exemplars(symbols, series, &pairs);
        self.append(&found, origin, series.samples(), series.histograms(), exemplars)
    }

    /// Who writes this, by the last one's memory if it is the same.
    fn origin(&self, pairs: &Pairs<'_>, replica: &[u8]) -> u32 {
        let label = self.ha.config().cluster_label.as_bytes();
        let cluster = pairs.iter().find(|(name, _)| *name == label).map_or(&[][..], |(_, value)| *value);
        if self.verdict.cluster.as_bytes() == cluster && self.verdict.replica.as_bytes() == replica {
            return self.verdict.origin;
        }
        match (std::str::from_utf8(cluster), std::str::from_utf8(replica)) {
            (Ok(cluster), Ok(replica)) => self.ha.origin(cluster, replica),
            _ => NO_ORIGIN,
        }
    }

    /// How many exemplars are good; the others are told.
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
    fn resolve(&mut self, pairs: &Pairs<'_>, n: u64) -> Option<(Arc<Series>, u32)> {
        let result = self.labels(pairs).and_then(|(labels, origin)| {
            let found = self.head.find_or_create(&labels).map_err(|e| (e.reason(), e.to_string()))?;
            Ok((found, origin))
        });
        match result {
            Ok(resolved) => Some(resolved),
            Err((reason, text)) => {
                self.report.reject(reason, n, format_args!("{text}: {}", Refused::Pairs(pairs)));
                None
            }
        }
    }

    /// Sorts and checks; takes the replica label out and remembers who writes.
    fn labels(&self, pairs: &Pairs<'_>) -> Result<(Labels, u32), (&'static str, String)> {
        let invalid = |text: String| ("invalid_labels", text);
        let mut texts: SmallVec<[(&str, &str); 32]> = SmallVec::new();
        for (name, value) in pairs {
            let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
                return Err(invalid("invalid UTF-8 in a label".to_owned()));
            };
            if name.is_empty() {
                return Err(invalid("empty label name".to_owned()));
            }
            texts.push((name, value));
        }
        texts.sort_unstable_by_key(|(name, _)| *name);
        if let Some(twice) = texts.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(invalid(format!("duplicate label name {}", quoted(twice[0].0.as_bytes()))));
        }
        // An empty value means that there is no such label.
        texts.retain(|(_, value)| !value.is_empty());
        if !texts.iter().any(|(name, _)| *name == crate::model::labels::METRIC_NAME) {
            return Err(invalid("missing metric name".to_owned()));
        }
        let config = self.ha.config();
        let value = |label: &str| texts.iter().find(|(name, _)| *name == label).map_or("", |(_, value)| *value);
        let origin = self.ha.origin(value(&config.cluster_label), value(&config.replica_label));
        if origin != NO_ORIGIN {
            texts.retain(|(name, _)| *name != config.replica_label);
        }
        Ok((Labels::from_sorted(texts.iter().copied()), origin))
    }

    fn append<'m>(
        &mut self,
        series: &Arc<Series>,
        origin: u32,
        samples: impl Iterator<Item = RawSample>,
        histograms: impl Iterator<Item = &'m [u8]>,
        exemplars: u64,
    ) -> Result<(), Malformed> {
        if !self.verdict.of(self.ha, origin, self.now) {
            self.report.ha_dropped += (samples.count() + histograms.count()) as u64;
            return Ok(());
        }
        for s in samples {
            let result = self.batch.append(series, s.t_ms, &SampleValue::Float(f64::from_bits(s.bits)));
            self.count_float(result, || Refused::Labels(series.labels()));
        }
        for message in histograms {
            let (t_ms, decoded) = histogram(message)?;
            match decoded {
                Ok(h) => match self.batch.append(series, t_ms, &SampleValue::Histogram(Arc::new(h))) {
                    Ok(_) => self.report.histograms += 1,
                    Err(e) => {
                        self.report.reject(e.reason(), 1, format_args!("{e}: {}", Refused::Labels(series.labels())));
                    }
                },
                Err(e) => {
                    let text = format_args!("{e}: {}", Refused::Labels(series.labels()));
                    self.report.reject("invalid_histogram", 1, text);
                }
            }
        }
        self.report.exemplars += exemplars;
        Ok(())
    }

    #[inline]
    fn count_float<'s>(&mut self, result: Result<Appended, AppendError>, series: impl FnOnce() -> Refused<'s>) {
        match result {
            // A sample that was there already counts as written: the sender's second try must succeed.
            Ok(Appended::Added | Appended::Known) => self.report.samples += 1,
            Ok(Appended::NotAdmitted) => self.report.ha_dropped += 1,
            Err(e) => self.report.reject(e.reason(), 1, format_args!("{e}: {}", series())),
        }
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

/// The symbols that spell `text`; a table may hold one more than once.
fn symbols_equal(symbols: &Symbols, message: &[u8], text: &str) -> SmallVec<[u32; 2]> {
    (0..symbols.len() as u32).filter(|s| symbols.get(message, *s) == Some(text.as_bytes())).collect()
}

/// Whether the sorted pairs, but for one name, are exactly these labels.
#[inline]
fn same_pairs(pairs: &[Pair<'_>], left_out: Option<&[u8]>, labels: &Labels) -> bool {
    let mut sent = pairs.iter().filter(|(name, value)| !value.is_empty() && Some(*name) != left_out);
    let mut held = labels.iter();
    loop {
        match (sent.next(), held.next()) {
            (None, None) => return true,
            (Some((n, v)), Some((name, value))) if *n == name.as_bytes() && *v == value.as_bytes() => {}
            _ => return false,
        }
    }
}
