//! The application: build → run → stop. The only place that knows every room.
//! In: [`Options`]. Out: a server that runs until it is stopped, or why it could not.
//! Never: decides what an alert means; it only puts rooms together.
//! Start at [`run`].

mod build;
mod checkup;
mod demo;
mod doors;
mod gauges;
mod options;
mod parts;
mod probing;
mod reload;
pub mod replay;
mod rules;
mod server;
mod system;

pub use demo::config as demo_config;
pub use options::{AppError, Options};
pub use system::run;
