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
use tokio::sync::{Semaphore, watch};
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
        let service = service_fn(move |request| gate.clone().answer(request));
        let connection = builder.serve_connection(TokioIo::new(socket), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still open after {DRAIN_TIMEOUT:?} and were cut off");
    }
}
