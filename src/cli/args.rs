//! Arguments: every subcommand and flag, with the help that explains it.
//! In: the command line. Out: [`Cli`].
//! Never: has a default that the configuration file also has; a flag that is not given is `None`.
//! Start at [`Cli`].

use crate::config::Overrides;
use crate::model::Timestamp;
use crate::promql::Features;
use crate::rules::Reading;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const AFTER_HELP: &str = "Exit codes: 0 fine, 1 a check or the command failed, 2 wrong usage, 3 lints with check --lint-fatal.\n\
     Without a subcommand: serve.";

/// Keeps watch over metrics and alerts until a person has answered.
#[derive(Debug, Parser)]
#[command(name = "watchfire", bin_name = "watchfire", version, about, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (the default)
    Serve(ServeArgs),
    /// Run the server with a simulated fleet that breaks after a few seconds
    Demo(ServeArgs),
    /// Check configuration files, alertmanager.yml files and rule files: check [rules|config] FILE...
    Check(CheckArgs),
    /// Run rule unit tests in promtool's format: test [rules] FILE...
    Test(TestArgs),
    /// Play stored alert history against another configuration and show what would have differed
    Replay(ReplayArgs),
    /// Cut unreadable records out of the write-ahead log of a stopped server
    Repair {
        /// Folder of the database and the write-ahead log
        #[arg(long = "storage.path", value_name = "DIR", default_value = "./data")]
        storage_path: PathBuf,
    },
    /// Show who would be told of an alert, when, and why
    Simulate(SimulateArgs),
    /// Post alerts to a running server, or list them
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Add, list and expire silences of a running server
    #[command(subcommand)]
    Silence(SilenceCommand),
    /// List incidents of a running server, and act on them
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// List the messages of a running server: what was sent, what waits and why, what was refused; send one again
    Notifications(NotificationsArgs),
    /// Show who is on call
    Oncall(ClientArgs),
    /// Print the version
    Version,
    /// Exit code 0 when the server is ready: for health checks where there is no shell
    #[command(hide = true)]
    Probe(ClientArgs),
}

/// Flags of the server. What is not given comes from the configuration file, or from its defaults.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// watchfire.yml or a stock alertmanager.yml; without it built-in defaults hold
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:9095]
    #[arg(long = "web.listen-address", value_name = "ADDRESS", value_parser = crate::config::listen_address)]
    pub listen_address: Option<SocketAddr>,
    /// How people reach this server, for links in messages
    #[arg(long = "web.external-url", value_name = "URL", value_parser = crate::config::external_url)]
    pub external_url: Option<Arc<str>>,
    /// Folder of the database and the write-ahead log [default: ./data]
    #[arg(long = "storage.path", value_name = "DIR")]
    pub storage_path: Option<PathBuf>,
    /// What the process may take, such as 2GiB; short of it, series that no rule selects are left out
    #[arg(long = "memory.budget", value_name = "SIZE", value_parser = crate::config::memory_budget)]
    pub memory_budget: Option<u64>,
    /// error, warn, info, debug or trace [default: info; demo: warn]
    #[arg(long = "log.level", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How log lines on standard error look
    #[arg(long = "log.format", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Listen beyond this machine without authentication
    #[arg(long)]
    pub insecure: bool,
    #[command(flatten)]
    pub features: FeatureArgs,
}

/// What is off until it is asked for, by Prometheus' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(clippy::enum_variant_names)] // Prometheus' names
pub enum Feature {
    /// `info`, `limitk`, `mad_over_time` and others
    PromqlExperimentalFunctions,
    /// `anchored` and `smoothed`
    PromqlExtendedRangeSelectors,
    /// `fill`, `fill_left` and `fill_right`
    PromqlBinopFillModifiers,
    /// Always on
    PromqlDurationExpr,
    /// Always on
    PromqlDelayedNameRemoval,
}

#[derive(Clone, Debug, Default, Args)]
pub struct FeatureArgs {
    /// What expressions may use beyond the stable language; names separated by commas
    #[arg(long = "enable-feature", value_enum, value_delimiter = ',', value_name = "NAME")]
    enable_feature: Vec<Feature>,
}

impl FeatureArgs {
    pub fn features(&self) -> Features {
        let has = |feature| self.enable_feature.contains(&feature);
        Features {
            experimental_functions: has(Feature::PromqlExperimentalFunctions),
            extended_range_selectors: has(Feature::PromqlExtendedRangeSelectors),
            fill_modifiers: has(Feature::PromqlBinopFillModifiers),
        }
    }
}

/// How commands that look at rule files read them.
#[derive(Clone, Debug, Default, Args)]
pub struct ReadingArgs {
    #[command(flatten)]
    pub features: FeatureArgs,
    /// Pass over unknown fields of rule files; the server refuses them, so remove them before it reads the files
    #[arg(long)]
    ignore_unknown_fields: bool,
}

impl ReadingArgs {
    pub fn reading(&self) -> Reading {
        Reading { features: self.features.features(), ignore_unknown_fields: self.ignore_unknown_fields }
    }
}

impl ServeArgs {
    /// The flags that win over the configuration, at the start and at each reload.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen_address: self.listen_address,
            external_url: self.external_url.clone(),
            storage_path: self.storage_path.clone(),
            memory_budget: self.memory_budget,
            features: self.features.features(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Logfmt,
    Json,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files, each recognised by what is in it; the word `rules` or `config` before them says what they must be, and
    /// `rules` alone reads standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Which oddities of valid rules are said; names separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub lint: Vec<Lints>,
    /// Exit with code 3 when there is an oddity
    #[arg(long)]
    pub lint_fatal: bool,
    /// Print the configuration as it was read, secrets hidden
    #[arg(long)]
    pub print: bool,
    /// Do not look at the files that a configuration names
    #[arg(long)]
    pub syntax_only: bool,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// Which lints are looked for, by promtool's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lints {
    /// Everything that is odd
    All,
    /// Rules of equal name and labels only, which is all that promtool looks for
    DuplicateRules,
    None,
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Unit-test files; the word `rules` before them is promtool's and changes nothing
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only tests whose name matches this regular expression; may be given several times
    #[arg(long, value_name = "REGEX")]
    pub run: Vec<String>,
    /// Show only the lines that differ
    #[arg(long)]
    pub diff: bool,
    /// Say when each test starts and ends, and show all its series
    #[arg(long)]
    pub debug: bool,
    /// Write the results to this file as `JUnit` XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// The configuration to try
    #[arg(long = "config.file", value_name = "FILE", required = true)]
    pub config_file: PathBuf,
    /// Folder with the stored history
    #[arg(long = "storage.path", value_name = "DIR", default_value = "./data")]
    pub storage_path: PathBuf,
    /// Only what happened from here on (RFC 3339)
    #[arg(long, value_parser = time)]
    pub from: Option<Timestamp>,
    /// Only what happened before this, and timers until then (RFC 3339) [default: the last moment in the store]
    #[arg(long, value_parser = time)]
    pub until: Option<Timestamp>,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Labels of the alert: a=b,c="d e"; may be given several times
    #[arg(long, value_name = "LABELS", required = true)]
    pub labels: Vec<String>,
    /// When it starts (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<Timestamp>,
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
}

/// Which server to talk to, and how to print what it says.
#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9095", env = "WATCHFIRE_URL")]
    pub url: String,
    /// File whose first line is the bearer token
    #[arg(long, value_name = "FILE", env = "WATCHFIRE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Post one alert: watchfire alert add alertname=DiskFull node=a --annotation summary=full
    Add {
        #[arg(required = true, value_name = "NAME=VALUE")]
        labels: Vec<String>,
        #[arg(long = "annotation", value_name = "NAME=VALUE")]
        annotations: Vec<String>,
        #[arg(long, default_value = "")]
        generator_url: String,
        /// RFC 3339 [default: now]
        #[arg(long, value_parser = time)]
        start: Option<Timestamp>,
        /// RFC 3339 [default: `resolve_timeout` from now]
        #[arg(long, value_parser = time)]
        end: Option<Timestamp>,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// List alerts: watchfire alert query 'severity=~"critical|page"'
    Query {
        #[arg(value_name = "MATCHER")]
        matchers: Vec<String>,
        /// Silenced ones too
        #[arg(long)]
        silenced: bool,
        /// Inhibited ones too
        #[arg(long)]
        inhibited: bool,
        /// Only those for this receiver (a regular expression)
        #[arg(long)]
        receiver: Option<String>,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum SilenceCommand {
    /// Add a silence: watchfire silence add node=a --duration 2h --comment 'disk swap'
    Add {
        #[arg(required = true, value_name = "MATCHER")]
        matchers: Vec<String>,
        #[arg(short, long, value_parser = duration, default_value = "1h")]
        duration: Duration,
        /// RFC 3339 [default: now]
        #[arg(long, value_parser = time)]
        start: Option<Timestamp>,
        /// RFC 3339; wins over the duration
        #[arg(long, value_parser = time)]
        end: Option<Timestamp>,
        #[arg(short, long)]
        comment: String,
        #[arg(short, long, alias = "by", env = "USER")]
        author: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// List silences
    Query {
        #[arg(value_name = "MATCHER")]
        matchers: Vec<String>,
        /// Expired ones too
        #[arg(long)]
        expired: bool,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// End silences now
    Expire {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// What every action on an incident takes.
#[derive(Debug, Args)]
pub struct ActArgs {
    #[arg(value_name = "INCIDENT")]
    pub id: String,
    /// Who does it
    #[arg(long, env = "USER")]
    pub by: String,
    #[arg(long)]
    pub note: Option<String>,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// List incidents, newest first
    List {
        /// triggered, acknowledged or resolved; several separated by commas [default: all that are open]
        #[arg(long)]
        status: Option<String>,
        #[arg(long)]
        severity: Option<String>,
        /// Matchers on the labels that all alerts share
        #[arg(long)]
        filter: Vec<String>,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show one incident with its alerts, timeline and notifications
    Show {
        #[arg(value_name = "INCIDENT")]
        id: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Say that you are on it: nobody else is paged
    #[command(visible_alias = "acknowledge")]
    Ack(ActArgs),
    /// Give it back: the policy starts again
    #[command(visible_alias = "unacknowledge")]
    Unack(ActArgs),
    /// Close it by hand, and say how many of its alerts still fire
    Resolve {
        #[command(flatten)]
        act: ActArgs,
        /// What still fires after this opens a new incident; 0: never [default: `incidents.resolve_hold`]
        #[arg(long, value_name = "DURATION", value_parser = hold)]
        hold: Option<Duration>,
    },
    /// Open a resolved one again whose alerts still fire: the policy starts again
    Reopen(ActArgs),
    /// Quiet for a while, then the policy starts again
    Snooze {
        #[command(flatten)]
        act: ActArgs,
        #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "1h")]
        duration: Duration,
    },
    /// Give it to somebody else: --to user:ana, --to schedule:primary or --to receiver:ops
    Reassign {
        #[command(flatten)]
        act: ActArgs,
        #[arg(long, value_parser = target)]
        to: (String, String),
    },
    /// Take the next step of the policy now
    Escalate(ActArgs),
    /// Write a note into the timeline
    Note {
        #[arg(value_name = "INCIDENT")]
        id: String,
        #[arg(value_name = "TEXT")]
        text: String,
        #[arg(long, env = "USER")]
        by: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Make other incidents part of this one
    Merge {
        #[command(flatten)]
        act: ActArgs,
        #[arg(long, required = true, value_delimiter = ',', value_name = "INCIDENT")]
        from: Vec<String>,
    },
    /// Make an incident of its own out of some alerts (fingerprints)
    Split {
        #[command(flatten)]
        act: ActArgs,
        #[arg(long, required = true, value_delimiter = ',', value_name = "FINGERPRINT")]
        alerts: Vec<String>,
    },
    /// Take one alert out; it belongs nowhere until it fires anew
    Detach {
        #[command(flatten)]
        act: ActArgs,
        #[arg(long, value_name = "FINGERPRINT")]
        alert: String,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct NotificationsArgs {
    #[command(subcommand)]
    pub command: Option<NotificationCommand>,
    /// pending, sent, failed or superseded; several separated by commas
    #[arg(long)]
    pub state: Option<String>,
    /// page, update or announcement; several separated by commas
    #[arg(long)]
    pub kind: Option<String>,
    #[arg(long)]
    pub receiver: Option<String>,
    #[arg(long)]
    pub incident: Option<String>,
    /// Only what was decided from here on (RFC 3339)
    #[arg(long, value_parser = time)]
    pub since: Option<Timestamp>,
    /// How many, the latest first
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub enum NotificationCommand {
    /// Send a settled message again, under a key of its own
    Resend {
        #[arg(value_name = "KEY")]
        key: String,
        /// Who asks for it
        #[arg(long, env = "USER")]
        by: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "write RFC 3339, such as 2026-01-05T09:00:00Z".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = crate::model::duration::parse(text).filter(|d| !d.is_zero());
    parsed.ok_or_else(|| "write a duration such as 30s, 5m or 1h30m".to_owned())
}

/// A duration that may be nothing.
fn hold(text: &str) -> Result<Duration, String> {
    crate::model::duration::parse(text).ok_or_else(|| "write a duration such as 30m or 1h, or 0 for ever".to_owned())
}

fn target(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((kind @ ("user" | "schedule" | "receiver"), name)) if !name.is_empty() => {
            Ok((kind.to_owned(), name.to_owned()))
        }
        _ => Err("write user:NAME, schedule:NAME or receiver:NAME".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bare_and_serve_take_the_same_flags() {
        for prefix in [&["watchfire"][..], &["watchfire", "serve"]] {
            let flags = ["--config.file", "w.yml", "--web.listen-address=:9096", "--log.format", "json", "--insecure"];
            let cli = Cli::try_parse_from(prefix.iter().chain(&flags)).unwrap();
            let args = match cli.command {
                Some(Command::Serve(args)) => args,
                _ => cli.serve,
            };
            assert_eq!(args.config_file, Some(PathBuf::from("w.yml")));
            assert_eq!(args.listen_address.unwrap().to_string(), "0.0.0.0:9096");
            assert_eq!((args.log_format, args.insecure), (LogFormat::Json, true));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &["--web.listen-address", "here"][..],
            &["--memory.budget", "lots"],
            &["--memory.budget", "10MiB"],
            &["serve", "--web.external-url", "ftp://x"],
            &["incident", "reassign", "INC-1", "--by", "a", "--to", "bob"],
            &["silence", "add", "a=b", "--comment", "c", "--author", "a", "--duration", "soon"],
            &["incident", "resolve", "INC-1", "--by", "a", "--hold", "soon"],
            &["notifications", "--state", "failed", "resend", "K"],
            &["sreve"],
        ] {
            let all: Vec<&str> = std::iter::once("watchfire").chain(args.iter().copied()).collect();
            let error = Cli::try_parse_from(&all).expect_err("refused");
            assert_eq!(error.exit_code(), 2, "{all:?}");
        }
    }
}
