//! The receivers of the killed server: mostly quick, sometimes slow, sometimes failing, each answer by the dice.
//! In: messages. Out: every arrival with its key and what was answered when.
//! Never: takes a message without remembering it first.
//! Start at [`Sink::start`].

use crate::support::dice::Dice;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One request that arrived whole.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Instant,
    pub path: String,
    pub key: String,
    /// When which status went out; `None`: not yet, or never, because who asked is gone.
    pub answered: Option<(Instant, u16)>,
}

impl Arrival {
    /// The sender may believe that it was taken.
    pub fn may_count(&self) -> bool {
        self.answered.is_none_or(|(_, status)| status == 200)
    }
}

#[derive(Clone)]
pub struct Sink {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    dice: Arc<Mutex<Dice>>,
}

impl Sink {
    /// Listens on a port of its own and returns it.
    pub async fn start(seed: u64) -> (Self, u16) {
        let sink = Self { arrivals: Arc::default(), dice: Arc::new(Mutex::new(Dice(seed))) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = axum::Router::new().fallback(take).with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (sink, port)
    }

    /// What arrived since the last call; asked while nobody sends.
    pub fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.arrivals.lock().unwrap())
    }
}

async fn take(State(sink): State<Sink>, uri: Uri, headers: HeaderMap, _: Bytes) -> StatusCode {
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let (roll, wait) = {
        let mut dice = sink.dice.lock().unwrap();
        (dice.below(100), dice.below(400))
    };
    let index = {
        let mut arrivals = sink.arrivals.lock().unwrap();
        arrivals.push(Arrival { at: Instant::now(), path: uri.path().to_owned(), key: key.clone(), answered: None });
        arrivals.len() - 1
    };
    let (pause, status) = match roll {
        0..75 => (0, StatusCode::OK),
        75..88 => (wait, StatusCode::OK),
        88..90 => (2_000, StatusCode::OK),
        _ => (wait / 8, StatusCode::INTERNAL_SERVER_ERROR),
    };
    tokio::time::sleep(Duration::from_millis(pause)).await;
    // Between lives the list is taken away; an answer that comes later finds nobody.
    if let Some(arrival) = sink.arrivals.lock().unwrap().get_mut(index).filter(|arrival| arrival.key == key) {
        arrival.answered = Some((Instant::now(), status.as_u16()));
    }
    status
}
