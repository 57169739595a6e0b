//! What is there: series, label names and values, what metrics mean.
//! In: selectors, a span of time, a limit. Out: sorted lists.
//! Never: lists more than [`LIST_MAX`].
//! Start at [`series`].

use super::super::context::{Context, Shared};
use super::super::dto::LabelsDto;
use super::super::error::ApiError;
use super::super::params::Params;
use super::json::Answer;
use super::reading::{limit, time, truncated, unparsed};
use crate::model::{Labels, Matcher, Timestamp};
use crate::promql::{ParseError, parse_selector};
use crate::series::Series;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Series or values in one list; what is more is cut, and said.
const LIST_MAX: usize = 100_000;

/// What a request asks for.
struct Asked {
    selectors: Vec<Vec<Matcher>>,
    start: Timestamp,
    end: Timestamp,
    limit: Option<usize>,
}

fn asked(params: &Params, refuse: impl Fn(&ParseError) -> ApiError) -> Result<Asked, ApiError> {
    let limit = limit(params)?.map_or(LIST_MAX, |limit| limit.min(LIST_MAX));
    let start = time(params, "start")?.unwrap_or(Timestamp::MIN);
    let end = time(params, "end")?.unwrap_or(Timestamp::from_millis(i64::MAX));
    let matchers = |text| parse_selector(text).map(|s| s.all_matchers()).map_err(|e| refuse(&e));
    let selectors = params.all("match[]").map(matchers).collect::<Result<_, _>>()?;
    Ok(Asked { selectors, start, end, limit: Some(limit) })
}

/// Without a place in Prometheus' own answer.
fn plainly(error: &ParseError) -> ApiError {
    ApiError::Invalid(error.to_string())
}

impl Asked {
    fn is_within(&self, series: &Series) -> bool {
        series.oldest().is_some_and(|t| t <= self.end) && series.newest().is_some_and(|t| t >= self.start)
    }

    /// Whether the lists of the index answer, without a look at each series.
    fn is_everything(&self) -> bool {
        self.selectors.is_empty() && self.start == Timestamp::MIN && self.end.as_millis() == i64::MAX
    }

    fn series<'a>(&'a self, context: &'a Context) -> impl Iterator<Item = Arc<Series>> + 'a {
        const ALL: &[Vec<Matcher>] = &[Vec::new()];
        let selectors = if self.selectors.is_empty() { ALL } else { &self.selectors };
        selectors.iter().flat_map(|s| context.head.select(s)).filter(|s| self.is_within(s))
    }
}

fn listed<T: Serialize>(mut list: Vec<T>, limit: Option<usize>) -> Response {
    let mut warnings = Vec::new();
    truncated(&mut list, limit, &mut warnings);
    axum::Json(Answer::new(list, warnings, Vec::new())).into_response()
}

pub async fn series(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    let params = Params::with_form(&uri, &body);
    if params.all("match[]").next().is_none() {
        return Err(ApiError::Invalid("no match[] parameter provided".to_owned()));
    }
    let asked = asked(&params, |e| unparsed("match[]", e))?;
    let found: BTreeSet<Labels> = asked.series(&context).map(|s| s.labels().clone()).collect();
    Ok(listed(found.iter().map(LabelsDto).collect(), asked.limit))
}

pub async fn labels(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    let params = Params::with_form(&uri, &body);
    let asked = asked(&params, plainly)?;
    let names: BTreeSet<Arc<str>> = if asked.is_everything() {
        context.head.label_names(&[]).into_iter().collect()
    } else {
        let mut names = BTreeSet::new();
        for series in asked.series(&context) {
            for (name, _) in series.labels() {
                if !names.contains(name) {
                    names.insert(Arc::from(name));
                }
            }
        }
        names
    };
    Ok(listed(names.into_iter().collect(), asked.limit))
}

pub async fn label_values(State(context): Shared, Path(name): Path<String>, uri: Uri) -> Result<Response, ApiError> {
    let name = unescaped(&name);
    if name.is_empty() || name.contains(char::REPLACEMENT_CHARACTER) {
        return Err(ApiError::Invalid(format!("invalid label name: \"{name}\"")));
    }
    let asked = asked(&Params::of(&uri), plainly)?;
    let values: BTreeSet<Arc<str>> = if asked.is_everything() {
        context.head.label_values(&name, &[]).into_iter().collect()
    } else {
        let mut values = BTreeSet::new();
        for series in asked.series(&context) {
            let value = series.labels().value(&name);
            if !value.is_empty() && !values.contains(value) {
                values.insert(Arc::from(value));
            }
        }
        values
    };
    Ok(listed(values.into_iter().collect(), asked.limit))
}

/// `U__a_2e_b` stands for `a.b` where a path cannot hold the name; `__` for an underscore.
fn unescaped(name: &str) -> String {
    let Some(mut rest) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once('_') {
        out += before;
        if let Some(after) = after.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let code = after.split_once('_').and_then(|(hex, rest)| {
            let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
            Some((c, rest))
        });
        let Some((c, after)) = code else { return name.to_owned() };
        out.push(c);
        rest = after;
    }
    out + rest
}

#[derive(Serialize)]
struct MetadataDto<'a> {
    r#type: &'static str,
    help: &'a str,
    unit: &'a str,
}

pub async fn metadata(State(context): Shared, uri: Uri) -> Result<Response, ApiError> {
    let params = Params::of(&uri);
    let number = |name: &str| match params.one(name).map(str::parse::<i64>) {
        None => Ok(None),
        Some(Ok(n)) => Ok(usize::try_from(n).ok()),
        Some(Err(_)) => Err(ApiError::Invalid(format!("{name} must be a number"))),
    };
    let limit = number("limit")?.unwrap_or(LIST_MAX);
    let per_metric = number("limit_per_metric")?.unwrap_or(1);
    let wanted = params.one("metric");
    let book = context.head.metadata().lock();
    let rows: BTreeMap<&str, Vec<MetadataDto<'_>>> = book
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|w| w == &***name))
        .take(limit)
        .map(|(name, m)| {
            let dto = MetadataDto { r#type: m.kind, help: &m.help, unit: &m.unit };
            (&**name, if per_metric == 0 { Vec::new() } else { vec![dto] })
        })
        .collect();
    Ok(axum::Json(Answer::new(rows, Vec::new(), Vec::new())).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped() {
        for (name, expected) in [
            ("job", "job"),
            ("U__a_2e_b", "a.b"),
            ("U__a__b", "a_b"),
            ("U__x_zz_", "U__x_zz_"),
            ("__name__", "__name__"),
        ] {
            assert_eq!(unescaped(name), expected);
        }
    }
}
