//! The kinds of integrations, as one table: a new kind is a folder, and a line here.
//! In: nothing. Out: [`KINDS`], from which receivers are read.
//! Never: knows what is in a kind's settings.
//! Start at [`KINDS`].

use super::settings::{Defaults, IntegrationConfig};
use super::{email, log, pagerduty, slack, webhook};
use crate::yaml::Fields;

/// One kind of integration.
pub struct Kind {
    /// `webhook`, `slack`: as metrics, keys of messages and the API call it.
    pub name: &'static str,
    /// The list of a receiver that holds its settings.
    pub key: &'static str,
    pub read: fn(Fields<'_>, &Defaults<'_>) -> IntegrationConfig,
    /// Reads what `global` holds for it, so that mistakes are found without a receiver of the kind.
    pub read_global: fn(&Fields<'_>),
}

/// In the order of Alertmanager's struct, which is the order of a receiver's integrations.
pub static KINDS: [Kind; 5] = [webhook::KIND, email::KIND, pagerduty::KIND, slack::KIND, log::KIND];

/// What a channel can do; decisions may depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// A later message changes the first one where it stands: such a channel hears of an acknowledgement too.
    pub updates_in_place: bool,
    /// Later messages stand together with the first.
    pub threads: bool,
    /// People can acknowledge there, and we receive that.
    pub acknowledgements: bool,
    pub repeats: Repeats,
}

/// What becomes of a message that is sent once more because it is unknown whether it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// The destination takes it for the same.
    Idempotent,
    /// It could be asked whether it has the message.
    Reconcilable,
    /// It may stand there twice.
    BestEffort,
}
