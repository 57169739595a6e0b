//! The one integration binary: a module per subject. Start at the module of your subject.

mod config;
#[cfg(feature = "e2e")]
mod e2e;
mod tidy;
//! The integration tests: one binary, a module per subject.
//! In: the crate's public interface. Out: pass or fail.
//! Never: sleeps, ignores or skips.
//! Start at the module of your subject.

mod notify;
mod support;
mod template;
//! One binary for all integration tests: a module per subject.
//! In: the public interface. Out: pass or fail.
//! Never: sleeps, or passes by being skipped.
//! Start at the module of your subject.

#![allow(clippy::unwrap_used)] // A test fails by panicking, its helpers too.

mod store;
