//! The demo: a simulated fleet writes to us by remote-write, breaks after a few seconds, and heals once somebody answers.
//! In: our own address. Out: samples by remote-write, and what happens as lines for people.
//! Never: touches the engine; it is a sender and a reader like any other.
//! Start at [`run`].

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Files, Loaded, Mistakes};
use crate::model::{Labels, Sample, Timestamp};
use crate::rules::Reading;
use crate::wire::remote_write::{Version, encode};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The configuration of `watchfire demo` when no file is named: two people, one escalation policy, quick steps.
const CONFIG: &str = include_str!("demo/watchfire.yml");
/// Its rules.
const RULES: &str = include_str!("demo/rules.yml");

const BEAT: Duration = Duration::from_secs(1);
/// The fleet is well for this long, so that rules see a before.
const BREAKS_AFTER_BEATS: u32 = 8;
/// After an acknowledgement somebody needs a little time to repair things.
const REPAIR_BEATS: u32 = 15;
/// Nobody answered: the fleet heals by itself, so that the end is seen as well.
const HEALS_AFTER_BEATS: u32 = 180;

const SERVICES: [&str; 3] = ["checkout", "catalog", "search"];
const INSTANCES: u32 = 3;

/// What the demo runs with when no file is named.
pub fn config() -> Result<Loaded, Mistakes> {
    let mut loaded = config::parse(CONFIG, "the demo's configuration", Files::Ignore)?;
    loaded.config.rules = vec![config::rule_file(Path::new("demo/rules.yml"), RULES, Reading::default())?];
    Ok(loaded)
}

/// How the fleet is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fleet {
    Well,
    Broken,
}

/// Writes a sample of each series every second and prints what becomes of it, until stopped.
pub async fn run(address: SocketAddr, say: fn(&str), stop: CancellationToken) {
    let url = format!("http://{address}");
    say(&format!(
        "Watchfire is watching a simulated shop of nine instances. Open {url}/ in a browser; Ctrl-C ends it."
    ));
    say(&format!("In {BREAKS_AFTER_BEATS} seconds its checkout service breaks. Times are UTC.\n"));
    let client = reqwest::Client::new();
    let mut teller = Teller {
        url: url.clone(),
        client: client.clone(),
        say,
        printed: BTreeSet::new(),
        answered: false,
        hinted: false,
        over: false,
    };
    // What an earlier demo left in the same folder is not printed again.
    teller.look(false).await;
    let mut beat = tokio::time::interval(BEAT);
    let (mut beats, mut repair_at, mut requests) = (0u32, None, [0.0; 2]);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        beats += 1;
        if teller.answered && repair_at.is_none() {
            repair_at = Some(beats + REPAIR_BEATS);
            say(&format!(
                "\nSomebody answered, so nobody else is paged. The shop is repaired in {REPAIR_BEATS} seconds.\n"
            ));
        }
        let healed = beats > HEALS_AFTER_BEATS || repair_at.is_some_and(|at| beats >= at);
        let fleet = if beats > BREAKS_AFTER_BEATS && !healed { Fleet::Broken } else { Fleet::Well };
        if beats == BREAKS_AFTER_BEATS + 1 {
            say("Now two instances of checkout are gone, and the third is slow and answers with errors.\n");
        }
        requests[0] += 50.0;
        requests[1] += if fleet == Fleet::Broken { 20.0 } else { 0.0 };
        let body = encode(Version::V2, &samples(fleet, requests, SystemClock.now()));
        let sent = client
            .post(format!("{url}/api/v1/write"))
            .header("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Write-Version", "2.0.0")
            .body(body)
            .send()
            .await;
        if let Err(error) = sent {
            tracing::warn!(%error, "the demo's samples were not taken");
        }
        teller.look(true).await;
    }
}

fn samples(fleet: Fleet, requests: [f64; 2], now: Timestamp) -> Vec<(Labels, Vec<Sample>)> {
    let mut all = Vec::new();
    for service in SERVICES {
        for n in 1..=INSTANCES {
            let instance = format!("{service}-{n}:8080");
            let broken = fleet == Fleet::Broken && service == "checkout";
            let down = broken && n != 3;
            let mut put = |name: &str, extra: Option<(&str, &str)>, v: f64| {
                let fixed = [
                    ("__name__", name),
                    ("cluster", "demo"),
                    ("namespace", "shop"),
                    ("service", service),
                    ("job", service),
                    ("instance", &instance),
                ];
                all.push((Labels::from_pairs(fixed.into_iter().chain(extra)), vec![Sample { t: now, v }]));
            };
            put("up", None, if down { 0.0 } else { 1.0 });
            if down {
                continue;
            }
            let errors = if broken { requests[1] } else { 0.0 };
            put("http_requests_total", Some(("code", "200")), requests[0]);
            put("http_requests_total", Some(("code", "500")), errors);
            put("http_request_latency_seconds", None, if broken { 2.4 } else { 0.08 });
        }
    }
    all
}

/// Reads the incidents through the API, and prints each new line of their timelines once.
struct Teller {
    url: String,
    client: reqwest::Client,
    say: fn(&str),
    printed: BTreeSet<u64>,
    /// A person acknowledged or resolved it since the demo began.
    answered: bool,
    /// How to answer was said.
    hinted: bool,
    /// An incident was resolved, and the last word is not said yet.
    over: bool,
}

impl Teller {
    async fn get(&self, path: &str) -> Option<Value> {
        self.client.get(format!("{}{path}", self.url)).send().await.ok()?.json().await.ok()
    }

    /// Says what is new; without `aloud` it is only noted as known.
    async fn look(&mut self, aloud: bool) {
        let Some(list) = self.get("/api/v1/incidents").await else { return };
        let ids = list["data"]["incidents"].as_array().into_iter().flatten().filter_map(|i| i["id"].as_str());
        let mut fresh = Vec::new();
        for id in ids {
            let Some(one) = self.get(&format!("/api/v1/incidents/{id}")).await else { continue };
            for line in one["data"]["incident"]["timeline"].as_array().into_iter().flatten() {
                let seq = line["seq"].as_u64().unwrap_or(0);
                if self.printed.insert(seq) {
                    fresh.push((seq, id.to_owned(), line.clone()));
                }
            }
        }
        fresh.sort_by_key(|(seq, ..)| *seq);
        for (_, id, line) in fresh.iter().filter(|_| aloud) {
            self.print_line(id, line);
        }
        // The demo is over when those who were paged have received the end as well.
        if self.over && fresh.is_empty() {
            self.over = false;
            (self.say)("\nThat was the whole road: samples, rule, incident, page, answer, end. Ctrl-C ends the demo.");
        }
    }

    fn print_line(&mut self, id: &str, line: &Value) {
        let text = |key: &str| line[key].as_str().unwrap_or("");
        let clock = text("at").get(11..19).unwrap_or("");
        let (kind, what, why) = (text("kind"), text("text"), text("reason"));
        let actor = text("actor");
        let by = if actor.is_empty() || what.contains(actor) { String::new() } else { format!(" by {actor}") };
        let head = format!("{clock}  {id}  ");
        match kind {
            // The cause comes first: nobody answered, so the next step is taken.
            "escalated" if !why.is_empty() => (self.say)(&format!("{head}{why}: {what}{by}")),
            // The step before it has said why.
            "paged" => (self.say)(&format!("{head}{what}{by}")),
            _ if why.is_empty() => (self.say)(&format!("{head}{what}{by}")),
            _ => (self.say)(&format!("{head}{what}{by}\n{:width$}because {why}", "", width = head.len())),
        }
        self.answered |= kind == "acknowledged" || (kind == "resolved" && !actor.is_empty());
        if kind == "page_sent" && !self.hinted {
            self.hinted = true;
            let url = &self.url;
            (self.say)(&format!(
                "\nAnswer the page: press Acknowledge at {url}/incidents/{id}\n\
                 or run: watchfire incident ack {id} --by you --url {url}\n"
            ));
        }
        self.over |= kind == "resolved";
    }
}
