//! `receivers`: Alertmanager's receivers, of the kinds that can deliver.
//! In: the list and [`Defaults`], which fill in what a receiver leaves out. Out: [`Receiver`]s.
//! Never: makes a receiver that looks configured and tells nobody: kinds that cannot deliver are listed, and
//! `check` says so. Where a mistake was noted the value returned is a stand-in that is never used.
//! Start at [`receivers`].

use crate::notify::{Defaults, KINDS, ReceiverConfig, foreign};
use crate::yaml::{At, Fields, Position};
use std::sync::Arc;

/// A receiver, and what of it cannot deliver.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub at: Position,
    pub config: ReceiverConfig,
    /// Where each of its integrations is written.
    pub places: Vec<Position>,
    /// Kinds that Alertmanager knows and Watchfire does not deliver to (`opsgenie`), and where they are written.
    pub foreign: Vec<At<&'static str>>,
}

/// Reads the list `receivers` of the whole file.
pub fn receivers(root: &Fields<'_>, defaults: &Defaults<'_>) -> Vec<Receiver> {
    let mut out: Vec<Receiver> = Vec::new();
    for f in root.each("receivers") {
        let receiver = receiver(f, defaults);
        if !receiver.config.name.is_empty() && out.iter().any(|r| r.config.name == receiver.config.name) {
            root.notes().mistake_with(
                receiver.at,
                format!("notification config name {:?} is not unique", receiver.config.name),
                "give each receiver a name of its own",
            );
        }
        out.push(receiver);
    }
    out
}

fn receiver(f: Fields<'_>, defaults: &Defaults<'_>) -> Receiver {
    let name = f.filled("name");
    if name.is_none() {
        f.notes().mistake_with(f.at(), "missing name in receiver", "write name: and refer to it from a route");
    }
    // Labels of receivers are shown by Alertmanager's API only.
    f.pairs("labels");
    let (mut integrations, mut places) = (Vec::new(), Vec::new());
    for kind in &KINDS {
        for c in f.each(kind.key) {
            places.push(c.at());
            integrations.push((kind.read)(c, defaults));
        }
    }
    let mut foreign = Vec::new();
    for integration in foreign::read(&f, defaults) {
        foreign.push(At { value: integration.value.kind(), at: integration.at });
        places.push(integration.at);
        integrations.push(integration.value);
    }
    let out = Receiver {
        at: name.map_or(f.at(), |n| n.at),
        config: ReceiverConfig { name: Arc::from(name.map_or("", |n| n.value)), integrations },
        places,
        foreign,
    };
    f.finish();
    out
}
