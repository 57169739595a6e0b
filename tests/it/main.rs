//! The one integration test binary: a module per subject.
//! In: the crate's public rooms. Out: features as a user would tell them.
//! Never: sleeps, or needs anything but cargo.
//! Start at `stories`.

mod sim;
mod stories;
mod world;
