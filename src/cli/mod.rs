//! The command line: arguments in, an exit code out (0 fine, 1 failed, 2 wrong usage).
//! In: `std::env::args`. Out: text through [`out`], and the exit code.
//! Never: decides anything about alerts; it loads, calls and prints.
//! Start at [`main`].

mod alerts;
mod args;
mod check;
mod client;
mod incidents;
mod junit;
mod notifications;
mod out;
mod replay;
mod run;
mod serve;
mod silences;
mod simulate;
mod table;
mod unit_tests;

pub use args::{LogFormat, ReplayArgs, ServeArgs};
pub use run::main;
