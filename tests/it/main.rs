//! One binary for all integration tests: a module per subject.
//! In: the public interface. Out: pass or fail.
//! Never: sleeps, or passes by being skipped.
//! Start at the module of your subject.

mod store;
