//! Quantiles: of values, of classic buckets, of native histograms.
//! In: values or buckets, `q`. Out: an estimate, interpolated as Prometheus does.
//! Never: trusts bucket counts to be monotonic.
//! Start at [`of_buckets`].

use super::eval::Eval;
use super::histogram as native;
use crate::model::Histogram;

/// Relative difference below which a falling bucket count is taken for a rounding error.
const SMALL_DELTA: f64 = 1e-12;

pub(super) fn warn_of_quantile(eval: &Eval<'_>, q: f64) {
    if q.is_nan() || !(0.0..=1.0).contains(&q) {
        eval.warn(format!("quantile value should be between 0 and 1, got {}", super::print::Number(q)));
    }
}

/// Out-of-range quantiles have fixed answers.
fn out_of_range(q: f64) -> Option<f64> {
    if q.is_nan() {
        Some(f64::NAN)
    } else if q < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if q > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// The quantile of plain values, NaN sorted first.
pub(super) fn of_values(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    if let Some(fixed) = out_of_range(q) {
        return fixed;
    }
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())));
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// A classic bucket: everything up to `bound`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub bound: f64,
    pub count: f64,
}

pub(super) struct BucketQuantile {
    pub value: f64,
    /// Counts fell from one bucket to the next by more than rounding.
    pub forced_monotonic: bool,
}

/// Sorted by bound, equal bounds added up. `None` without a `+Inf` bucket.
fn ordered(mut buckets: Vec<Bucket>) -> Option<Vec<Bucket>> {
    buckets.sort_by(|a, b| a.bound.total_cmp(&b.bound));
    let highest = buckets.last()?.bound;
    if highest != f64::INFINITY {
        return None;
    }
    let mut merged: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        match merged.last_mut() {
            Some(last) if last.bound == bucket.bound => last.count += bucket.count,
            _ => merged.push(bucket),
        }
    }
    Some(merged)
}

fn is_almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// Returns whether a fall was more than a rounding error.
fn make_monotonic(buckets: &mut [Bucket]) -> bool {
    let mut forced = false;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if bucket.count == before {
            continue;
        }
        if is_almost_equal(before, bucket.count) {
            bucket.count = before;
        } else if bucket.count < before {
            bucket.count = before;
            forced = true;
        } else {
            before = bucket.count;
        }
    }
    forced
}

/// Prometheus' `BucketQuantile`.
pub(super) fn of_buckets(q: f64, buckets: Vec<Bucket>) -> BucketQuantile {
    let plain = |value| BucketQuantile { value, forced_monotonic: false };
    if let Some(fixed) = out_of_range(q) {
        return plain(fixed);
    }
    let Some(mut buckets) = ordered(buckets) else { return plain(f64::NAN) };
    let forced_monotonic = make_monotonic(&mut buckets);
    let value = interpolate(q, &buckets);
    BucketQuantile { value, forced_monotonic }
}

fn interpolate(q: f64, buckets: &[Bucket]) -> f64 {
    let [rest @ .., last] = buckets else { return f64::NAN };
    let Some(second_last) = rest.last() else { return f64::NAN };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * last.count;
    // A NaN count is never enough, so the search ends in the last bucket, as Go's does.
    let is_enough = |b: &Bucket| b.count >= rank;
    let found = rest.partition_point(|b| !is_enough(b));
    if found == rest.len() {
        return second_last.bound;
    }
    let (mut start, end, mut count) = (0.0, rest[found].bound, rest[found].count);
    if found == 0 && end <= 0.0 {
        return end;
    }
    if found > 0 {
        start = rest[found - 1].bound;
        count -= rest[found - 1].count;
        rank -= rest[found - 1].count;
    }
    start + (end - start) * (rank / count)
}

/// The share of observations between two values, from classic buckets.
pub(super) fn fraction_of_buckets(lower: f64, upper: f64, buckets: Vec<Bucket>) -> f64 {
    let Some(buckets) = ordered(buckets) else { return f64::NAN };
    let total = buckets.last().map_or(0.0, |b| b.count);
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut start = if buckets[0].bound > 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let mut before = 0.0;
    let mut ranks = Ranks::new(lower, upper);
    for b in &buckets {
        let (from, rank, count) = (start, before, b.count);
        ranks.pass(from, b.bound, rank, |v| {
            if from == f64::NEG_INFINITY {
                count
            } else if b.bound == f64::INFINITY {
                rank
            } else {
                rank + (count - rank) * (v - from) / (b.bound - from)
            }
        });
        before = b.count;
        start = b.bound;
    }
    ranks.share(total)
}

/// How many observations lie below two values.
struct Ranks {
    limits: [f64; 2],
    ranks: [Option<f64>; 2],
}

impl Ranks {
    fn new(lower: f64, upper: f64) -> Self {
        Self { limits: [lower, upper], ranks: [None; 2] }
    }

    /// One bucket `(from, to]`, below which `rank` observations lie.
    fn pass(&mut self, from: f64, to: f64, rank: f64, interpolate: impl Fn(f64) -> f64) {
        for (limit, found) in self.limits.iter().zip(&mut self.ranks) {
            if found.is_some() {
                continue;
            }
            if from >= *limit {
                *found = Some(rank);
            } else if to > *limit {
                *found = Some(interpolate(*limit));
            }
        }
    }

    fn share(&self, total: f64) -> f64 {
        let [lower, upper] = self.ranks.map(|rank| rank.map_or(total, |r| r.min(total)));
        (upper - lower) / total
    }
}

/// The quantile of a native histogram.
pub(super) fn of_histogram(eval: &Eval<'_>, q: f64, h: &Histogram, name: &str) -> f64 {
    if let Some(fixed) = out_of_range(q) {
        return fixed;
    }
    let buckets = native::buckets(h);
    if h.count == 0.0 || buckets.is_empty() {
        return f64::NAN;
    }
    let forward = h.sum.is_nan() || q < 0.5;
    let mut rank = if forward { q * h.count } else { (1.0 - q) * h.count };
    let mut count = 0.0;
    let mut found = buckets[0];
    let ordered: Box<dyn Iterator<Item = &native::Bucket>> =
        if forward { Box::new(buckets.iter()) } else { Box::new(buckets.iter().rev()) };
    for bucket in ordered.filter(|b| b.count != 0.0) {
        found = *bucket;
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    let custom = native::is_custom(h);
    if custom {
        if found.lower == f64::NEG_INFINITY {
            if found.upper <= 0.0 {
                return found.upper;
            }
            found.lower = 0.0;
        } else if found.upper == f64::INFINITY {
            return found.lower;
        }
    } else {
        native::narrow_zero_bucket(h, &mut found);
    }
    count = count.min(h.count);
    if count < rank {
        if h.sum.is_nan() {
            eval.info(format!(
                "input to histogram_quantile has NaN observations, result is NaN for metric name {}",
                super::print::Quoted(name)
            ));
        }
        return f64::NAN;
    }
    if h.sum.is_nan() {
        eval.info(format!(
            "input to histogram_quantile has NaN observations, result is skewed higher for metric name {}",
            super::print::Quoted(name)
        ));
    }
    rank = if forward { rank - (count - found.count) } else { count - rank };
    let fraction = rank / found.count;
    if custom || (found.lower <= 0.0 && found.upper >= 0.0) {
        return found.lower + (found.upper - found.lower) * fraction;
    }
    let (log_lower, log_upper) = (found.lower.abs().log2(), found.upper.abs().log2());
    if found.lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

/// The share of a native histogram's observations between two values.
pub(super) fn fraction_of_histogram(lower: f64, upper: f64, h: &Histogram) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let custom = native::is_custom(h);
    let mut before = 0.0;
    let mut ranks = Ranks::new(lower, upper);
    for mut b in native::buckets(h) {
        let has_zero = !custom && b.lower <= 0.0 && b.upper >= 0.0;
        if has_zero {
            native::narrow_zero_bucket(h, &mut b);
        } else if custom && b.lower == f64::NEG_INFINITY && b.upper > 0.0 {
            b.lower = 0.0;
        }
        let rank = before;
        ranks.pass(b.lower, b.upper, rank, |v| {
            if b.lower == f64::NEG_INFINITY {
                return rank + b.count;
            }
            if b.upper == f64::INFINITY {
                return rank;
            }
            let share = if custom || has_zero {
                (v - b.lower) / (b.upper - b.lower)
            } else {
                let [lower, upper, v] = [b.lower, b.upper, v].map(|x| x.abs().log2());
                if b.lower > 0.0 { (v - lower) / (upper - lower) } else { 1.0 - (v - upper) / (lower - upper) }
            };
            rank + b.count * share
        });
        before += b.count;
    }
    ranks.share(h.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        assert_eq!(of_values(0.5, &mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(of_values(0.25, &mut [1.0, 2.0]), 1.25);
        assert_eq!(of_values(2.0, &mut [1.0]), f64::INFINITY);
        let buckets = |counts: [f64; 3]| {
            [0.1, 0.2, f64::INFINITY].into_iter().zip(counts).map(|(bound, count)| Bucket { bound, count }).collect()
        };
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-12, "{got} {want}");
        close(of_buckets(0.5, buckets([1.0, 2.0, 2.0])).value, 0.1);
        close(of_buckets(0.75, buckets([1.0, 2.0, 2.0])).value, 0.15);
        close(of_buckets(1.0, buckets([1.0, 2.0, 3.0])).value, 0.2);
        assert!(of_buckets(0.5, buckets([3.0, 2.0, 4.0])).forced_monotonic);
        close(fraction_of_buckets(0.0, 0.15, buckets([1.0, 2.0, 4.0])), 0.375);
    }
}
