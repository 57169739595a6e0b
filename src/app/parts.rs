//! Everything that runs, put together.
//! In: handles from `build`. Out: the same to the loops, the API and the reload.
//! Never: starts or decides anything.
//! Start at [`Parts`].

use super::doors::RuleDoor;
use crate::api::context::Context;
use crate::engine::Outcome;
use crate::inbox::InboxReceiver;
use crate::loops::deliver::Deliver;
use crate::loops::evaluate::RuleEngine;
use crate::store::{SqliteStore, StoreError};
use parking_lot::Mutex;
use std::sync::Arc;

/// What sends messages; the single writer, the reload and the checkup share it.
pub(super) type SharedDispatch = Arc<Deliver>;

/// Everything that runs, put together.
pub struct Parts {
    pub context: Arc<Context>,
    pub deliver: SharedDispatch,
    pub rules: Arc<RuleEngine>,
    pub rule_sink: Arc<RuleDoor>,
    /// Whether the data folder was made by this start.
    pub is_first_start: bool,
    pub(super) store: Arc<SqliteStore>,
    pub(super) start: Mutex<Option<(InboxReceiver, Outcome)>>,
}

impl Parts {
    /// What the single writer begins with; taken once.
    pub fn take_start(&self) -> (InboxReceiver, Outcome) {
        self.start.lock().take().expect("loops are started once")
    }

    pub async fn close(self) -> Result<(), StoreError> {
        self.store.close().await
    }
}
