//! The listener: HTTP/1.1 and HTTP/2 by hyper, with limits against slow and many clients, and a graceful end.
//! In: a bound socket and, once state is loaded, a router. Out: answers; before that 503.
//! Never: holds more than the configured connections, or one that asks nothing ([`HEADER_TIMEOUT`], [`BODY_TIMEOUT`], [`IDLE_TIMEOUT`]).
//! Start at [`serve`].

use crate::api::peer::PeerAddress;
use arc_swap::ArcSwapOption;
use axum::BoxError;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, StatusCode};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep};
use tower::ServiceExt;

/// A client that has not sent its request's head by then is cut off (slow clients hold sockets otherwise).
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A body that is not whole by then fails: its request would hold a place for ever. Remote write has a shorter limit of its own.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection on which nothing was asked for so long goes; Prometheus' own default. HTTP/1.1 is cut off sooner, by
/// [`HEADER_TIMEOUT`]. An answer that a client has not taken within this and [`DRAIN_TIMEOUT`] goes with its connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Requests under way on one HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 256;
/// How long open requests may go on once we stop, or once their connection was asked to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to rest when the system gives no more sockets.
const ACCEPT_REST: Duration = Duration::from_millis(50);

type Http = auto::Builder<TokioExecutor>;

/// Answers from the router once there is one.
#[derive(Clone, Default)]
pub struct Gate(Arc<ArcSwapOption<Router>>);

impl Gate {
    /// From now on requests reach `router`.
    pub fn open(&self, router: Router) {
        self.0.store(Some(Arc::new(router)));
    }

    async fn answer(
        self,
        mut request: Request<Incoming>,
        peer: Option<PeerAddress>,
    ) -> Result<Response<Body>, Infallible> {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        match self.0.load_full() {
            Some(router) => (*router).clone().oneshot(request.map(|body| Body::new(InTime::new(body)))).await,
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

/// A body that fails when it is not whole within [`BODY_TIMEOUT`] from when it was first waited for.
struct InTime {
    body: Incoming,
    /// Only a body that makes us wait needs one.
    limit: Option<Pin<Box<Sleep>>>,
}

impl InTime {
    fn new(body: Incoming) -> Self {
        Self { body, limit: None }
    }
}

impl HttpBody for InTime {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.limit.get_or_insert_with(|| Box::pin(tokio::time::sleep(BODY_TIMEOUT))).as_mut().poll(cx));
        Poll::Ready(Some(Err(format!("the body did not come within {BODY_TIMEOUT:?}").into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The requests of one connection.
struct Requests {
    state: Mutex<RequestsState>,
    ended: Notify,
}

struct RequestsState {
    asked: bool,
    in_work: usize,
    /// When the last one ended; before the first, when the connection came.
    since: Instant,
}

/// A request in work, until it is dropped.
struct InWork(Arc<Requests>);

/// Why a connection that asks nothing has to go.
#[derive(Debug, PartialEq)]
enum Idle {
    Mute,
    Done,
}

impl Requests {
    fn new() -> Arc<Self> {
        let state = RequestsState { asked: false, in_work: 0, since: Instant::now() };
        Arc::new(Self { state: Mutex::new(state), ended: Notify::new() })
    }

    fn begin(self: &Arc<Self>) -> InWork {
        let mut state = self.state.lock();
        state.asked = true;
        state.in_work += 1;
        InWork(self.clone())
    }

    /// Ends when nothing has been in work for too long. hyper's own limit begins only once it knows which HTTP is spoken, and
    /// HTTP/2 has none. A request moves no timer: it is looked at again when the time would have been over.
    async fn idle(&self) -> Idle {
        loop {
            let (over, why) = {
                let state = self.state.lock();
                let (limit, why) = if state.asked { (IDLE_TIMEOUT, Idle::Done) } else { (HEADER_TIMEOUT, Idle::Mute) };
                ((state.in_work == 0).then(|| state.since + limit), why)
            };
            match over {
                None => self.ended.notified().await,
                Some(over) if over <= Instant::now() => return why,
                Some(over) => tokio::time::sleep_until(over).await,
            }
        }
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.in_work -= 1;
        state.since = Instant::now();
        drop(state);
        self.0.ended.notify_one();
    }
}

/// One connection until its end: the client's, ours because it asks nothing, or everybody's (`ending`).
async fn connection(socket: TcpStream, gate: Gate, http: Http, mut ending: watch::Receiver<()>) {
    // Small answers should not wait for more data; a socket that refuses the option works all the same.
    drop(socket.set_nodelay(true));
    // A client that is gone already has none.
    let peer = socket.peer_addr().ok().map(|address| PeerAddress(address.ip()));
    let requests = Requests::new();
    let begun = requests.clone();
    let service = service_fn(move |request| {
        let in_work = begun.begin();
        let answer = gate.clone().answer(request, peer);
        async move {
            let answer = answer.await;
            drop(in_work);
            answer
        }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        idle = requests.idle() => {
            tracing::debug!(?idle, "a connection asks nothing and is closed");
            if idle == Idle::Mute {
                return;
            }
            connection.as_mut().graceful_shutdown();
            let Ok(ended) = tokio::time::timeout(DRAIN_TIMEOUT, connection).await else { return };
            ended
        }
        // The sender is dropped only after all of us.
        _ = ending.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// What hyper speaks, and its limits.
fn http() -> Http {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .keep_alive_interval(Duration::from_secs(30));
    http
}

/// The next client, once there is a place for it.
async fn next(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    loop {
        let slot = slots.clone().acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((socket, _)) => return Some((socket, slot)),
            Err(error) => {
                // Out of file descriptors, or a client that was gone at once: neither is a reason to stop serving.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Serves until `stop` says so, then lets open requests end.
pub async fn serve(listener: TcpListener, gate: Gate, connections_max: usize, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(connections_max));
    let (end, ending) = watch::channel(());
    let http = http();
    loop {
        // Also while every place is taken: who stops us must not wait for a client to go.
        let next = tokio::select! {
            next = next(&listener, &slots) => next,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some((socket, slot)) = next else { break };
        let connection = connection(socket, gate.clone(), http.clone(), ending.clone());
        tokio::spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop((listener, ending));
    // Without a receiver the answer is not needed.
    let _ = end.send(());
    if tokio::time::timeout(DRAIN_TIMEOUT, end.closed()).await.is_err() {
        tracing::warn!("requests were still open after {DRAIN_TIMEOUT:?} and were cut off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::write::handle;
    use crate::clock::ManualClock;
    use crate::ingest::RemoteWrite;
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

    /// What a server says until it hangs up, and after how long it does.
    async fn until_closed(mut socket: TcpStream) -> (String, Duration) {
        let start = Instant::now();
        let mut said = Vec::new();
        // A reset is an end too.
        let _ = socket.read_to_end(&mut said).await;
        (String::from_utf8_lossy(&said).into_owned(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_while_every_place_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(serve(listener, Gate::default(), 1, stopped));
        let mut only = TcpStream::connect(address).await.unwrap();
        only.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        assert!(only.read(&mut [0; 256]).await.unwrap() > 0);
        // It waits for a connection slot that no other connection is going to free.
        let _next = TcpStream::connect(address).await.unwrap();
        let start = Instant::now();
        stop.send(true).unwrap();
        served.await.unwrap();
        assert!(start.elapsed() < HEADER_TIMEOUT, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_over_which_nothing_more_is_asked_goes() {
        let slow = || async {
            tokio::time::sleep(3 * IDLE_TIMEOUT).await;
            "slow"
        };
        let router = Router::new().route("/", get(|| async { "here" })).route("/slow", get(slow));
        let (address, _stop) = start(router, 1).await;
        // Over HTTP/1.1, hyper waits for the next head as long as for the first.
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let (said, held) = until_closed(plain).await;
        assert!(said.ends_with("here") && held >= HEADER_TIMEOUT && held < 2 * HEADER_TIMEOUT, "{said:?} {held:?}");
        // Over HTTP/2, a request in work is waited for however long it takes; from its end the time runs. This client answers pings.
        crate::notify::install_tls_provider();
        let client = reqwest::Client::builder().http2_prior_knowledge().pool_idle_timeout(None).build().unwrap();
        let ask = async |path: &str| {
            client.get(format!("http://{address}{path}")).send().await.unwrap().text().await.unwrap()
        };
        assert_eq!(ask("/").await, "here");
        tokio::time::sleep(IDLE_TIMEOUT / 2).await;
        assert_eq!(ask("/slow").await, "slow");
        let start = Instant::now();
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await.unwrap();
        let (said, _) = until_closed(next).await;
        let held = start.elapsed();
        assert!(
            said.ends_with("here") && held >= IDLE_TIMEOUT && held <= IDLE_TIMEOUT + DRAIN_TIMEOUT,
            "{said:?} {held:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_holds_no_place() {
        let (address, _stop) = start(Router::new().route("/", post(|body: String| async { body })), 1).await;
        for begun in ["", "half"] {
            let mut slow = TcpStream::connect(address).await.unwrap();
            let head = format!("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 8\r\n\r\n{begun}");
            slow.write_all(head.as_bytes()).await.unwrap();
            let (said, held) = until_closed(slow).await;
            assert!(said.starts_with("HTTP/1.1 400"), "{said:?}");
            assert!(held >= BODY_TIMEOUT && held < BODY_TIMEOUT + 2 * HEADER_TIMEOUT, "{held:?}");
        }
    }

    #[tokio::test]
    async fn samples_come_over_http_2_without_an_upgrade() {
        crate::notify::install_tls_provider();
        let head = Arc::new(Head::default());
        let now = Timestamp::from_millis(1_767_323_045_000);
        let clock = Arc::new(ManualClock::at(now));
        let door = RemoteWrite::new(head.clone(), None, Arc::default(), clock, Arc::default());
        let write = move |headers: HeaderMap, body: Body| async move { handle(&door, &headers, None, body).await };
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
