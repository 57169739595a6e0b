//! The one integration binary: a module per subject. Start at the module of your subject.

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
