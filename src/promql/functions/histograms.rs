//! Functions over histograms, classic (`_bucket` series with `le`) and native.
//! In: an instant vector. Out: quantiles, shares, means, spreads.
//! Never: mixes a classic and a native histogram of equal labels; that is warned of, and left out.
//! Start at [`by_histogram`].

use super::super::ast::Type;
use super::super::eval::{Elem, Eval, Result, Val};
use super::super::histogram as native;
use super::super::plan::Node;
use super::super::print::Quoted;
use super::super::projection::{Groups, Projection};
use super::super::quantile::{self, Bucket};
use super::Function;
use crate::model::{Histogram, Labels, SampleValue};
use std::sync::Arc;

const VECTOR: &[Type] = &[Type::Vector];
/// The label of a classic bucket's upper bound.
const BUCKET_LABEL: &str = "le";

pub(super) static FUNCTIONS: &[Function] = &[
    Function::special("histogram_quantile", &[Type::Scalar, Type::Vector], histogram_quantile),
    Function::special(
        "histogram_quantiles",
        &[Type::Vector, Type::String, Type::Scalar, Type::Scalar],
        histogram_quantiles,
    )
    .variadic(9)
    .experimental(),
    Function::special("histogram_fraction", &[Type::Scalar, Type::Scalar, Type::Vector], histogram_fraction),
    Function::special("histogram_count", VECTOR, |e, args, at| of_native(e, args, at, |h| h.count)).each(),
    Function::special("histogram_sum", VECTOR, |e, args, at| of_native(e, args, at, |h| h.sum)).each(),
    Function::special("histogram_avg", VECTOR, |e, args, at| of_native(e, args, at, |h| h.sum / h.count)).each(),
    Function::special("histogram_stdvar", VECTOR, |e, args, at| of_native(e, args, at, native::variance)).each(),
    Function::special("histogram_stddev", VECTOR, |e, args, at| of_native(e, args, at, |h| native::variance(h).sqrt()))
        .each(),
];

fn of_native(eval: &Eval<'_>, args: &[Node], at: i64, of: impl Fn(&Histogram) -> f64) -> Result<Val> {
    let mut elems = eval.vector(&args[0], at)?;
    elems.retain_mut(|e| {
        let SampleValue::Histogram(h) = &e.value else { return false };
        e.value = SampleValue::Float(of(h));
        e.drop_name = true;
        true
    });
    Ok(Val::Vector(elems))
}

/// One histogram of either kind.
enum Source {
    Classic(Vec<Bucket>),
    Native(Arc<Histogram>),
}

/// Gathers classic buckets that differ in `le` alone, next to native histograms.
fn by_histogram(eval: &Eval<'_>, elems: Vec<Elem>) -> Vec<(Labels, Source)> {
    let key = Projection::all_but(BUCKET_LABEL);
    let mut groups = Groups::new(&key);
    let mut classic: Vec<Vec<Bucket>> = Vec::new();
    let mut natives: Vec<(Labels, Arc<Histogram>)> = Vec::new();
    for e in elems {
        match e.value {
            SampleValue::Histogram(h) => natives.push((e.labels, h)),
            SampleValue::Float(count) => {
                let written = e.labels.value(BUCKET_LABEL);
                let Some(bound) = parse_bound(written) else {
                    eval.warn(format!(
                        "bucket label \"le\" is missing or has a malformed value of {} for metric name {}",
                        Quoted(written),
                        Quoted(e.labels.metric_name())
                    ));
                    continue;
                };
                let (number, new) = groups.number(&e.labels);
                if new {
                    classic.push(Vec::new());
                }
                classic[number].push(Bucket { bound, count });
            }
        }
    }
    let mut all = Vec::with_capacity(classic.len() + natives.len());
    for (labels, h) in natives {
        // A native histogram may itself carry an `le`; only one without can be the twin of classic buckets.
        match groups.find(&labels).filter(|_| labels.get(BUCKET_LABEL).is_none()) {
            Some(number) => {
                eval.warn(format!(
                    "vector contains a mix of classic and native histograms for metric name {}",
                    Quoted(labels.metric_name())
                ));
                classic[number].clear();
            }
            None => all.push((labels, Source::Native(h))),
        }
    }
    for (number, buckets) in classic.into_iter().enumerate().filter(|(_, buckets)| !buckets.is_empty()) {
        all.push((key.build(groups.member(number)), Source::Classic(buckets)));
    }
    all
}

/// Go's `ParseFloat`, as far as bounds need it.
fn parse_bound(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" | "inf" | "+inf" => Some(f64::INFINITY),
        "" => None,
        _ => text.parse().ok(),
    }
}

fn quantile_of(eval: &Eval<'_>, q: f64, labels: &Labels, source: &Source) -> f64 {
    match source {
        Source::Native(h) => quantile::of_histogram(eval, q, h, labels.metric_name()),
        Source::Classic(buckets) => {
            let result = quantile::of_buckets(q, buckets.clone());
            if result.forced_monotonic {
                eval.info(format!(
                    "input to histogram_quantile needed to be fixed for monotonicity \
                     (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) \
                     for metric name {}",
                    Quoted(labels.metric_name())
                ));
            }
            result.value
        }
    }
}

fn histogram_quantile(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let q = eval.scalar(&args[0], at)?;
    let elems = eval.vector(&args[1], at)?;
    // After what the argument has to say: of two equal notes Prometheus tells the place of the outer one.
    eval.about_argument(0);
    quantile::warn_of_quantile(eval, q);
    eval.about_argument(1);
    let of = |(labels, source): (Labels, Source)| {
        let value = SampleValue::Float(quantile_of(eval, q, &labels, &source));
        Elem { labels, value, drop_name: true }
    };
    Ok(Val::Vector(by_histogram(eval, elems).into_iter().map(of).collect()))
}

fn histogram_quantiles(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let label = eval.string(&args[1], at)?;
    let quantiles = args[2..].iter().map(|node| eval.scalar(node, at)).collect::<Result<Vec<_>>>()?;
    for (i, q) in quantiles.iter().enumerate() {
        eval.about_argument(2 + i);
        quantile::warn_of_quantile(eval, *q);
    }
    let elems = eval.vector(&args[0], at)?;
    eval.about_argument(0);
    let mut out = Vec::new();
    for (labels, source) in by_histogram(eval, elems) {
        for q in &quantiles {
            let value = SampleValue::Float(quantile_of(eval, *q, &labels, &source));
            let labels = labels.with(&label, &open_metrics_float(*q));
            out.push(Elem { labels, value, drop_name: true });
        }
    }
    Ok(Val::Vector(out))
}

/// As bucket bounds are written: whole numbers with a fraction of zero.
fn open_metrics_float(v: f64) -> String {
    let text = super::super::print::Number(v).to_string();
    if v.is_finite() && v.fract() == 0.0 { text + ".0" } else { text }
}

fn histogram_fraction(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let (lower, upper) = (eval.scalar(&args[0], at)?, eval.scalar(&args[1], at)?);
    let elems = eval.vector(&args[2], at)?;
    eval.about_argument(2);
    let of = |(labels, source): (Labels, Source)| {
        let v = match source {
            Source::Native(h) => quantile::fraction_of_histogram(lower, upper, &h),
            Source::Classic(buckets) => quantile::fraction_of_buckets(lower, upper, buckets),
        };
        Elem { labels, value: SampleValue::Float(v), drop_name: true }
    };
    Ok(Val::Vector(by_histogram(eval, elems).into_iter().map(of).collect()))
}
