//! The one integration test binary; a module per subject.
//! In: the crate's public interface. Out: a verdict.
//! Never: sleeps, or passes by being skipped.
//! Start at the module of the subject.

mod promql;
