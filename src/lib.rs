//! Watchfire: metrics and alerts in; deduplicated, correlated, explained incidents out; people told until one answers.
//!
//! The rooms, in the order of the road (`ARCHITECTURE.md` has the map):
//!
//! - floor 0, the words: [`model`]; floor 1: [`series`] (recent samples), [`template`] (Go templates),
//!   [`yaml`] (files that people write)
//! - floor 2: [`promql`], [`alerts`], [`incidents`], [`escalation`], which do not know each other
//! - floor 3: [`rules`] (what fires) and [`engine`] (what is decided, in one order)
//! - floor 4: [`wire`], [`wal`], [`store`], [`notify`], [`telemetry`], [`probes`], [`clock`], [`inbox`]: one kind of
//!   IO each; [`ingest`] (bodies into the head and the log)
//! - floor 5: [`config`], [`api`], [`ui`], [`loops`]; floor 6: [`app`] builds and runs it all; floor 7: [`cli`]
//!
//! Imports go down only; `tests/it/tidy.rs` keeps it so.

pub mod alerts;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod escalation;
pub mod inbox;
pub mod incidents;
pub mod ingest;
pub mod loops;
pub mod model;
pub mod notify;
pub mod probes;
pub mod promql;
pub mod rules;
pub mod series;
pub mod store;
pub mod telemetry;
pub mod template;
pub mod ui;
pub mod wal;
pub mod wire;
pub mod yaml;
