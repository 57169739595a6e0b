//! `watchfire serve`, `demo`, `repair`: hand over to `app`.
//! In: [`ServeArgs`]. Out: the exit code of the server.
//! Never: keeps anything; `app` reads the configuration again at each reload with the same flags.
//! Start at [`serve`].

use super::args::{LogFormat, ServeArgs};
use super::out;
use crate::app::{self, Options};
use crate::config::{self, Loaded, Mistakes};
use crate::telemetry::logging;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the demo keeps its state, so that it never mixes with a real server's.
const DEMO_STORAGE: &str = "./data/demo";

pub fn serve(args: &ServeArgs) -> ExitCode {
    start(args, config::start(args.config_file.as_deref(), &args.overrides(), args.insecure), None)
}

/// The same server with a fleet that breaks; without a file, with the demo's own configuration.
pub fn demo(args: &ServeArgs) -> ExitCode {
    let loaded = if args.config_file.is_some() {
        config::start(args.config_file.as_deref(), &args.overrides(), args.insecure)
    } else {
        app::demo_config().map(|mut loaded| {
            loaded.config.apply(&args.overrides());
            if args.storage_path.is_none() {
                loaded.config.storage.path = PathBuf::from(DEMO_STORAGE);
            }
            loaded
        })
    };
    start(args, loaded, Some(|line| out::line(line)))
}

/// Loads and checks before anything starts, so that a mistake is an exit code and not a half-started server.
fn start(args: &ServeArgs, loaded: Result<Loaded, Mistakes>, demo: Option<fn(&str)>) -> ExitCode {
    // The demo tells its story on the same terminal: log lines would drown it.
    let wanted = args.log_level.as_deref().unwrap_or(if demo.is_some() { "warn" } else { "info" });
    let Some(level) = logging::parse_level(wanted) else {
        out::complain(format!("--log.level {wanted:?} is not known: write error, warn, info, debug or trace"));
        return ExitCode::from(2);
    };
    let format = match args.log_format {
        LogFormat::Logfmt => logging::LogFormat::Logfmt,
        LogFormat::Json => logging::LogFormat::Json,
    };
    logging::init(level, format);
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            out::complain(format!("{mistakes}\nthe configuration was not loaded"));
            return ExitCode::FAILURE;
        }
    };
    for warning in &loaded.warnings {
        out::complain(format!("warning: {warning}"));
    }
    let options = Options {
        config: loaded.config,
        config_file: args.config_file.clone(),
        overrides: args.overrides(),
        insecure: args.insecure,
        demo,
    };
    match app::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::complain(format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// `watchfire repair`: cuts what cannot be read out of the write-ahead log; the server must not run.
pub fn repair(storage: &Path) -> Result<(), String> {
    let repaired = crate::wal::repair(&storage.join("wal")).map_err(|e| e.to_string())?;
    out::line(format!(
        "{} segments mended, {} bytes could not be read and are gone",
        repaired.segments, repaired.dropped_bytes
    ));
    Ok(())
}
