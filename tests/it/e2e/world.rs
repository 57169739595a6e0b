//! The world of the story: all programs wired together on loopback, in a folder of its own.
//! In: which remote-write version Prometheus speaks. Out: handles to kill and start each part, and views of Watchfire's API.
//! Never: uses a fixed port.
//! Start at [`World::start`].

use super::process::{Process, eventually, free_port, peer};
use super::sinks::{HttpSink, MailSink};
use crate::support::contract;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

pub const RW1: &str = "prometheus.WriteRequest";
pub const RW2: &str = "io.prometheus.write.v2.Request";

const RULES: &str = r#"
groups:
  - name: story
    interval: 1s
    rules:
      - alert: InstanceDown
        expr: up{job="node"} == 0
        labels: { severity: critical, service: node }
        annotations: { summary: "{{ $labels.instance }} is down" }
"#;

pub struct World {
    pub dir: TempDir,
    pub http: HttpSink,
    pub mail: MailSink,
    pub watchfire_port: u16,
    node_port: u16,
    peers: Vec<Process>,
    node: Option<Process>,
    watchfire: Option<Process>,
    client: reqwest::Client,
}

fn prometheus_config(watchfire: u16, alertmanager: u16, node: u16, message: &str) -> String {
    format!(
        r#"
global:
  scrape_interval: 1s
  evaluation_interval: 1s
  external_labels: {{ cluster: test, prometheus: p0 }}
rule_files: [rules/*.yml]
scrape_configs:
  - job_name: node
    static_configs: [{{ targets: ["127.0.0.1:{node}"] }}]
remote_write:
  - url: http://127.0.0.1:{watchfire}/api/v1/write
    protobuf_message: {message}
    queue_config: {{ batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 500ms }}
alerting:
  alertmanagers:
    - static_configs: [{{ targets: ["127.0.0.1:{watchfire}", "127.0.0.1:{alertmanager}"] }}]
"#
    )
}

fn alertmanager_config(watchfire: u16) -> String {
    format!(
        r#"
route: {{ receiver: watchfire, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h }}
receivers:
  - name: watchfire
    webhook_configs: [{{ url: "http://127.0.0.1:{watchfire}/api/v1/alertmanager", send_resolved: true }}]
"#
    )
}

fn args(list: &[String]) -> Vec<String> {
    list.to_vec()
}

/// A folder with the contract's configuration and the given rules, for tests that need Watchfire alone.
pub fn prepare(rules: &str, http: u16, mail: u16) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("rules")).unwrap();
    std::fs::write(dir.path().join("rules/rules.yml"), rules).unwrap();
    std::fs::write(dir.path().join("watchfire.yml"), contract::config_with(http, mail)).unwrap();
    dir
}

/// Starts Watchfire in `dir` on `port`.
pub fn start_watchfire(dir: &Path, port: u16) -> Process {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_watchfire"));
    let arguments = ["serve", "--config.file", "watchfire.yml", "--web.listen-address", &format!("127.0.0.1:{port}")]
        .map(str::to_owned);
    Process::start("watchfire", &program, &args(&arguments), dir)
}

pub async fn wait_ready(client: &reqwest::Client, url: &str, what: &str) {
    eventually(Duration::from_secs(60), what, || async {
        match client.get(url).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(answer.status().to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

impl World {
    pub async fn start(message: &str) -> Self {
        let (http, http_port) = HttpSink::start().await;
        let (mail, mail_port) = MailSink::start().await;
        let dir = prepare(RULES, http_port, mail_port);
        let root = dir.path().to_owned();
        let [watchfire_port, prometheus_port, alertmanager_port, node_port] = std::array::from_fn(|_| free_port());
        let write = |name: &str, text: String| std::fs::write(root.join(name), text).unwrap();
        write("prometheus.yml", prometheus_config(watchfire_port, alertmanager_port, node_port, message));
        write("alertmanager.yml", alertmanager_config(watchfire_port));

        let client = reqwest_client();
        let mut world =
            Self { dir, http, mail, watchfire_port, node_port, client, peers: Vec::new(), node: None, watchfire: None };
        world.start_watchfire().await;
        world.start_node();
        let alertmanager = Process::start(
            "alertmanager",
            &peer("prometheus-alertmanager"),
            &args(&[
                "--config.file=alertmanager.yml".to_owned(),
                "--storage.path=am".to_owned(),
                "--cluster.listen-address=".to_owned(),
                format!("--web.listen-address=127.0.0.1:{alertmanager_port}"),
            ]),
            &root,
        );
        let prometheus = Process::start(
            "prometheus",
            &peer("prometheus"),
            &args(&[
                "--config.file=prometheus.yml".to_owned(),
                "--storage.tsdb.path=prom".to_owned(),
                "--rules.alert.resend-delay=2s".to_owned(),
                format!("--web.listen-address=127.0.0.1:{prometheus_port}"),
            ]),
            &root,
        );
        world.peers = vec![alertmanager, prometheus];
        wait_ready(&world.client, &format!("http://127.0.0.1:{alertmanager_port}/-/ready"), "Alertmanager is ready")
            .await;
        wait_ready(&world.client, &format!("http://127.0.0.1:{prometheus_port}/-/ready"), "Prometheus is ready").await;
        // The fire can only be seen in a stream that was seen burning well before.
        eventually(Duration::from_secs(30), "samples flow into Watchfire", || async {
            let found = world.get("/api/v1/query?query=up%7Bjob%3D%22node%22%7D%20%3D%3D%201").await;
            match found["data"]["result"].as_array() {
                Some(list) if !list.is_empty() => Ok(()),
                _ => Err(found.to_string()),
            }
        })
        .await;
        world
    }

    pub fn start_node(&mut self) {
        let listen = format!("--web.listen-address=127.0.0.1:{}", self.node_port);
        let only = ["--collector.disable-defaults".to_owned(), "--collector.loadavg".to_owned(), listen];
        self.node = Some(Process::start("node", &peer("prometheus-node-exporter"), &args(&only), self.dir.path()));
    }

    pub fn kill_node(&mut self) {
        self.node.take().unwrap().kill();
    }

    pub async fn start_watchfire(&mut self) {
        self.watchfire = Some(start_watchfire(self.dir.path(), self.watchfire_port));
        wait_ready(&self.client, &self.url("/-/ready"), "Watchfire is ready").await;
    }

    /// As `kill -9` does.
    pub fn kill_watchfire(&mut self) {
        self.watchfire.take().unwrap().kill();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.watchfire_port)
    }

    /// GET as JSON; `null` when Watchfire does not answer.
    pub async fn get(&self, path: &str) -> Value {
        match self.client.get(self.url(path)).send().await {
            Ok(answer) => answer.json().await.unwrap_or(Value::Null),
            Err(_) => Value::Null,
        }
    }

    pub async fn command(&self, path: &str, body: Value) -> Value {
        let answer = self.client.post(self.url(path)).json(&body).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    pub async fn incidents(&self) -> Vec<Value> {
        self.get("/api/v1/incidents").await["data"]["incidents"].as_array().cloned().unwrap_or_default()
    }

    pub async fn incident(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/incidents/{id}")).await["data"]["incident"].clone()
    }

    pub async fn acknowledge(&self, id: &str, by: &str) {
        self.command(&format!("/api/v1/incidents/{id}/acknowledge"), json!({ "by": by })).await;
    }

    /// The last words of every program, for a failure that must be understood from its output.
    pub fn logs(&self) -> String {
        self.peers.iter().chain(&self.node).chain(&self.watchfire).map(Process::log_tail).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
            for arrived in self.http.all() {
                eprintln!("http {} {} {}", arrived.path, arrived.status(), arrived.key);
            }
            for mail in self.mail.all() {
                eprintln!("mail {:?} {}", mail.to, mail.text.lines().find(|l| l.starts_with("Subject")).unwrap_or(""));
            }
        }
    }
}

pub fn reqwest_client() -> reqwest::Client {
    // Another test may have chosen the provider already; both choose the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap()
}
