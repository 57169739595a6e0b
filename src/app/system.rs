//! The running system, from the first line of the log to the last.
//! In: options and a checked configuration. Out: an exit reason.
//! Never: listens before the state is loaded; stops before what was accepted is on disk.
//! Start at [`run`].

use super::build;
use super::options::{AppError, Options};
use super::parts::Parts;
use super::reload::{self, Reloader};
use super::server::{self, Gate};
use super::{demo, gauges, probing};
use crate::api::router::router;
use crate::loops::decide::Decide;
use crate::loops::evaluate::EvaluateLoop;
use crate::loops::gap::GapLoop;
use crate::loops::retain::{KEEP, KeepFor, Retain};
use crate::loops::silence::SilenceLoop;
use crate::store::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long messages may still go out once we stop; what is left goes out after the next start.
const DELIVER_DRAIN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT; needs to be called once, outside of any runtime.
pub fn run(options: Options) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| AppError::Start(format!("no threads could be started: {e}")))?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> Result<(), AppError> {
    let address = options.config.web.listen_address;
    let listener = TcpListener::bind(address).await.map_err(|error| AppError::Listen { address, error })?;
    let address = listener.local_addr().map_err(|error| AppError::Listen { address, error })?;
    let gate = Gate::default();
    let (stop_doors, doors_stopped) = watch::channel(false);
    // Probes are answered while state is loaded.
    let doors = tokio::spawn(server::serve(listener, gate.clone(), options.config.web.max_connections, doors_stopped));
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening; loading state");

    let (reload_orders, orders) = tokio::sync::mpsc::channel(8);
    let parts = build::build(&options.config, reload_orders).await?;
    let loops = start_loops(&parts, options.config.storage.retention);
    gauges::register(&parts);
    gate.open(router(parts.context.clone(), crate::ui::pages()));
    parts.context.health.set_ready(true);
    tracing::info!(url = %parts.context.external_url(), "ready");

    let stop_demo = CancellationToken::new();
    let demo = options.demo.map(|say| tokio::spawn(demo::run(address, say, stop_demo.clone())));
    let prober = Arc::new(probing::prober(&parts).map_err(AppError::Start)?);
    prober.reload(&options.config.probes);
    let reloader = Reloader::new(&options, &parts, prober.clone());
    let reloads = tokio::spawn(reload::listen(reloader, orders));
    let reason = tokio::select! {
        signal = stop_signal() => { tracing::info!(signal, "stopping"); Ok(()) }
        failed = first_failure(&loops) => Err(failed),
    };
    stop_demo.cancel();
    if let Some(demo) = demo {
        demo.abort();
    }
    reloads.abort();
    prober.stop();
    parts.context.health.set_ready(false);
    // A receiver that is gone has stopped already.
    let _ = stop_doors.send(true);
    drop(doors.await);
    let ended = stop(parts, loops).await;
    tracing::info!("stopped");
    reason.and(ended)
}

/// The loops that run until the end, and the tokens that stop them.
struct Loops {
    evaluate_stop: CancellationToken,
    decide_stop: CancellationToken,
    checkup: JoinHandle<()>,
    evaluate: JoinHandle<()>,
    decide: JoinHandle<Result<(), StoreError>>,
    retain: JoinHandle<Result<(), StoreError>>,
    /// Cancelled by a loop that ended without being asked to.
    failed: CancellationToken,
}

fn start_loops(parts: &Parts, retention: Duration) -> Loops {
    let (evaluate_stop, decide_stop, failed) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let context = &parts.context;
    let decide = Decide {
        engine: context.engine.clone(),
        door: build::door_hooks(&context.registry, &parts.rules, &context.heartbeats),
        store: context.store.clone(),
        clock: context.clock.clone(),
        dispatch: parts.deliver.clone(),
        metrics: context.metrics.clone(),
        health: context.health.clone(),
    };
    let (receiver, first) = parts.take_start();
    let decide = tokio::spawn(watched(failed.clone(), decide.run(receiver, first, decide_stop.clone())));
    let evaluate = EvaluateLoop {
        engine: parts.rules.clone(),
        sink: parts.rule_sink.clone(),
        clock: context.clock.clone(),
        stop: evaluate_stop.clone(),
        observe: gauges::rule_observer(context),
    };
    let evaluate = tokio::spawn(watched(failed.clone(), evaluate.run()));
    let gap = GapLoop {
        engine: parts.rules.clone(),
        sink: parts.rule_sink.clone(),
        clock: context.clock.clone(),
        stop: evaluate_stop.clone(),
        is_first_start: parts.is_first_start,
    };
    tokio::spawn(watched(failed.clone(), gap.run()));
    let silence = SilenceLoop {
        engine: parts.rules.clone(),
        heartbeats: context.heartbeats.clone(),
        posted: build::posted_heartbeats(&context.registry, &context.clock),
        sink: parts.rule_sink.clone(),
        clock: context.clock.clone(),
        stop: evaluate_stop.clone(),
    };
    tokio::spawn(watched(failed.clone(), silence.run()));
    let (registry, head, relieved) = (context.registry.clone(), context.head.clone(), context.head.clone());
    let retain = Retain {
        store: context.store.clone(),
        clock: context.clock.clone(),
        metrics: context.metrics.clone(),
        keep: KeepFor { incidents: retention, ..KEEP },
        sweeps: vec![
            Arc::new(move |now| drop(registry.gc(now, build::GC_MAX))),
            Arc::new(move |now| {
                head.sweep(now);
            }),
        ],
        relief: Arc::new(move |now| {
            relieved.relieve(now);
        }),
    };
    let retain = tokio::spawn(watched(failed.clone(), retain.run(evaluate_stop.clone())));
    let checkup = tokio::spawn(watched(failed.clone(), super::checkup::run(parts, evaluate_stop.clone())));
    Loops { evaluate_stop, decide_stop, checkup, evaluate, decide, retain, failed }
}

/// Says that a loop has ended, also when it panicked.
async fn watched<T>(failed: CancellationToken, work: impl Future<Output = T>) -> T {
    let _guard = failed.drop_guard();
    work.await
}

async fn first_failure(loops: &Loops) -> AppError {
    loops.failed.cancelled().await;
    AppError::Failed("a loop has ended by itself; the log says why".to_owned())
}

/// In the order of the road: nothing new comes in, what came is decided and stored, what was decided is sent if it can be.
async fn stop(parts: Parts, loops: Loops) -> Result<(), AppError> {
    loops.evaluate_stop.cancel();
    let ended = |error: tokio::task::JoinError| AppError::Failed(format!("a loop broke down: {error}"));
    let evaluate = loops.evaluate.await.map_err(ended);
    loops.checkup.await.map_err(ended)?;
    // Receipts must still be taken while messages go out.
    parts.deliver.stop(DELIVER_DRAIN).await;
    loops.decide_stop.cancel();
    let decide = loops.decide.await.map_err(ended)?;
    let retain = loops.retain.await.map_err(ended)?;
    let closed = parts.close().await;
    decide?;
    retain?;
    closed?;
    evaluate
}

/// SIGTERM (service managers) or SIGINT (people).
async fn stop_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = tokio::signal::ctrl_c() => "SIGINT",
        },
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be heard, SIGINT only");
            // Without signals at all the process is stopped by SIGKILL only, which loses nothing either.
            drop(tokio::signal::ctrl_c().await);
            "SIGINT"
        }
    }
}
