//! The listener: HTTP/1.1 and HTTP/2 by hyper, with limits against slow and many clients, and a graceful end.
//! In: a bound socket and, once state is loaded, a router. Out: answers; before that 503.
//! Never: waits for a request's head longer than [`HEADER_TIMEOUT`], or holds more than the configured connections.
//! Start at [`serve`].

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tower::ServiceExt;

/// A client that has not sent its request's head by then is cut off (slow clients hold sockets otherwise).
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests under way on one HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 256;
/// How long open requests may go on once we stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to rest when the system gives no more sockets.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Answers from the router once there is one.
#[derive(Clone, Default)]
pub struct Gate(Arc<ArcSwapOption<Router>>);

impl Gate {
    /// From now on requests reach `router`.
    pub fn open(&self, router: Router) {
        self.0.store(Some(Arc::new(router)));
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        match self.0.load_full() {
            Some(router) => (*router).clone().oneshot(request.map(Body::new)).await,
            None => Ok(loading(request.uri().path())),
        }
    }
}

/// State is being loaded: alive, but come back.
fn loading(path: &str) -> Response<Body> {
    let healthy = path.ends_with("/-/healthy");
    let mut response = Response::new(Body::from(if healthy {
        "Watchfire is healthy.\n"
    } else {
        "Watchfire is loading its state.\n"
    }));
    if !healthy {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert("retry-after", axum::http::HeaderValue::from_static("1"));
    }
    response
}

/// Ends when the first request has not come in time: hyper's own limit begins only once it knows which HTTP is spoken, and
/// HTTP/2 has none. After the first request it never ends.
async fn silence(first: &Notify) {
    if tokio::time::timeout(HEADER_TIMEOUT, first.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Serves until `stop` says so, then lets open requests end.
pub async fn serve(listener: TcpListener, gate: Gate, connections_max: usize, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(connections_max));
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .keep_alive_interval(Duration::from_secs(30));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { break };
        let socket = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let socket = match socket {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of file descriptors, or a client that was gone at once: neither is a reason to stop serving.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        // Small answers should not wait for more data; a socket that refuses the option works all the same.
        drop(socket.set_nodelay(true));
        let gate = gate.clone();
        let asked = Arc::new(Notify::new());
        let first = asked.clone();
        let service = service_fn(move |request| {
            asked.notify_one();
            gate.clone().answer(request)
        });
        let connection = builder.serve_connection(TokioIo::new(socket), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended badly");
                    }
                }
                () = silence(&first) => tracing::debug!("a connection brought no request within {HEADER_TIMEOUT:?}"),
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still open after {DRAIN_TIMEOUT:?} and were cut off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::write::WriteDoor;
    use crate::clock::ManualClock;
    use crate::model::{Labels, Sample, Timestamp};
    use crate::series::Head;
    use crate::wire::remote_write::{Version, encode};
    use axum::http::HeaderMap;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    /// A server on a port of its own; it ends with the test.
    async fn start(router: Router, connections_max: usize) -> (std::net::SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate::default();
        gate.open(router);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve(listener, gate, connections_max, stopped));
        (address, stop)
    }

    /// Time passes as soon as nothing else happens, so the limit is met at once.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_brings_no_request_is_cut_off_and_its_place_given_away() {
        let (address, _stop) = start(Router::new().route("/", get(|| async { "here" })), 1).await;
        let beginnings: [&[u8]; 6] = [
            b"",
            b"P",
            b"PRI * HTTP/2.0\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            b"POST / HTTP/1.1\r\nHost: here\r\n",
            b"GET / HTTP/1.1\r\nX-Slow: 1",
        ];
        for beginning in beginnings {
            let start = Instant::now();
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(beginning).await.unwrap();
            // The only place is taken; this one waits for it.
            let mut next = TcpStream::connect(address).await.unwrap();
            next.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            next.read_to_string(&mut answer).await.unwrap();
            let what = String::from_utf8_lossy(beginning);
            assert!(answer.starts_with("HTTP/1.1 200"), "{what:?}: {answer:?}");
            let waited = start.elapsed();
            assert!(waited >= HEADER_TIMEOUT && waited < 2 * HEADER_TIMEOUT, "{what:?}: {waited:?}");
            drop(slow);
        }
    }

    #[tokio::test]
    async fn samples_come_over_http_2_without_an_upgrade() {
        crate::notify::install_tls_provider();
        let head = Arc::new(Head::default());
        let now = Timestamp::from_millis(1_767_323_045_000);
        let clock = Arc::new(ManualClock::at(now));
        let door = WriteDoor::new(head.clone(), None, Arc::default(), clock, Arc::default());
        let write = move |headers: HeaderMap, body: Body| async move { door.handle(&headers, body).await };
        let (address, _stop) = start(Router::new().route("/api/v1/write", post(write)), 1).await;
        let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        for (n, version) in [Version::V1, Version::V2].into_iter().enumerate() {
            let series: Vec<_> = (0..200)
                .map(|i| {
                    (
                        Labels::from_pairs([("__name__", format!("m{i}"))]),
                        vec![Sample { t: now + Duration::from_secs(n as u64), v: 1.0 }],
                    )
                })
                .collect();
            let request = client
                .post(format!("http://{address}/api/v1/write"))
                .header("Content-Encoding", "snappy")
                .header("Content-Type", version.content_type())
                .body(encode(version, &series));
            let answer = request.send().await.unwrap();
            assert_eq!((answer.version(), answer.status().as_u16()), (axum::http::Version::HTTP_2, 204), "{version}");
        }
        assert_eq!((head.series_count(), head.sample_count()), (200, 400));
    }
}
