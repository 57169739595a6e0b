//! amtool against Watchfire: alerts and silences, as with an Alertmanager.
//! In: the real amtool. Out: what its users would see.
//! Never: parses amtool's columns beyond the words a user looks for.
//! Start at [`alerts_and_silences`].

use super::process::{eventually, free_port, peer};
use super::sinks::{HttpSink, MailSink};
use super::world::{prepare, reqwest_client, start_watchfire, wait_ready};
use std::process::Command;
use std::time::Duration;

fn amtool(port: u16, arguments: &[&str]) -> String {
    let output = Command::new(peer("amtool"))
        .arg(format!("--alertmanager.url=http://127.0.0.1:{port}"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "amtool {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_silences() {
    let (http, http_port) = HttpSink::start().await;
    let (_mail, mail_port) = MailSink::start().await;
    let dir = prepare("groups: []\n", http_port, mail_port);
    let port = free_port();
    let watchfire = start_watchfire(dir.path(), port);
    wait_ready(&reqwest_client(), &format!("http://127.0.0.1:{port}/-/ready"), "Watchfire is ready").await;

    amtool(port, &["alert", "add", "alertname=DiskFull", "node=a", "severity=critical", "--annotation=summary=full"]);
    let listed = amtool(port, &["alert", "query", "node=a"]);
    assert!(listed.contains("DiskFull"), "{listed}\n{}", watchfire.log_tail());
    assert!(!amtool(port, &["alert", "query", "node=b"]).contains("DiskFull"));
    eventually(Duration::from_secs(10), "the alert pages", || async {
        if http.at("/first").is_empty() { Err("nothing".to_owned()) } else { Ok(()) }
    })
    .await;

    let id = amtool(port, &["silence", "add", "node=a", "--comment=planned", "--author=ana", "--duration=1h"]);
    let id = id.trim();
    let silences = amtool(port, &["silence", "query"]);
    assert!(silences.contains(id) && silences.contains("ana"), "{silences}");
    assert!(!amtool(port, &["alert", "query", "node=a"]).contains("DiskFull"), "a silenced alert is not active");
    assert!(amtool(port, &["alert", "query", "--silenced", "node=a"]).contains("DiskFull"));
    amtool(port, &["silence", "expire", id]);
    assert!(!amtool(port, &["silence", "query"]).contains(id));
    assert!(amtool(port, &["alert", "query", "node=a"]).contains("DiskFull"));

    let config = amtool(port, &["config", "show"]);
    assert!(config.contains("receiver") && config.contains("ops"), "{config}");
    let routes = amtool(port, &["config", "routes", "test", "severity=critical"]);
    assert!(routes.contains("ops"), "{routes}");
}
