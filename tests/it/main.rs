//! The one integration binary: a module per subject.
//! In: the crate's public interface. Out: pass or fail.
//! Never: sleeps, ignores or skips.
//! Start at the module of your subject.

#![allow(clippy::unwrap_used)] // A test fails by panicking, its helpers too.

mod acceptance;
mod alerts;
mod bad_input;
mod behaviour;
mod cli;
mod config;
mod contract;
#[cfg(feature = "e2e")]
mod e2e;
mod folders;
mod health;
mod heartbeats;
mod integrations;
mod notify;
mod outbox;
mod probes;
mod promql;
mod remote_write;
mod rules;
mod sim;
#[cfg(feature = "stack")]
mod stack;
mod store;
mod stories;
mod support;
mod template;
mod tidy;
mod ui;
mod world;
