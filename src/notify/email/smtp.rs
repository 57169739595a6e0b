//! The line to a mail server: connections that are kept, STARTTLS or TLS, login.
//! In: a mail. Out: taken, or lettre's error.
//! Never: lets the end of a mail wait for a delayed acknowledgement, unless TLS begins with the first byte: lettre writes the mail and
//! its last line apart, which costs 40 ms where Nagle's algorithm holds the second back.
//! Start at [`Smtp::send`].

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Tls};
use lettre::transport::smtp::extension::ClientId;
use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Connections kept for the next mail: a destination sends one at a time, a second may be under way when it was just reloaded.
const IDLE_MAX: usize = 2;
/// Servers hang up after five minutes (RFC 5321, 4.5.3.2.7); well before that we do.
const IDLE_KEPT: Duration = Duration::from_secs(60);

/// One server, one login.
pub(super) struct Smtp {
    pub host: String,
    pub port: u16,
    pub hello: ClientId,
    pub tls: Tls,
    pub credentials: Option<Credentials>,
    pub connect_timeout: Duration,
    pub idle: Mutex<Vec<(Instant, AsyncSmtpConnection)>>,
}

impl Smtp {
    /// The caller limits the time of the whole conversation; a connection that is dropped in the middle is not used again.
    pub async fn send(&self, mail: &Message) -> Result<(), Error> {
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let sent = connection.send(mail.envelope(), &mail.formatted()).await;
        if !connection.has_broken() {
            let mut idle = self.idle.lock();
            if idle.len() < IDLE_MAX {
                idle.push((Instant::now(), connection));
            }
        }
        sent.map(drop)
    }

    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (since, mut connection) = self.idle.lock().pop()?;
            if since.elapsed() < IDLE_KEPT && connection.test_connected().await {
                return Some(connection);
            }
            connection.abort().await;
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let server = (self.host.as_str(), self.port);
        let wrapped = if let Tls::Wrapper(parameters) = &self.tls { Some(parameters.clone()) } else { None };
        let socket = if wrapped.is_none() { self.socket().await } else { None };
        let mut connection = if let Some(socket) = socket {
            AsyncSmtpConnection::connect_with_transport(Box::new(socket), &self.hello).await?
        } else {
            // TLS from the first byte is lettre's own affair. So is a server that is not there: only lettre can make its error.
            let timeout = Some(self.connect_timeout);
            AsyncSmtpConnection::connect_tokio1(server, timeout, &self.hello, wrapped, None).await?
        };
        if let Tls::Required(parameters) = &self.tls {
            connection.starttls(parameters.clone(), &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    /// A socket that sends at once; one that refuses the option works all the same.
    async fn socket(&self) -> Option<TcpStream> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let socket = tokio::time::timeout(self.connect_timeout, connecting).await.ok()?.ok()?;
        drop(socket.set_nodelay(true));
        Some(socket)
    }
}
