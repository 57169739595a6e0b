//! Where pages arrive in tests: an HTTP receiver and a mailbox.
//! In: what Watchfire sends. Out: everything that arrived, with its time.
//! Never: refuses, unless the test asks for a delay.
//! Start at [`HttpSink`] and [`MailSink`].

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::serve::ListenerExt;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// One request that arrived whole.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub at: Instant,
    pub path: String,
    pub key: String,
    pub body: Value,
}

impl Arrived {
    pub fn status(&self) -> &str {
        self.body["status"].as_str().unwrap_or("")
    }
}

/// Takes every POST and remembers it.
#[derive(Clone, Default)]
pub struct HttpSink {
    arrived: Arc<Mutex<Vec<Arrived>>>,
    /// How long every answer is held back, in milliseconds.
    hold_ms: Arc<AtomicU64>,
}

impl HttpSink {
    /// Listens on a port of its own and returns it.
    pub async fn start() -> (Self, u16) {
        let sink = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = axum::Router::new().fallback(take).with_state(sink.clone());
        tokio::spawn(async move {
            axum::serve(listener.tap_io(|socket| drop(socket.set_nodelay(true))), router).await.unwrap();
        });
        (sink, port)
    }

    pub fn hold(&self, answer: Duration) {
        self.hold_ms.store(answer.as_millis() as u64, Ordering::SeqCst);
    }

    pub fn all(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.arrived.lock().unwrap().len()
    }

    pub fn at(&self, path: &str) -> Vec<Arrived> {
        self.all().into_iter().filter(|a| a.path == path).collect()
    }

    pub fn at_with(&self, path: &str, status: &str) -> Vec<Arrived> {
        self.all().into_iter().filter(|a| a.path == path && a.status() == status).collect()
    }
}

async fn take(State(sink): State<HttpSink>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    sink.arrived.lock().unwrap().push(Arrived { at: Instant::now(), path: uri.path().to_owned(), key, body });
    let hold = sink.hold_ms.load(Ordering::SeqCst);
    if hold > 0 {
        tokio::time::sleep(Duration::from_millis(hold)).await;
    }
    StatusCode::OK
}

/// A message as it came over SMTP.
#[derive(Clone, Debug)]
pub struct Mail {
    pub at: Instant,
    pub to: Vec<String>,
    pub text: String,
}

/// A mailbox for everybody: enough SMTP for a polite client.
#[derive(Clone, Default)]
pub struct MailSink {
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl MailSink {
    pub async fn start() -> (Self, u16) {
        let sink = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails = sink.mails.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mails = mails.clone();
                // A client that hangs up in the middle is the client's affair.
                tokio::spawn(async move { drop(serve_mail(socket, mails).await) });
            }
        });
        (sink, port)
    }

    pub fn all(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// Mails whose subject holds `word`.
    pub fn with_subject(&self, word: &str) -> Vec<Mail> {
        let holds = |m: &Mail| m.text.lines().any(|l| l.starts_with("Subject:") && l.contains(word));
        self.all().into_iter().filter(holds).collect()
    }
}

async fn serve_mail(mut socket: tokio::net::TcpStream, mails: Arc<Mutex<Vec<Mail>>>) -> std::io::Result<()> {
    let (read, mut write) = socket.split();
    let mut lines = BufReader::new(read).lines();
    let mut to = Vec::new();
    write.write_all(b"220 sink\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let upper = line.to_ascii_uppercase();
        let answer: &[u8] = if upper.starts_with("EHLO") || upper.starts_with("HELO") {
            b"250 sink\r\n"
        } else if upper.starts_with("RCPT TO:") {
            to.push(line["RCPT TO:".len()..].trim().to_owned());
            b"250 ok\r\n"
        } else if upper == "DATA" {
            write.write_all(b"354 go on\r\n").await?;
            let mut text = String::new();
            while let Some(line) = lines.next_line().await? {
                if line == "." {
                    break;
                }
                text.push_str(&line);
                text.push('\n');
            }
            mails.lock().unwrap().push(Mail { at: Instant::now(), to: std::mem::take(&mut to), text });
            b"250 taken\r\n"
        } else if upper == "QUIT" {
            write.write_all(b"221 bye\r\n").await?;
            return Ok(());
        } else {
            b"250 ok\r\n"
        };
        write.write_all(answer).await?;
    }
    Ok(())
}
