//! Reload: all or nothing, by SIGHUP and by `POST /-/reload`.
//! In: an order. Out: everything new is built first, then swapped; a mistake leaves the old in force and is said.
//! Never: changes the listen address, the storage path or the limits of the window: those need a restart, and it says so.
//! Start at [`Reloader::reload`].

use super::build;
use super::options::Options;
use super::parts::{Parts, SharedDispatch};
use super::rules;
use crate::api::context::{Context, ReloadError, ReloadOrder};
use crate::config::{self, Config, Mistakes, Overrides};
use crate::engine::Settings;
use crate::inbox::{Inbox, InboxError};
use crate::loops::deliver::Deliver;
use crate::loops::evaluate::RuleEngine;
use crate::notify::Notifiers;
use crate::probes::Prober;
use crate::telemetry::{Part, Status};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub struct Reloader {
    config_file: Option<PathBuf>,
    overrides: Overrides,
    insecure: bool,
    started_with: Config,
    context: Arc<Context>,
    deliver: SharedDispatch,
    rules: Arc<RuleEngine>,
    prober: Arc<Prober>,
    is_first_start: bool,
}

impl Reloader {
    pub fn new(options: &Options, parts: &Parts, prober: Arc<Prober>) -> Self {
        parts.context.metrics.config.reloaded(true, parts.context.clock.now().as_secs_f64());
        Self {
            config_file: options.config_file.clone(),
            overrides: options.overrides.clone(),
            insecure: options.insecure,
            started_with: options.config.clone(),
            context: parts.context.clone(),
            deliver: parts.deliver.clone(),
            rules: parts.rules.clone(),
            prober,
            is_first_start: parts.is_first_start,
        }
    }

    async fn reload(&self) -> Result<(), ReloadError> {
        let now = self.context.clock.now();
        let done = self.apply().await;
        self.context.metrics.config.reloaded(done.is_ok(), now.as_secs_f64());
        match &done {
            Ok(()) => {
                self.context.health.set(Part::Config, Status::Ok, "", now);
                tracing::info!("configuration loaded");
            }
            Err(error) => {
                let text = format!("the last reload was refused, the configuration before it is in force: {error}");
                self.context.health.set(Part::Config, Status::Degraded, &text, now);
                tracing::error!(%error, "configuration refused, the old one stays");
            }
        }
        done
    }

    async fn apply(&self) -> Result<(), ReloadError> {
        let loaded = config::start(self.config_file.as_deref(), &self.overrides, self.insecure).map_err(wrong)?;
        for warning in &loaded.warnings {
            tracing::warn!(%warning, "configuration");
        }
        let config = loaded.config;
        self.warn_of_restart(&config);
        // Everything that may fail comes before anything is swapped; the notifiers were built with the configuration, and the engine
        // is the last that may refuse.
        let files = rules::files(&config).map_err(wrong)?;
        let settings = Arc::new(config.engine_settings());
        let now = self.context.clock.now();
        switch(&self.deliver, &self.context.inbox, &config.notifiers, settings).await?;
        let started_at = self.context.started_at;
        let is_first_start = self.is_first_start;
        self.rules
            .change(|set, head| set.reload(rules::settings(&config, started_at, is_first_start), &files, head, now));
        self.context.heartbeats.lock().reload(config.heartbeats.clone(), now);
        self.prober.reload(&config.probes);
        self.context.auth.store(Arc::new(build::auth(&config)));
        self.context.settings.store(Arc::new(build::settings(&config)));
        Ok(())
    }

    fn warn_of_restart(&self, config: &Config) {
        let old = &self.started_with;
        let changed = [
            ("web.listen_address", old.web.listen_address != config.web.listen_address),
            ("storage", old.storage != config.storage),
            ("ingest", old.ingest != config.ingest),
        ];
        for (section, _) in changed.iter().filter(|(_, changed)| *changed) {
            tracing::warn!(section, "this section has changed and takes effect after a restart");
        }
    }
}

fn wrong(mistakes: Mistakes) -> ReloadError {
    ReloadError::Wrong(mistakes.to_string())
}

/// The engine and the notifiers, both or neither. While the engine is asked, new destinations stand beside the old ones, so that
/// what it decides under either settings finds its notifier.
async fn switch(
    deliver: &Deliver,
    inbox: &Inbox,
    notifiers: &Notifiers,
    settings: Arc<Settings>,
) -> Result<(), InboxError> {
    let before = deliver.notifiers();
    deliver.reload(before.with_new(notifiers));
    let done = inbox.reload(settings).await;
    deliver.reload(if done.is_ok() { notifiers.clone() } else { before });
    done
}

/// Takes orders until it is aborted.
pub async fn listen(reloader: Reloader, mut orders: mpsc::Receiver<ReloadOrder>) {
    let mut hang_up = signal(SignalKind::hangup()).ok();
    loop {
        let order = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => Some(order),
                None => return,
            },
            () = received(&mut hang_up) => None,
        };
        let done = reloader.reload().await;
        if let Some(order) = order {
            // The one who asked may have hung up.
            drop(order.send(done));
        }
    }
}

async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::config::Files;
    use crate::inbox::inbox;
    use crate::loops::deliver::ReceiptSink;
    use crate::model::receiver::IntegrationId;

    fn config(receiver: &str) -> Config {
        let text =
            format!("receivers: [{{ name: {receiver}, log_configs: [{{}}] }}]\nroute: {{ receiver: {receiver} }}\n");
        config::parse(&text, "watchfire.yml", Files::Check).unwrap().config
    }

    /// Which of the receivers `old` and `new` can be sent to.
    fn reachable(deliver: &Deliver) -> Vec<&'static str> {
        let (notifiers, log) = (deliver.notifiers(), IntegrationId::new("log", 0));
        ["old", "new"].into_iter().filter(|receiver| notifiers.get(receiver, &log).is_some()).collect()
    }

    /// The engine takes the reload or does not; what can be sent to while it is asked, and afterwards.
    async fn check(engine_takes_it: bool, expect: &[&str]) {
        let (old, new) = (config("old"), config("new"));
        let sink: ReceiptSink = Arc::new(|_, _| Box::pin(std::future::ready(())));
        let deliver = Deliver::new(old.notifiers.clone(), Arc::new(SystemClock), sink, None);
        let (inbox, mut receiver) = inbox();
        let writer = async {
            let (_, waiting) = receiver.recv().await.unwrap().open();
            assert_eq!(reachable(&deliver), ["old", "new"]);
            if engine_takes_it {
                waiting.answer(None);
            }
        };
        let settings = Arc::new(new.engine_settings());
        let (done, ()) = tokio::join!(switch(&deliver, &inbox, &new.notifiers, settings), writer);
        assert_eq!(done, if engine_takes_it { Ok(()) } else { Err(InboxError::Stopped) });
        assert_eq!(reachable(&deliver), expect);
    }

    #[tokio::test]
    async fn a_reload_that_the_engine_does_not_take_leaves_the_old_notifiers() {
        check(false, &["old"]).await;
        check(true, &["new"]).await;
    }
}
