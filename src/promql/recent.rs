//! The newest samples of each series that rules look at, decoded and in order, kept from evaluation to evaluation.
//! In: series that got samples. Out: the newest sample, or the floats of a window, without reading the series again.
//! Never: answers from before a sample that came late: such a series is read anew.
//! Start at [`Recents::latest`] and [`Recents::window`].

use super::window::FloatPoint;
use crate::model::sample::is_stale;
use crate::model::{SampleValue, SeriesId, Timestamp};
use crate::series::Series;

/// Kept beyond the longest range, because slots and arrivals do not ask in order of time.
const SLACK_MS: i64 = 20_000;
/// No series keeps more points here: an hour at 3.5 s. A longer window is read from the series each time.
const POINTS_PER_SERIES_MAX: usize = 1024;
/// All points together take at most 512 MB.
const POINTS_MAX: usize = 32 << 20;
/// A series that nobody asked for in so long is forgotten: groups with an interval of minutes keep theirs.
const IDLE_MS: i64 = 600_000;
/// How often that is looked for.
const SWEEP_MS: i64 = 60_000;
/// In the table of places: nothing is known of this series.
const UNKNOWN: u32 = u32::MAX;

/// The id of no series.
const FREE: SeriesId = SeriesId(u64::MAX);

/// What is known of one series.
struct Recent {
    id: SeriesId,
    /// What the series counted when it was read last.
    appended: u32,
    reordered: u32,
    newest: Newest,
    /// The newest histogram that was seen; [`i64::MIN`] for none.
    histogram_ms: i64,
    /// When somebody asked last.
    asked_ms: i64,
    ring: Ring,
}

/// The newest sample.
#[derive(Clone, Copy)]
enum Newest {
    Nothing,
    /// A stale marker among them.
    Float(FloatPoint),
    Histogram(i64),
}

/// Floats without stale markers, complete for all times after `from_ms`.
struct Ring {
    points: Vec<FloatPoint>,
    /// Points before this one have been given up; they are moved out of the way now and then.
    head: usize,
    from_ms: i64,
    /// How far before an evaluation's moment the longest window begins.
    keep_ms: i64,
    /// How often a value is less than the one before it.
    falls: u32,
    /// Too many points to be kept.
    is_barred: bool,
}

/// The floats of one window.
pub(super) struct WindowFloats<'a> {
    pub floats: &'a [FloatPoint],
    /// False when a value may be less than the one before it.
    pub is_rising: bool,
}

/// Why there is no [`WindowFloats`].
pub(super) enum Unanswered {
    /// A histogram lies in the window.
    Histogram,
    /// Too long a window to be kept.
    TooLong,
}

#[derive(Default)]
pub(super) struct Recents {
    /// By the series' place in the head.
    places: Vec<u32>,
    rows: Vec<Recent>,
    free: Vec<u32>,
    points: usize,
    now_ms: i64,
    swept_ms: i64,
    /// Windows as long as what the head keeps are read from the series, which may have given up the oldest samples.
    longest_ms: i64,
}

impl Recents {
    /// `held_ms`: how far back the head keeps samples.
    pub fn new(held_ms: i64) -> Self {
        Self { longest_ms: held_ms.saturating_sub(3 * SLACK_MS), ..Self::default() }
    }

    /// A new turn begins.
    pub fn turn(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.now_ms.saturating_sub(self.swept_ms) < SWEEP_MS {
            return;
        }
        self.swept_ms = self.now_ms;
        let oldest = self.now_ms.saturating_sub(IDLE_MS);
        for (n, row) in self.rows.iter_mut().enumerate() {
            if row.asked_ms < oldest && row.id != FREE {
                self.points -= row.ring.points.len();
                row.ring = Ring::empty();
                row.id = FREE;
                self.free.push(n as u32);
            }
        }
    }

    /// Forgets everything: other rules ask for other windows.
    pub fn clear(&mut self) {
        *self = Self { now_ms: self.now_ms, longest_ms: self.longest_ms, ..Self::default() };
    }

    fn row(&mut self, series: &Series) -> usize {
        let place = series.place() as usize;
        if place >= self.places.len() {
            self.places.resize(place + 1, UNKNOWN);
        }
        let known = self.places[place] as usize;
        if self.rows.get(known).is_some_and(|row| row.id == series.id()) {
            return known;
        }
        let fresh = Recent {
            id: series.id(),
            // One less than it is, so that the first look reads the series.
            appended: series.appended().wrapping_sub(1),
            reordered: series.reordered(),
            newest: Newest::Nothing,
            histogram_ms: i64::MIN,
            asked_ms: self.now_ms,
            ring: Ring::empty(),
        };
        let number = if let Some(free) = self.free.pop() {
            self.rows[free as usize] = fresh;
            free
        } else {
            self.rows.push(fresh);
            (self.rows.len() - 1) as u32
        };
        self.places[place] = number;
        number as usize
    }

    /// Takes over what came since the last look.
    #[inline]
    fn sync(&mut self, series: &Series) -> usize {
        let number = self.row(series);
        let row = &mut self.rows[number];
        row.asked_ms = self.now_ms;
        if series.appended() != row.appended || series.reordered() != row.reordered {
            let before = row.ring.points.len();
            row.catch_up(series);
            self.points = self.points + row.ring.points.len() - before;
        }
        number
    }

    /// The newest sample's value in `(after, until]`, times in milliseconds; a stale marker counts as one. `Err` when it
    /// is a histogram.
    #[inline]
    pub fn latest(&mut self, series: &Series, after: i64, until: i64) -> Result<Option<f64>, Unanswered> {
        let number = self.sync(series);
        match self.rows[number].newest {
            Newest::Float(p) if p.t <= until => Ok((p.t > after).then_some(p.v)),
            Newest::Histogram(t) if t <= until && t > after => Err(Unanswered::Histogram),
            Newest::Nothing => Ok(None),
            Newest::Histogram(t) if t <= until => Ok(None),
            // The newest is too new: an older one is asked for.
            _ => match series.latest(Timestamp::from_millis(after), Timestamp::from_millis(until)) {
                Some(p) => match p.v {
                    SampleValue::Float(v) => Ok(Some(v)),
                    SampleValue::Histogram(_) => Err(Unanswered::Histogram),
                },
                None => Ok(None),
            },
        }
    }

    /// The floats in `(start, end]`, for an evaluation at `at`.
    #[inline]
    pub fn window(&mut self, series: &Series, start: i64, end: i64, at: i64) -> Result<WindowFloats<'_>, Unanswered> {
        let number = self.sync(series);
        let full = self.points >= POINTS_MAX;
        let row = &mut self.rows[number];
        if at.saturating_sub(start) > self.longest_ms || row.ring.is_barred {
            return Err(Unanswered::TooLong);
        }
        if row.ring.from_ms > start {
            let before = row.ring.points.len();
            row.ring.keep_ms = row.ring.keep_ms.max(at.saturating_sub(start));
            if !full {
                row.refill(series, start);
            }
            self.points = self.points + row.ring.points.len() - before;
        }
        let row = &mut self.rows[number];
        if row.ring.from_ms > start {
            return Err(Unanswered::TooLong);
        }
        if row.histogram_ms > start {
            return Err(Unanswered::Histogram);
        }
        let before = row.ring.points.len();
        row.ring.trim(at);
        self.points = self.points + row.ring.points.len() - before;
        Ok(self.rows[number].ring.span(start, end))
    }
}

impl Recent {
    #[cold]
    fn reread(&mut self, series: &Series) {
        self.ring.points.clear();
        self.ring.head = 0;
        self.ring.falls = 0;
        self.ring.from_ms = i64::MAX;
        self.histogram_ms = i64::MIN;
        let tail = series.tail();
        self.take(&tail);
    }

    fn take(&mut self, tail: &crate::series::Tail) {
        self.appended = tail.appended;
        self.reordered = tail.reordered;
        self.newest = match &tail.newest {
            None => Newest::Nothing,
            Some(p) => match p.v {
                SampleValue::Float(v) => Newest::Float(FloatPoint { t: p.t.as_millis(), v }),
                SampleValue::Histogram(_) => {
                    self.histogram_ms = p.t.as_millis();
                    Newest::Histogram(p.t.as_millis())
                }
            },
        };
    }

    fn catch_up(&mut self, series: &Series) {
        let tail = series.tail();
        if tail.reordered != self.reordered {
            return self.reread(series);
        }
        let one_more = tail.appended == self.appended.wrapping_add(1);
        self.take(&tail);
        if self.ring.from_ms == i64::MAX {
            return;
        }
        match self.newest {
            Newest::Float(p) if one_more => self.ring.push(p),
            // Several came: they are read from the series, with what it has got meanwhile.
            _ => self.refill(series, self.ring.from_ms),
        }
    }

    /// Reads everything after `from` anew.
    #[cold]
    fn refill(&mut self, series: &Series, from: i64) {
        let ring = &mut self.ring;
        ring.points.clear();
        ring.head = 0;
        ring.falls = 0;
        ring.from_ms = from;
        let mut histogram_ms = i64::MIN;
        let (mut count, mut newest) = (0, None);
        // Counted under one lock, so that what is read and what was counted belong together.
        let tail = series.visit_counted(Timestamp::from_millis(from), |t, v| {
            count += 1;
            match v {
                SampleValue::Float(v) => ring.push(FloatPoint { t: t.as_millis(), v }),
                SampleValue::Histogram(_) => histogram_ms = t.as_millis(),
            }
            newest = Some(t);
        });
        self.histogram_ms = histogram_ms;
        self.take(&tail);
        if count > POINTS_PER_SERIES_MAX {
            self.ring = Ring { is_barred: true, ..Ring::empty() };
        }
    }
}

impl Ring {
    const fn empty() -> Self {
        Self { points: Vec::new(), head: 0, from_ms: i64::MAX, keep_ms: 0, falls: 0, is_barred: false }
    }

    #[inline]
    fn push(&mut self, p: FloatPoint) {
        if is_stale(p.v) {
            return;
        }
        if let Some(last) = self.points[self.head..].last() {
            self.falls += u32::from(p.v < last.v);
        }
        if self.points.len() == self.points.capacity() {
            if self.head >= 4 {
                self.points.drain(..self.head);
                self.head = 0;
            } else {
                // Doubling would waste half.
                self.points.reserve_exact(8);
            }
        }
        self.points.push(p);
    }

    /// Gives up what no window of an evaluation near `at` reaches.
    #[inline]
    fn trim(&mut self, at: i64) {
        let oldest = at.saturating_sub(self.keep_ms).saturating_sub(SLACK_MS);
        while let [first, rest @ ..] = &self.points[self.head..]
            && first.t <= oldest
        {
            self.falls -= u32::from(rest.first().is_some_and(|next| next.v < first.v));
            self.head += 1;
        }
        self.from_ms = self.from_ms.max(oldest);
    }

    #[inline]
    fn span(&self, start: i64, end: i64) -> WindowFloats<'_> {
        let mut floats = &self.points[self.head..];
        while let [first, rest @ ..] = floats
            && first.t <= start
        {
            floats = rest;
        }
        while let [rest @ .., last] = floats
            && last.t > end
        {
            floats = rest;
        }
        WindowFloats { floats, is_rising: self.falls == 0 }
    }
}
