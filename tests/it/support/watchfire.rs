//! A Watchfire process of one test: its own folder, its own port.
//! In: a configuration. Out: a handle to ask, stop and start again.
//! Never: chooses a port; the system gives one and the log names it.
//! Start at [`Watchfire::start`].

use super::process::{Process, eventually};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A debug build on a busy machine starts within this.
const START: Duration = Duration::from_secs(60);

pub struct Watchfire {
    pub dir: TempDir,
    process: Option<Process>,
    /// `http://127.0.0.1:port`
    pub base: String,
    flags: &'static [&'static str],
    client: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    /// The body as JSON; `null` when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    #[track_caller]
    pub fn expect_text(self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        self.text
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }
}

pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_watchfire"))
}

fn client() -> reqwest::Client {
    // Another test may have chosen the provider already; both choose the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap()
}

/// `watchfire serve` in `dir`, on a port that the system chooses unless `more` says otherwise.
pub fn serve(dir: &Path, more: &[&str]) -> Process {
    let mut arguments = vec!["serve", "--config.file", "watchfire.yml"];
    if !more.contains(&"--web.listen-address") {
        arguments.extend(["--web.listen-address", "127.0.0.1:0"]);
    }
    arguments.extend(more);
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    Process::start("watchfire", &program(), &arguments, dir)
}

/// A folder with this configuration.
pub fn folder(config: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("watchfire.yml"), config).unwrap();
    dir
}

impl Watchfire {
    /// Runs and is ready when this returns.
    pub async fn start(config: &str) -> Self {
        Self::start_in(folder(config)).await
    }

    /// The same in a folder that has its `watchfire.yml` already.
    pub async fn start_in(dir: TempDir) -> Self {
        Self::start_flagged(dir, &[]).await
    }

    /// The same with more words on its command line, now and at each restart.
    pub async fn start_flagged(dir: TempDir, flags: &'static [&'static str]) -> Self {
        let mut this = Self { dir, process: None, base: String::new(), flags, client: client() };
        this.run().await;
        this
    }

    /// `kill -9`, and up again with the same folder; `meanwhile` runs while it is down.
    pub async fn restart<F: Future<Output = ()>>(&mut self, meanwhile: F) {
        self.process.take().expect("it runs").kill();
        meanwhile.await;
        self.run().await;
    }

    async fn run(&mut self) {
        // The log of the last run stands before ours.
        let before = std::fs::read(self.dir.path().join("watchfire.log")).map_or(0, |text| text.len());
        let process = serve(self.dir.path(), self.flags);
        let address = || {
            let log = process.log();
            let said = log.get(before..)?.split("address=").nth(1)?;
            let (address, _) = said.split_once(char::is_whitespace)?;
            Some(address.trim_matches('"').to_owned())
        };
        let address = eventually(START, "it listens", || async { address().ok_or_else(|| process.log_tail()) }).await;
        self.base = format!("http://{address}");
        eventually(START, "it is ready", || async {
            match self.client.get(format!("{}/-/ready", self.base)).send().await {
                Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
                // With a route prefix there is nothing at the root, and that is said once state is loaded.
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND => Ok(()),
                other => Err(format!("{other:?}\n{}", process.log_tail())),
            }
        })
        .await;
        self.process = Some(process);
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        match request.send().await {
            Ok(answer) => Answer { status: answer.status().as_u16(), text: answer.text().await.unwrap() },
            Err(error) => panic!("no answer: {error:?}\n{}", self.log_tail()),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// GET with a query whose values are escaped here.
    pub async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::GET, path).query(query)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// SIGTERM; the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.process.as_mut().expect("it runs").terminate(Duration::from_secs(30))
    }

    pub fn log_tail(&self) -> String {
        self.process.as_ref().map(Process::log_tail).unwrap_or_default()
    }
}

impl Drop for Watchfire {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
    }
}
