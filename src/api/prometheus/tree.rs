//! Expressions looked at, not evaluated: their tree as JSON, their text laid out.
//! In: `query`. Out: what Prometheus' own page draws and prints.
//! Never: touches a series.
//! Start at [`parse_query`].

use super::super::context::{Context, Shared};
use super::super::dto::success;
use super::super::error::ApiError;
use super::super::params::Params;
use super::reading::unparsed;
use crate::model::Matcher;
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::{Aggregate, At, Binary, Boundary, Call, Cardinality, Expr, Matching, Selector};
use crate::promql::{parse_with, print_number};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use std::time::Duration;

fn read(context: &Context, uri: &Uri, body: &[u8]) -> Result<Expr, ApiError> {
    let params = Params::with_form(uri, body);
    let features = context.settings.load().features;
    parse_with(params.one("query").unwrap_or(""), features).map_err(|e| unparsed("query", &e))
}

pub async fn format_query(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    Ok(success(read(&context, &uri, &body)?.pretty()).into_response())
}

pub async fn parse_query(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    Ok(success(tree(&read(&context, &uri, &body)?)).into_response())
}

fn millis(d: Duration) -> Json {
    json!(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn matcher(m: &Matcher) -> Json {
    json!({ "name": m.name, "value": m.value, "type": m.op.as_str() })
}

/// The matchers as Prometheus holds them: the name's own comes last.
fn matchers(s: &Selector) -> Vec<Json> {
    let name = s.name.iter().map(|name| matcher(&Matcher::equal(METRIC_NAME, name)));
    s.matchers.iter().map(matcher).chain(name).collect()
}

fn with_time(mut out: Json, at: Option<At>, offset_ms: i64) -> Json {
    out["offset"] = json!(offset_ms);
    out["timestamp"] = match at {
        Some(At::Time(t)) => json!(t.as_millis()),
        _ => Json::Null,
    };
    out["startOrEnd"] = match at {
        Some(At::Start) => json!("start"),
        Some(At::End) => json!("end"),
        _ => Json::Null,
    };
    out
}

fn selector(s: &Selector, kind: &str) -> Json {
    let name = s.name.as_deref().unwrap_or("");
    let out = json!({ "type": kind, "name": name, "matchers": matchers(s) });
    let mut out = with_time(out, s.at, s.offset_ms);
    match s.boundary {
        Boundary::Plain => {}
        Boundary::Anchored => out["anchored"] = json!(true),
        Boundary::Smoothed => out["smoothed"] = json!(true),
    }
    out
}

fn matching(m: &Matching) -> Json {
    let card = match m.card {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    let mut out = json!({ "card": card, "labels": m.labels, "on": m.on, "include": m.include });
    if m.fill_left.is_some() || m.fill_right.is_some() {
        out["fillValues"] = json!({ "lhs": m.fill_left, "rhs": m.fill_right });
    }
    out
}

fn call(c: &Call) -> Json {
    let types: Vec<&str> = c.function.args.iter().map(|t| t.short()).collect();
    json!({
        "type": "call",
        "func": {
            "name": c.function.name,
            "argTypes": types,
            "variadic": c.function.variadic,
            "returnType": c.function.returns.short(),
        },
        "args": c.args.iter().map(tree).collect::<Vec<_>>(),
    })
}

fn aggregation(a: &Aggregate) -> Json {
    json!({
        "type": "aggregation",
        "op": a.op.as_str(),
        "expr": tree(&a.expr),
        "param": a.param.as_ref().map(tree),
        "grouping": a.grouping,
        "without": a.without,
    })
}

fn binary(b: &Binary) -> Json {
    json!({
        "type": "binaryExpr",
        "op": b.op.as_str(),
        "lhs": tree(&b.left),
        "rhs": tree(&b.right),
        "matching": b.matching.as_ref().map(matching),
        "bool": b.return_bool,
    })
}

fn tree(expr: &Expr) -> Json {
    match expr {
        Expr::Number(v, ..) => json!({ "type": "numberLiteral", "val": print_number(*v) }),
        Expr::String(text, _) => json!({ "type": "stringLiteral", "val": &**text }),
        Expr::Selector(s) => selector(s, "vectorSelector"),
        Expr::Range(r) => {
            let mut out = selector(&r.selector, "matrixSelector");
            out["range"] = millis(r.range);
            out
        }
        Expr::Subquery(s) => {
            let step = s.step.map_or(json!(0), millis);
            let out = json!({ "type": "subquery", "expr": tree(&s.expr), "range": millis(s.range), "step": step });
            with_time(out, s.at, s.offset_ms)
        }
        Expr::Negate(inner, _) => json!({ "type": "unaryExpr", "op": "-", "expr": tree(inner) }),
        Expr::Plus(inner, _) => json!({ "type": "unaryExpr", "op": "+", "expr": tree(inner) }),
        Expr::Paren(inner, _) => json!({ "type": "parenExpr", "expr": tree(inner) }),
        Expr::Binary(b) => binary(b),
        Expr::Aggregate(a) => aggregation(a),
        Expr::Call(c) => call(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse;

    #[test]
    fn trees_have_prometheus_shape() {
        let read = |text: &str| tree(&parse(text).unwrap());
        assert_eq!(
            read("-rate(a{b=~\"c\"}[5m] @ start() offset 1m)"),
            json!({"type": "unaryExpr", "op": "-", "expr": {
                "type": "call",
                "func": {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"},
                "args": [{
                    "type": "matrixSelector", "name": "a", "range": 300_000, "offset": 60_000,
                    "timestamp": null, "startOrEnd": "start",
                    "matchers": [
                        {"name": "b", "value": "c", "type": "=~"},
                        {"name": "__name__", "value": "a", "type": "="},
                    ],
                }],
            }})
        );
        let sum = read("topk by (x) (5, a) and ignoring (y) b");
        assert_eq!(sum["matching"], json!({"card": "many-to-many", "labels": ["y"], "on": false, "include": []}));
        assert_eq!(sum["lhs"]["param"], json!({"type": "numberLiteral", "val": "5"}));
        assert_eq!(read("1 + 2")["matching"], Json::Null);
    }
}
