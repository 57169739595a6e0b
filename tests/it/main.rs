//! The integration tests: one binary, one module per subject.
//! In: our own data under `tests/data`, or the folder named by `WATCHFIRE_CONFORMANCE`. Out: pass or fail, never skip.
//! Never: sleeps, or needs anything but cargo.
//! Start at the module of your subject; `stories` tells what the product does.

#![allow(clippy::unwrap_used)] // A test fails by panicking, its helpers too.

mod alerts;
mod sim;
mod stories;
mod world;
