//! `info`: labels of info series, such as `target_info`, given to other series of the same instance and job.
//! In: an instant vector and a selector of info series. Out: the same elements with more labels.
//! Never: replaces a label that an element has.
//! Start at [`info`].

use super::super::ast::Type;
use super::super::eval::{Elem, Eval, Result, Val};
use super::super::plan::{Node, SelectorNode};
use super::super::projection::{Groups, Projection};
use super::super::value::EvalError;
use super::Function;
use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, Matcher, SampleValue};

/// The labels that say which info series belongs to which series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

pub(super) static FUNCTIONS: &[Function] =
    &[Function::special("info", &[Type::Vector, Type::Vector], info).variadic(1).experimental()];

/// An info series and when its sample was taken.
struct Info {
    labels: Labels,
    taken_ms: i64,
}

fn info(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let base = eval.vector(&args[0], at)?;
    let Some(Node::Selector(s)) = args.get(1) else {
        return Err(EvalError::Unsupported("info needs a selector".to_owned()));
    };
    if base.is_empty() {
        return Ok(Val::Vector(base));
    }
    let (names, data): (Vec<&Matcher>, Vec<&Matcher>) =
        eval.matchers(s.index).iter().partition(|m| m.name == METRIC_NAME);
    let key = Projection::new(&IDENTIFYING.map(str::to_owned), true);
    let mut groups = Groups::new(&key);
    let found = gathered(eval, s, eval.info_moment(&args[0], at)?, &mut groups)?;
    let mut out = Vec::with_capacity(base.len());
    for e in base {
        let is_info = names.iter().all(|m| m.matches(&e.labels));
        let infos = groups.find(&e.labels).map_or(&[][..], |number| found[number].as_slice());
        if is_info {
            out.push(e);
        } else if let Some(e) = enriched(e, infos, &data)? {
            out.push(e);
        }
    }
    Ok(Val::Vector(out))
}

/// The info series by what identifies them; of several of one name the newest.
fn gathered(eval: &Eval<'_>, s: &SelectorNode, at: i64, groups: &mut Groups<'_>) -> Result<Vec<Vec<Info>>> {
    let mut found: Vec<Vec<Info>> = Vec::new();
    let mut failed = None;
    let series = eval.series(s.index);
    eval.each_latest(&series, s, at, |series, point| {
        let labels = series.labels();
        // Without what identifies it a series could be anyone's.
        if IDENTIFYING.iter().all(|name| labels.get(name).is_none()) {
            return;
        }
        if matches!(point.v, SampleValue::Histogram(_)) {
            failed.get_or_insert_with(|| format!("info sample should be float: {labels}"));
            return;
        }
        let (number, new) = groups.number(labels);
        if new {
            found.push(Vec::new());
        }
        let info = Info { labels: labels.clone(), taken_ms: point.t.as_millis() };
        let twin = found[number].iter_mut().find(|i| i.labels.metric_name() == labels.metric_name());
        match twin {
            None => found[number].push(info),
            Some(twin) if twin.taken_ms < info.taken_ms => *twin = info,
            Some(twin) if twin.taken_ms > info.taken_ms => {}
            Some(twin) => {
                let (a, b, t) = (&twin.labels, &info.labels, info.taken_ms);
                failed.get_or_insert_with(|| {
                    format!("found duplicate series for info metric: existing {a} @ {t}, new {b} @ {t}")
                });
            }
        }
    })?;
    match failed {
        Some(why) => Err(EvalError::Data(why)),
        None => Ok(found),
    }
}

/// The element with the data labels; `None` when one that it must have is nowhere.
fn enriched(mut e: Elem, infos: &[Info], data: &[&Matcher]) -> Result<Option<Elem>> {
    let mut added: Vec<(&str, &str)> = Vec::new();
    for info in infos {
        for (name, value) in info.labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            if !data.is_empty() && data.iter().all(|m| m.name != name) {
                continue;
            }
            match added.iter().find(|(n, _)| *n == name) {
                Some((_, v)) if *v != value => return Err(EvalError::Data(format!("conflicting label: {name}"))),
                Some(_) => {}
                None if e.labels.get(name).is_some() => {}
                None => added.push((name, value)),
            }
        }
    }
    if added.is_empty() && !data.iter().all(|m| m.matches_empty()) {
        return Ok(None);
    }
    if !added.is_empty() {
        let mut builder = LabelsBuilder::from(&e.labels);
        for (name, value) in added {
            builder.set(name, value);
        }
        e.labels = builder.build();
    }
    Ok(Some(e))
}
