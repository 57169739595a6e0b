//! One try: a question, an answer, and what was found in it.
//! In: a [`Probe`]. Out: an [`Outcome`]; failing is an outcome too.
//! Never: takes longer than the probe's time-out, or reads more than [`BODY_MAX`] of an answer.
//! Start at [`ask`].

use super::json::{as_number, as_text};
use super::settings::{Check, Probe, Target};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// The longest answer that is read, in bytes; health documents are a few hundred.
const BODY_MAX: usize = 1 << 20;

/// Why a probe failed, in a word: also a log field.
pub type Failure = &'static str;

/// What one try found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `None` when all was as it should be.
    pub failure: Option<Failure>,
    pub took: Duration,
    /// Of an HTTP answer.
    pub status: Option<u16>,
    /// In the order of the probe's checks: whether it held (`None` without `expect`), and its value as a number.
    pub checks: Vec<(Option<bool>, Option<f64>)>,
}

/// The client that all probes share. Redirects are not followed: a health endpoint that moved is a finding.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("watchfire/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .build()
}

/// Asks once.
pub async fn ask(client: &reqwest::Client, probe: &Probe) -> Outcome {
    let started = Instant::now();
    let answer = tokio::time::timeout(probe.timeout, reach(client, probe)).await;
    let took = started.elapsed();
    let (failure, status, checks) = match answer {
        Err(_) => (Some("timeout"), None, Vec::new()),
        Ok(Err(failure)) => (Some(failure), None, Vec::new()),
        Ok(Ok(answer)) => judge(probe, answer),
    };
    let checks = if checks.is_empty() { unknown(&probe.checks) } else { checks };
    Outcome { failure, took, status, checks }
}

/// Nothing was learned: what was expected did not hold, what is measured has no value.
fn unknown(checks: &[Check]) -> Vec<(Option<bool>, Option<f64>)> {
    checks.iter().map(|check| ((!check.expect.is_empty()).then_some(false), None)).collect()
}

/// An HTTP answer, or nothing more than a connection.
struct Answer {
    status: Option<u16>,
    body: Vec<u8>,
}

async fn reach(client: &reqwest::Client, probe: &Probe) -> Result<Answer, Failure> {
    match &probe.target {
        Target::Tcp(address) => {
            TcpStream::connect(&**address).await.map_err(|_| "connect")?;
            Ok(Answer { status: None, body: Vec::new() })
        }
        Target::Http(url) => {
            let failed = |error: reqwest::Error| if error.is_connect() { "connect" } else { "answer" };
            let mut answer = client.get(&**url).send().await.map_err(failed)?;
            let status = Some(answer.status().as_u16());
            let mut body = Vec::new();
            // Without checks the body is not looked at.
            while !probe.checks.is_empty()
                && let Some(chunk) = answer.chunk().await.map_err(failed)?
            {
                if body.len() + chunk.len() > BODY_MAX {
                    return Err("too_long");
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status, body })
        }
    }
}

type Judged = (Option<Failure>, Option<u16>, Vec<(Option<bool>, Option<f64>)>);

fn judge(probe: &Probe, answer: Answer) -> Judged {
    let good = |status: u16| {
        if probe.expect_status.is_empty() {
            (200..300).contains(&status)
        } else {
            probe.expect_status.contains(&status)
        }
    };
    let status = answer.status.is_none_or(good);
    let document = if probe.checks.is_empty() { None } else { serde_json::from_slice::<Value>(&answer.body).ok() };
    let checks = match &document {
        Some(document) => probe.checks.iter().map(|c| check(c, document)).collect(),
        None => unknown(&probe.checks),
    };
    let failure = match () {
        () if !status => Some("status"),
        () if !probe.checks.is_empty() && document.is_none() => Some("json"),
        () if checks.iter().any(|(held, _)| *held == Some(false)) => Some("check"),
        () => None,
    };
    (failure, answer.status, checks)
}

fn check(check: &Check, document: &Value) -> (Option<bool>, Option<f64>) {
    let value = check.path.find(document);
    let held = || {
        let text = value.and_then(as_text);
        text.is_some_and(|text| check.expect.iter().any(|expected| **expected == *text))
    };
    ((!check.expect.is_empty()).then(held), value.and_then(as_number))
}
