//! Run: the table of subcommands.
//! In: `std::env::args`. Out: the exit code of what was called.
//! Never: does the work itself.
//! Start at [`main`].

use super::args::{Cli, Command};
use super::{alerts, check, client, incidents, notifications, out, replay, serve, silences, simulate, unit_tests};
use clap::Parser;
use std::process::ExitCode;

/// The program. 0: fine; 1: a check or the command failed; 2: wrong usage; 3: lints that were asked to be fatal.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command {
        None => serve::serve(&cli.serve),
        Some(Command::Serve(args)) => serve::serve(&args),
        Some(Command::Demo(args)) => serve::demo(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Test(args)) => unit_tests::run(&args),
        Some(Command::Replay(args)) => code(replay::run(&args)),
        Some(Command::Repair { storage_path }) => code(serve::repair(&storage_path)),
        Some(Command::Simulate(args)) => code(simulate::run(&args)),
        Some(Command::Alert(command)) => code(alerts::run(command)),
        Some(Command::Silence(command)) => code(silences::run(command)),
        Some(Command::Incident(command)) => code(incidents::run(command)),
        Some(Command::Notifications(args)) => code(notifications::run(args)),
        Some(Command::Oncall(client)) => code(incidents::oncall(&client)),
        Some(Command::Probe(client)) => code(client::Client::new(&client).and_then(|c| c.probe())),
        Some(Command::Version) => {
            out::line(concat!("watchfire ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
    }
}

fn code(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::complain(format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
