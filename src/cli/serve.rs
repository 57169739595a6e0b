//! `watchfire serve`, `demo` and `replay`: hand over to `app`.
//! In: [`ServeArgs`]. Out: the exit code of the server.
//! Never: keeps anything; `app` reads the configuration again at each reload with the same flags.
//! Start at [`serve`].

use super::args::{ReplayArgs, ServeArgs};
use super::out;
use crate::config;
use std::process::ExitCode;

pub fn serve(args: ServeArgs) -> ExitCode {
    start(&args)
}

pub fn demo(args: ServeArgs) -> ExitCode {
    start(&args)
}

/// Loads and checks before anything starts, so that a mistake is an exit code and not a half-started server.
fn start(args: &ServeArgs) -> ExitCode {
    let loaded = match config::start(args.config_file.as_deref(), &args.overrides(), args.insecure) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            out::complain(format!("{mistakes}\nthe configuration was not loaded"));
            return ExitCode::FAILURE;
        }
    };
    for warning in &loaded.warnings {
        out::complain(format!("warning: {warning}"));
    }
    out::complain("this build has no server");
    ExitCode::FAILURE
}

pub fn replay(args: &ReplayArgs) -> Result<(), String> {
    config::load(Some(&args.config_file)).map_err(|mistakes| mistakes.to_string())?;
    Err("this build cannot replay".to_owned())
}
