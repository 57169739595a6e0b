//! `watchfire simulate`: who would be told of an alert, when, and why.
//! In: labels, a time, a configuration. Out: announcements and pages, in order.
//! Never: sends anything, or touches a running server.
//! Start at [`run`].

use super::args::SimulateArgs;
use crate::config;

pub fn run(args: &SimulateArgs) -> Result<(), String> {
    config::load(args.config_file.as_deref()).map_err(|mistakes| mistakes.to_string())?;
    Err("this build cannot simulate".to_owned())
}
