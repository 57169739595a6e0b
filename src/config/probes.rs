//! `probes`: what Watchfire asks itself.
//! In: the section. Out: the [`Probe`]s that run.
//! Never: asks anything.
//! Start at [`probes`].

use crate::model::Labels;
use crate::model::labels::is_classic_label_name;
use crate::notify::http::url_mistake;
use crate::probes::{CHECKS_MAX, Check, JsonPath, PROBES_MAX, Probe, Target};
use crate::yaml::{At, Fields};
use std::sync::Arc;
use std::time::Duration;

/// Between two tries, unless written: that of a usual scrape.
const INTERVAL: Duration = Duration::from_secs(15);
/// Of one try, unless written; less when the interval is shorter.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads `probes`.
pub fn probes(root: &Fields<'_>) -> Vec<Probe> {
    let all = root.each("probes");
    if let Some(first) = all.get(PROBES_MAX) {
        root.notes().mistake(first.at(), format!("more than {PROBES_MAX} probes"));
    }
    let mut taken: Vec<Arc<str>> = Vec::new();
    all.into_iter().filter_map(|f| probe(f, &mut taken)).collect()
}

fn name(f: &Fields<'_>, what: &str, taken: &mut Vec<Arc<str>>) -> Option<Arc<str>> {
    let Some(name) = f.filled("name") else {
        f.notes().mistake_with(f.at(), format!("missing name in {what}"), "write name:");
        return None;
    };
    let text: Arc<str> = Arc::from(name.value);
    if taken.contains(&text) {
        let text = format!("{what} name {:?} is not unique", name.value);
        f.notes().mistake_with(name.at, text, format!("give each {what} a name of its own"));
    }
    taken.push(Arc::clone(&text));
    Some(text)
}

fn probe(f: Fields<'_>, taken: &mut Vec<Arc<str>>) -> Option<Probe> {
    let name = name(&f, "probe", taken);
    let target = target(&f);
    let interval = f.positive_duration("interval").map_or(INTERVAL, |d| d.value);
    let timeout = f.positive_duration("timeout");
    if let Some(timeout) = timeout.filter(|t| t.value > interval) {
        let advice = "a probe is not asked again before the last answer or time-out";
        f.notes().mistake_with(timeout.at, "timeout is longer than interval", advice);
    }
    let is_tcp = matches!(target, Some(Target::Tcp(_)));
    for key in ["expect_status", "checks"] {
        if let Some(node) = f.node(key).filter(|_| is_tcp) {
            f.notes().mistake(node.at, format!("{key} needs an HTTP answer; this probe is tcp"));
        }
    }
    let expect_status = f.texts("expect_status").unwrap_or_default().iter().filter_map(|t| status(&f, t)).collect();
    let checks = checks(&f);
    let labels = labels(&f);
    f.finish();
    let timeout = timeout.map_or(TIMEOUT.min(interval), |t| t.value);
    Some(Probe { name: name?, target: target?, interval, timeout, expect_status, checks, labels })
}

fn target(f: &Fields<'_>) -> Option<Target> {
    match (f.filled("http"), f.filled("tcp")) {
        (Some(url), None) => {
            if let Some((text, advice)) = url_mistake(url.value) {
                f.notes().mistake_with(url.at, format!("http: {text}"), advice);
                return None;
            }
            if has_credentials(url.value) {
                let advice = "the URL is a label that everybody sees; let the endpoint answer without authentication";
                f.notes().mistake_with(url.at, "http: a URL with a user or a password is not supported", advice);
                return None;
            }
            Some(Target::Http(url.value.into()))
        }
        (None, Some(address)) => {
            let port = address.value.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
                let text = format!("tcp must be host:port, not {:?}", address.value);
                f.notes().mistake_with(address.at, text, "such as db.example.org:5432 or [::1]:5432");
                return None;
            }
            Some(Target::Tcp(address.value.into()))
        }
        _ => {
            let advice = "write http: with a URL, or tcp: with host:port";
            f.notes().mistake_with(f.at(), "a probe needs exactly one of http or tcp", advice);
            None
        }
    }
}

fn has_credentials(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

fn status(f: &Fields<'_>, text: &At<&str>) -> Option<u16> {
    let status = text.value.parse().ok().filter(|status| (100..600).contains(status));
    if status.is_none() {
        let text_ = format!("expect_status must hold HTTP statuses from 100 to 599, not {:?}", text.value);
        f.notes().mistake(text.at, text_);
    }
    status
}

fn checks(f: &Fields<'_>) -> Vec<Check> {
    let all = f.each("checks");
    if let Some(first) = all.get(CHECKS_MAX) {
        f.notes().mistake(first.at(), format!("more than {CHECKS_MAX} checks of one probe"));
    }
    let mut taken = Vec::new();
    all.into_iter()
        .filter_map(|f| {
            let name = name(&f, "check", &mut taken);
            let path = path(&f);
            let expect = f.node("expect").map_or_else(Vec::new, |node| match node.value {
                crate::yaml::Value::List(_) => f.texts("expect").unwrap_or_default(),
                _ => f.text("expect").into_iter().collect(),
            });
            let expect = expect.iter().map(|text| Arc::from(text.value)).collect();
            f.finish();
            Some(Check { name: name?, path: path?, expect })
        })
        .collect()
}

fn path(f: &Fields<'_>) -> Option<JsonPath> {
    let advice = "write names separated by dots, such as checks.database.status or nodes[0].ok";
    let Some(text) = f.text("path") else {
        f.notes().mistake_with(f.at(), "missing path in check", advice);
        return None;
    };
    JsonPath::parse(text.value)
        .map_err(|error| f.notes().mistake_with(text.at, format!("path {:?}: {error}", text.value), advice))
        .ok()
}

fn labels(f: &Fields<'_>) -> Labels {
    let pairs = f.pairs("labels");
    for (name, _) in &pairs {
        if !is_classic_label_name(name.value) || ["__name__", "probe", "check"].contains(&name.value) {
            f.notes().mistake(name.at, format!("label name {:?} cannot be set on a probe", name.value));
        }
    }
    Labels::from_pairs(pairs.iter().map(|(n, v)| (n.value, v.value)))
}
