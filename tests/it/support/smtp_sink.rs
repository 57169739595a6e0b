//! A fake mail server: plain SMTP, one script for all sessions.
//! In: a function that answers `RCPT TO` per address. Out: the mails, in order.
//! Never: offers STARTTLS.
//! Start at [`SmtpSink::start`].

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Debug)]
pub struct Mail {
    pub to: Vec<String>,
    /// Headers and body as sent, lines ended by `\n`.
    pub data: String,
}

impl Mail {
    /// All of it with quoted-printable's soft line ends taken out.
    pub fn unfolded(&self) -> String {
        self.data.replace("=\n", "")
    }

    /// The value of a header, unfolded; empty when absent.
    pub fn header(&self, name: &str) -> String {
        let head = self.data.split("\n\n").next().unwrap_or_default().replace("\n ", " ").replace("\n\t", " ");
        let found = head.lines().find_map(|line| {
            let (n, v) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| v.trim().to_owned())
        });
        found.unwrap_or_default()
    }
}

/// The whole reply to `RCPT TO:<address>`, such as `250 ok`; `number` counts the RCPTs from 1.
pub type RcptScript = dyn Fn(usize, &str) -> &'static str + Send + Sync;

pub struct SmtpSink {
    pub address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl SmtpSink {
    pub async fn start(rcpt: impl Fn(usize, &str) -> &'static str + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let sink = Self { address, mails: Arc::default(), commands: Arc::default() };
        let (mails, commands, rcpt) = (Arc::clone(&sink.mails), Arc::clone(&sink.commands), Arc::new(rcpt));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mails, commands, rcpt) = (Arc::clone(&mails), Arc::clone(&commands), Arc::clone(&rcpt));
                tokio::spawn(async move { session(stream, &mails, &commands, &*rcpt).await });
            }
        });
        sink
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().expect("not poisoned").clone()
    }

    /// Every command line of every session.
    pub fn commands(&self) -> Vec<String> {
        self.commands.lock().expect("not poisoned").clone()
    }
}

async fn session(stream: TcpStream, mails: &Mutex<Vec<Mail>>, commands: &Mutex<Vec<String>>, rcpt: &RcptScript) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut mail = Mail { to: Vec::new(), data: String::new() };
    if write.write_all(b"220 sink\r\n").await.is_err() {
        return;
    }
    while let Ok(Some(line)) = lines.next_line().await {
        let number = {
            let mut commands = commands.lock().expect("not poisoned");
            commands.push(line.clone());
            commands.iter().filter(|c| c.starts_with("RCPT")).count()
        };
        let verb = line.split(' ').next().unwrap_or_default().to_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-sink\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
            "AUTH" => "235 in",
            "MAIL" => {
                mail = Mail { to: Vec::new(), data: String::new() };
                "250 ok"
            }
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap_or_default();
                let reply = rcpt(number, address);
                if reply.starts_with('2') {
                    mail.to.push(address.to_owned());
                }
                reply
            }
            "DATA" => {
                if write.write_all(b"354 go on\r\n").await.is_err() {
                    return;
                }
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    mail.data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.data.push('\n');
                }
                mails.lock().expect("not poisoned").push(mail.clone());
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        if write.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() || verb == "QUIT" {
            return;
        }
    }
}
