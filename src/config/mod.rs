//! Configuration: `watchfire.yml` (or a stock `alertmanager.yml`) → read → checked → [`Config`].
//! In: a file and flags. Out: an immutable [`Config`] that every other room is built from, or all [`Mistakes`] at once.
//! Never: prints a secret, or hands out half a configuration.
//! Start at [`load`].

mod check;
mod checked;
mod files;
mod glob;
mod global;
mod heartbeats;
mod ingest;
mod intervals;
mod load;
mod matchers;
mod named;
mod people;
mod print;
mod probes;
mod receivers;
mod routing;
mod server;
mod trial;
pub use crate::yaml::{Mistake, Mistakes, Position, Warning};
pub use checked::{Config, Overrides};
pub use glob::expand;
pub use ingest::{DoorBytes, Ingest, Limits, memory_budget};
pub use load::{DEFAULT_YAML, Files, Loaded, load, parse, parse_with, start};
pub use matchers::parse as parse_matchers;
pub use named::{FileKind, kind_of, rule_file, rule_warnings};
pub use server::{
    Auth, BasicUser, Evaluation, LISTEN_ADDRESS, Paging, Storage, Web, external_url, is_exposed, listen_address,
};
