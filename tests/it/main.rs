//! The integration tests: one binary, a module per subject.
//! In: the library through its public rooms. Out: pass or a text that says what differs.
//! Never: sleeps, or skips silently.
//! Start at the module of the subject.

mod rules;
mod template;
