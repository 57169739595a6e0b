//! The road with real programs: Prometheus, Alertmanager, amtool and a node exporter around a Watchfire process.
//! In: the folder of their programs in `WATCHFIRE_PEERS`. Out: the promises of the first page, held or broken.
//! Never: skips; a missing peer is a failure that says how to bring it.
//! Start at [`story`].

mod amtool;
mod differential;
mod expressions;
mod kills;
mod lives;
mod load;
mod process;
mod promtool;
mod samples;
mod sinks;
mod story;
mod world;
