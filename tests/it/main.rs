//! The one integration binary: a module per subject.
//! In: the public interface. Out: pass or fail.
//! Never: sleeps, or passes by being skipped.
//! Start at the module of your subject.

#![allow(clippy::unwrap_used)] // A test fails by panicking, its helpers too.

#[cfg(feature = "e2e")]
mod e2e;
mod sim;
mod store;
mod stories;
mod tidy;
mod world;
