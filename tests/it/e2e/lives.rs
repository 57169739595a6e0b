//! One Watchfire that lives many times: started, killed as `kill -9` does, started again in the same folder on the same port.
//! In: a folder with its configuration. Out: a process that is ready, again and again.
//! Never: chooses when to kill.
//! Start at [`Lives::begin`].

use super::process::{Process, free_port};
use super::world::{reqwest_client, start_watchfire, wait_ready};
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Lives {
    pub dir: PathBuf,
    pub port: u16,
    pub client: reqwest::Client,
    process: Option<Process>,
}

impl Lives {
    /// The first life; ready when this returns.
    pub async fn begin(dir: &Path) -> Self {
        let mut lives = Self { dir: dir.to_owned(), port: free_port(), client: reqwest_client(), process: None };
        lives.start().await;
        lives
    }

    pub async fn start(&mut self) {
        assert!(self.process.is_none(), "it lives");
        self.process = Some(start_watchfire(&self.dir, self.port));
        wait_ready(&self.client, &self.url("/-/ready"), "Watchfire is ready").await;
    }

    /// Gone when this returns.
    pub fn kill(&mut self) {
        self.process.take().expect("it lives").kill();
    }

    /// SIGHUP: the configuration is read again.
    pub fn hang_up(&self) {
        if let Some(process) = &self.process {
            Command::new("kill").args(["-HUP", &process.id().to_string()]).status().unwrap();
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn log_tail(&self) -> String {
        self.process.as_ref().map(Process::log_tail).unwrap_or_default()
    }
}
