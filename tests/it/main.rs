//! The one integration binary: a module per subject. Start at the module of your subject.

mod alerts;
mod config;
#[cfg(feature = "e2e")]
mod e2e;
mod sim;
mod stories;
mod template;
mod tidy;
mod world;
