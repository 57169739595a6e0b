//! A trial of each template of a rule on made-up data, so that what can never work is found before it is needed.
//! In: a parsed template. Out: what is wrong with it whatever the data is.
//! Never: complains of a template because the made-up data is not what it expects: only its own mistakes count.
//! Start at [`mistake`].

use crate::model::Labels;
use crate::template::prometheus::AlertData;
use crate::template::{Env, FailureKind, QuerySample, Template, TemplateError, Value};
use std::sync::Arc;

/// Gives every query one sample, so that what is done with it is tried as well.
struct MadeUp;

impl Env for MadeUp {
    fn query(&self, _: &str) -> Result<Vec<QuerySample>, String> {
        Ok(vec![QuerySample { labels: Labels::empty(), value: Value::Float(1.0) }])
    }
}

/// Runs the template once. A field that its data never has, or a call that no data can satisfy, is a mistake.
pub(super) fn mistake(template: &Template) -> Option<TemplateError> {
    if template.is_plain() {
        return None;
    }
    let data = Value::object(AlertData {
        labels: Labels::empty(),
        external_labels: Labels::empty(),
        external_url: Arc::from("http://localhost"),
        value: Value::Float(1.0),
    });
    let error = template.execute_in(&data, &MadeUp).err()?;
    let TemplateError::Execute { kind, .. } = &error else { return Some(error) };
    matches!(kind, FailureKind::NoField | FailureKind::Arguments).then_some(error)
}
