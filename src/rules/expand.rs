//! Expands the templates of an alerting rule over one element of its result.
//! In: templates, the element, the world around. Out: label sets; a failure becomes text, the alert goes on.
//! Never: expands a text that has nothing to expand.
//! Start at [`EvalContext::text`].

use super::context::EvalContext;
use crate::model::{Histogram, Labels, LabelsBuilder, SampleValue, Timestamp};
use crate::promql::{self, Plan};
use crate::template::prometheus::AlertData;
use crate::template::{Env, QuerySample, Template, Value};
use std::sync::Arc;

impl Env for EvalContext<'_> {
    fn query(&self, expr: &str) -> Result<Vec<QuerySample>, String> {
        let parsed = promql::parse_with(expr, self.config.query.features).map_err(|e| e.to_string())?;
        let value =
            Plan::new(&parsed).eval(self.head, self.query_at, &self.config.query).map_err(|e| e.to_string())?.value;
        match value {
            promql::Value::Vector(elements) => {
                Ok(elements.into_iter().map(|e| QuerySample { labels: e.labels, value: printable(&e.value) }).collect())
            }
            promql::Value::Scalar(v) => Ok(vec![QuerySample { labels: Labels::empty(), value: Value::Float(v) }]),
            _ => Err("query result is not a vector or scalar".to_owned()),
        }
    }

    fn now(&self) -> Timestamp {
        self.query_at
    }

    fn external_url(&self) -> &str {
        &self.config.external_url
    }
}

/// A number, or a histogram's text.
pub(super) fn printable(value: &SampleValue) -> Value {
    match value {
        SampleValue::Float(v) => Value::Float(*v),
        SampleValue::Histogram(h) => Value::from(histogram_text(h)),
    }
}

/// Go's `FloatHistogram.String`: the buckets that hold something, from the lowest to the highest.
fn histogram_text(h: &Histogram) -> String {
    let g = |v: f64| Value::Float(v).print();
    let bucket = |b: &promql::Bucket| {
        // A bucket does not hold its bound nearer to zero; the one around zero holds both.
        let around_zero = b.lower == -b.upper;
        let open = if b.lower < 0.0 || around_zero { '[' } else { '(' };
        let close = if b.upper > 0.0 || around_zero { ']' } else { ')' };
        format!(", {open}{},{}{close}:{}", g(b.lower), g(b.upper), g(b.count))
    };
    let buckets: String = promql::histogram_buckets(h).iter().filter(|b| b.count != 0.0).map(bucket).collect();
    format!("{{count:{}, sum:{}{buckets}}}", g(h.count), g(h.sum))
}

impl EvalContext<'_> {
    pub(super) fn data(&self, labels: &Labels, value: &SampleValue) -> Value {
        Value::object(AlertData {
            labels: labels.clone(),
            external_labels: self.config.external_labels.clone(),
            external_url: self.config.external_url.clone(),
            value: printable(value),
        })
    }

    pub(super) fn text(&self, template: &Template, data: &Value) -> String {
        if template.is_plain() {
            return template.source().to_owned();
        }
        match template.execute_in(data, self) {
            Ok(text) => text,
            Err(e) => format!("<error expanding template: error executing template: {e}>"),
        }
    }

    /// The element's labels without the name, under the rule's.
    pub(super) fn labels(
        &self,
        element: &Labels,
        names: &[(Arc<str>, Arc<str>)],
        templates: &[Template],
        alert: &str,
        data: &Value,
    ) -> Labels {
        let mut builder = LabelsBuilder::from(element);
        builder.remove(crate::model::labels::METRIC_NAME);
        for ((name, _), template) in names.iter().zip(templates) {
            builder.set(name, &self.text(template, data));
        }
        builder.set(crate::model::labels::ALERT_NAME, alert);
        builder.build()
    }

    pub(super) fn annotations(&self, names: &[(Arc<str>, Arc<str>)], templates: &[Template], data: &Value) -> Labels {
        let texts = names.iter().zip(templates).map(|((name, _), template)| (name.as_ref(), self.text(template, data)));
        Labels::from_pairs(texts)
    }
}
