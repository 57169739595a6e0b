//! The one integration binary: a module per subject. Start at the module of your subject.

#[cfg(feature = "e2e")]
mod e2e;
mod alerts;
mod config;
mod tidy;
