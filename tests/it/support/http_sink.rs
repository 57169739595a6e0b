//! A fake HTTP receiver.
//! In: a function from the request's number to an answer. Out: the requests, in order of arrival.
//! Never: answers anything but what the script says.
//! Start at [`HttpSink::start`].

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::{Router, body::Body};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("printable"))
    }
}

pub enum Reply {
    With(u16, Vec<(&'static str, String)>, String),
    /// Never answers.
    Hang,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::With(status, Vec::new(), String::new())
    }

    pub fn json(value: &serde_json::Value) -> Self {
        Self::With(200, Vec::new(), value.to_string())
    }
}

pub struct HttpSink {
    pub address: SocketAddr,
    arrivals: mpsc::Receiver<Received>,
    connections: Arc<Mutex<std::collections::HashSet<SocketAddr>>>,
}

impl HttpSink {
    /// Listens on a free port of loopback; `script` gets the request's number (from 1) and the request.
    pub async fn start(script: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (arrived, arrivals) = mpsc::channel(100_000);
        let connections = Arc::new(Mutex::new(std::collections::HashSet::new()));
        let (script, count, peers) = (Arc::new(script), Arc::new(AtomicUsize::new(0)), Arc::clone(&connections));
        let handler = move |request: Request| {
            let (script, count, arrived, peers) =
                (Arc::clone(&script), Arc::clone(&count), arrived.clone(), Arc::clone(&peers));
            async move {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let (parts, body) = request.into_parts();
                if let Some(peer) = parts.extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
                    peers.lock().expect("not poisoned").insert(peer.0);
                }
                let body = axum::body::to_bytes(body, 64 << 20).await.expect("a whole body");
                let received = Received { path: parts.uri.path().to_owned(), headers: parts.headers, body };
                let reply = script(number, &received);
                let _ = arrived.try_send(received);
                match reply {
                    Reply::Hang => std::future::pending().await,
                    Reply::With(status, headers, body) => {
                        let mut response = Response::builder().status(StatusCode::from_u16(status).expect("a status"));
                        for (name, value) in headers {
                            response = response.header(name, value);
                        }
                        response.body(Body::from(body)).expect("a response")
                    }
                }
            }
        };
        let app = Router::new().fallback(handler).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, arrivals, connections }
    }

    pub async fn always(status: u16) -> Self {
        Self::start(move |_, _| Reply::status(status)).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request; waits for it.
    pub async fn next(&mut self) -> Received {
        self.arrivals.recv().await.expect("the sink runs")
    }

    /// What has arrived and was not taken yet.
    pub fn taken_so_far(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.arrivals.try_recv().ok()).collect()
    }

    pub fn connections(&self) -> usize {
        self.connections.lock().expect("not poisoned").len()
    }
}
