//! The shapes of results: floats as text, histograms with their buckets, metrics as objects.
//! In: values of the language. Out: what serialises as Prometheus' JSON.
//! Never: builds a tree of JSON first.
//! Start at [`Answer`].

use super::super::dto::LabelsDto;
use crate::model::{Histogram, Labels, SampleValue, Timestamp};
use crate::promql::{Element, SeriesPoints, Value, histogram_buckets};
use crate::series::Point;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, Serializer};

/// A success with what is to be said about it.
#[derive(Serialize)]
pub(super) struct Answer<T> {
    status: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    infos: Vec<String>,
}

impl<T> Answer<T> {
    pub fn new(data: T, warnings: Vec<String>, infos: Vec<String>) -> Self {
        Self { status: "success", data, warnings, infos }
    }
}

/// A float as Prometheus prints it in JSON: a string, shortest form, `NaN`, `+Inf`, `-Inf`.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        // Go switches to an exponent there, with a sign and at least two digits.
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
        format!("{mantissa}e{sign}{digits:0>2}")
    } else {
        format!("{value}")
    }
}

/// The same for scalars, which Prometheus never prints with an exponent.
fn plain_float(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { float(value) }
}

/// Unix seconds; whole ones without a fraction.
struct Moment(Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = self.0.as_millis();
        if ms % 1000 == 0 { serializer.serialize_i64(ms / 1000) } else { serializer.serialize_f64(ms as f64 / 1000.0) }
    }
}

struct HistogramDto<'a>(&'a Histogram);

impl Serialize for HistogramDto<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The rule says which ends belong to the bucket: 0 the upper, 1 the lower, 3 both.
        let bucket = |b: &crate::promql::Bucket| {
            let rule = match (b.lower < 0.0, b.upper > 0.0) {
                (true, true) => 3,
                (true, false) => 1,
                (false, true) => 0,
                (false, false) => 2,
            };
            (rule, float(b.lower), float(b.upper), float(b.count))
        };
        let all = histogram_buckets(self.0);
        let buckets: Vec<_> = all.iter().filter(|b| b.count != 0.0).map(bucket).collect();
        let mut out = serializer.serialize_struct("Histogram", 3)?;
        out.serialize_field("count", &float(self.0.count))?;
        out.serialize_field("sum", &float(self.0.sum))?;
        if buckets.is_empty() {
            out.skip_field("buckets")?;
        } else {
            out.serialize_field("buckets", &buckets)?;
        }
        out.end()
    }
}

/// `[time, value]`
struct SampleDto<'a>(Timestamp, &'a SampleValue);

impl Serialize for SampleDto<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(Some(2))?;
        out.serialize_element(&Moment(self.0))?;
        match self.1 {
            SampleValue::Float(v) => out.serialize_element(&float(*v))?,
            SampleValue::Histogram(h) => out.serialize_element(&HistogramDto(h))?,
        }
        out.end()
    }
}

fn is_histogram(v: &SampleValue) -> bool {
    matches!(v, SampleValue::Histogram(_))
}

struct ElementDto<'a>(Timestamp, &'a Element);

impl Serialize for ElementDto<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(at, e) = self;
        let mut out = serializer.serialize_map(Some(2))?;
        out.serialize_entry("metric", &LabelsDto(&e.labels))?;
        let key = if is_histogram(&e.value) { "histogram" } else { "value" };
        out.serialize_entry(key, &SampleDto(*at, &e.value))?;
        out.end()
    }
}

/// The points of one kind.
struct PointsDto<'a>(&'a [Point], bool);

impl Serialize for PointsDto<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let points = self.0.iter().filter(|p| is_histogram(&p.v) == self.1);
        serializer.collect_seq(points.map(|p| SampleDto(p.t, &p.v)))
    }
}

struct SeriesDto<'a>(&'a Labels, &'a [Point]);

impl Serialize for SeriesDto<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("metric", &LabelsDto(self.0))?;
        for (key, of_histograms) in [("values", false), ("histograms", true)] {
            if self.1.iter().any(|p| is_histogram(&p.v) == of_histograms) {
                out.serialize_entry(key, &PointsDto(self.1, of_histograms))?;
            }
        }
        out.end()
    }
}

/// `{"resultType":…,"result":…}`
pub(super) struct ResultDto<'a> {
    pub at: Timestamp,
    pub value: &'a Value,
}

struct Elements<'a>(Timestamp, &'a [Element]);

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|e| ElementDto(self.0, e)))
    }
}

struct Matrix<'a>(&'a [SeriesPoints]);

impl Serialize for Matrix<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|s| SeriesDto(&s.labels, &s.points)))
    }
}

impl Serialize for ResultDto<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = match self.value {
            Value::Scalar(_) => "scalar",
            Value::String(_) => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        };
        let mut out = serializer.serialize_map(Some(2))?;
        out.serialize_entry("resultType", kind)?;
        match self.value {
            Value::Scalar(v) => out.serialize_entry("result", &(Moment(self.at), plain_float(*v)))?,
            Value::String(text) => out.serialize_entry("result", &(Moment(self.at), &**text))?,
            Value::Vector(elements) => out.serialize_entry("result", &Elements(self.at, elements))?,
            Value::Matrix(series) => out.serialize_entry("result", &Matrix(series))?,
        }
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_prometheus_does() {
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (123456789.0, "123456789"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.0, "0"),
        ] {
            assert_eq!(float(value), text);
        }
        assert_eq!((plain_float(1e22), plain_float(1e-7)), ("1".to_owned() + &"0".repeat(22), "0.0000001".to_owned()));
        assert_eq!(plain_float(f64::INFINITY), "+Inf");
    }

    #[test]
    fn results_have_prometheus_shape() {
        let h = Histogram {
            count: 3.0,
            sum: 2.5,
            zero_threshold: 0.5,
            zero_count: 1.0,
            positive_spans: vec![crate::model::sample::Span { offset: 0, length: 2 }],
            positive_buckets: vec![2.0, 0.0],
            ..Histogram::default()
        };
        let at = Timestamp::from_millis(1500);
        let elements = vec![
            Element { labels: Labels::from_pairs([("a", "b")]), value: SampleValue::Float(f64::INFINITY) },
            Element { labels: Labels::empty(), value: SampleValue::Histogram(h.into()) },
        ];
        let value = Value::Vector(elements);
        let text = serde_json::to_string(&ResultDto { at, value: &value }).unwrap();
        let expected = concat!(
            r#"{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"+Inf"]},"#,
            r#"{"metric":{},"histogram":[1.5,{"count":"3","sum":"2.5","#,
            r#""buckets":[[3,"-0.5","0.5","1"],[0,"0.5","1","2"]]}]}]}"#,
        );
        assert_eq!(text, expected);
    }
}
