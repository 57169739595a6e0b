//! The bounded queue in front of the engine: inputs wait here for the single writer.
//! In: inputs from posted alerts, rules, operators and destinations. Out: envelopes for `loops::decide`, answers for who asked.
//! Never: grows without end (a full inbox refuses), or answers before the store has committed.
//! Start at [`Inbox::submit`].

use crate::engine::{CommandError, Input, Reply, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Inputs that may wait; at a few kilobytes each this is some 50 MB, and a second or two of work.
pub const INPUTS_MAX: usize = 10_000;
/// Transitions that may wait in those inputs together: two storms of 100,000 alerts.
pub const TRANSITIONS_MAX: usize = 200_000;

/// The engine's answer to one input: `None` unless it was a command.
pub type Answer = Option<Result<Reply, CommandError>>;

/// Variants are what the caller answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// 503 with Retry-After: more is coming in than can be decided.
    #[error("the inbox is full")]
    Full,
    /// 503 with Retry-After: the store takes nothing at the moment, see health.
    #[error("the store is unavailable for now")]
    Unavailable,
    /// 503: the process is stopping; whether the input was stored is not known.
    #[error("watchfire is stopping")]
    Stopped,
}

/// What the single writer is asked to do.
#[derive(Debug)]
pub enum Work {
    Input(Input),
    /// Go on under other settings; in the same line as inputs, so that rows are written in the order of decisions.
    Reload(Arc<Settings>),
}

impl Work {
    /// How many alerts it is about, at least one.
    pub fn weight(&self) -> usize {
        match self {
            Self::Input(Input::Transitions(transitions)) => transitions.len().max(1),
            Self::Input(Input::RuleAlerts(changes)) => changes.len().max(1),
            Self::Input(Input::Command(_) | Input::Receipt(_) | Input::ClockJumped { .. } | Input::Tick)
            | Self::Reload(_) => 1,
        }
    }
}

/// One piece of work and who waits for it.
#[derive(Debug)]
pub struct Envelope {
    pub work: Work,
    done: Option<oneshot::Sender<Answer>>,
}

impl Envelope {
    /// Takes it apart, for the writer: the work, and whom to answer once it is committed.
    pub fn open(self) -> (Work, Waiting) {
        (self.work, Waiting(self.done))
    }
}

/// Whoever waits for a commit. Dropped without an answer it says [`InboxError::Stopped`].
#[derive(Debug)]
pub struct Waiting(Option<oneshot::Sender<Answer>>);

impl Waiting {
    /// Call after the commit only. The one who asked may have gone away, which changes nothing.
    pub fn answer(self, answer: Answer) {
        if let Some(done) = self.0 {
            drop(done.send(answer));
        }
    }
}

/// Waits for one commit.
#[derive(Debug)]
pub struct Committed(oneshot::Receiver<Answer>);

impl Committed {
    /// Until the input is committed, or will never be because the process stops.
    pub async fn wait(self) {
        drop(self.0.await);
    }
}

#[derive(Debug, Default)]
struct Shared {
    transitions: AtomicUsize,
    refused: AtomicUsize,
    unavailable: AtomicBool,
}

/// The sending side, for everybody who has an input.
#[derive(Clone, Debug)]
pub struct Inbox {
    sender: mpsc::Sender<Envelope>,
    shared: Arc<Shared>,
}

/// The receiving side, for the single writer.
#[derive(Debug)]
pub struct InboxReceiver {
    receiver: mpsc::Receiver<Envelope>,
    shared: Arc<Shared>,
}

/// A new inbox with the house's limits.
pub fn inbox() -> (Inbox, InboxReceiver) {
    inbox_of(INPUTS_MAX)
}

/// An inbox that holds at most this many inputs.
pub fn inbox_of(inputs_max: usize) -> (Inbox, InboxReceiver) {
    let (sender, receiver) = mpsc::channel(inputs_max);
    let shared = Arc::new(Shared::default());
    (Inbox { sender, shared: Arc::clone(&shared) }, InboxReceiver { receiver, shared })
}

impl Inbox {
    /// Puts the input in line, or refuses at once, and waits until it is committed: that is what a 2xx means.
    pub async fn submit(&self, input: Input) -> Result<Answer, InboxError> {
        self.ask(Work::Input(input)).await
    }

    /// Changes the settings in line with everything else; returns when what followed from it is committed.
    pub async fn reload(&self, settings: Arc<Settings>) -> Result<(), InboxError> {
        self.ask(Work::Reload(settings)).await.map(drop)
    }

    /// Puts the input in line, or refuses at once; nobody waits for it.
    pub fn try_post(&self, input: Input) -> Result<(), InboxError> {
        self.put(Envelope { work: Work::Input(input), done: None })
    }

    /// Waits for room, not for the commit: for receipts, which may be late but must not be lost. Takes no account of
    /// [`TRANSITIONS_MAX`]. Whoever wants to know of the commit waits for what is returned.
    pub async fn post(&self, input: Input) -> Result<Committed, InboxError> {
        let (done, answer) = oneshot::channel();
        let envelope = Envelope { work: Work::Input(input), done: Some(done) };
        let permit = self.sender.reserve().await.map_err(|_| InboxError::Stopped)?;
        self.shared.transitions.fetch_add(envelope.work.weight(), Ordering::AcqRel);
        permit.send(envelope);
        Ok(Committed(answer))
    }

    /// Inputs in line now.
    pub fn depth(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    /// How full it is, 0 to 1: the fuller of its two limits.
    pub fn fullness(&self) -> f64 {
        let inputs = self.depth() as f64 / self.sender.max_capacity() as f64;
        let transitions = self.shared.transitions.load(Ordering::Relaxed) as f64 / TRANSITIONS_MAX as f64;
        inputs.max(transitions)
    }

    /// Inputs refused since the start.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed) as u64
    }

    async fn ask(&self, work: Work) -> Result<Answer, InboxError> {
        if self.shared.unavailable.load(Ordering::Acquire) {
            return self.refuse(InboxError::Unavailable);
        }
        let (done, answer) = oneshot::channel();
        self.put(Envelope { work, done: Some(done) })?;
        answer.await.map_err(|_| InboxError::Stopped)
    }

    fn put(&self, envelope: Envelope) -> Result<(), InboxError> {
        let weight = envelope.work.weight();
        let before = self.shared.transitions.fetch_add(weight, Ordering::AcqRel);
        // One input may be larger than the limit; it is taken when it is alone.
        let fits = before == 0 || before + weight <= TRANSITIONS_MAX;
        let sent = if fits { self.sender.try_send(envelope).map_err(why_not) } else { Err(InboxError::Full) };
        if let Err(error) = sent {
            self.shared.transitions.fetch_sub(weight, Ordering::AcqRel);
            return self.refuse(error);
        }
        Ok(())
    }

    fn refuse<T>(&self, error: InboxError) -> Result<T, InboxError> {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
        Err(error)
    }
}

fn why_not(error: mpsc::error::TrySendError<Envelope>) -> InboxError {
    match error {
        mpsc::error::TrySendError::Full(_) => InboxError::Full,
        mpsc::error::TrySendError::Closed(_) => InboxError::Stopped,
    }
}

impl InboxReceiver {
    /// The next envelope; `None` when the inbox is closed and empty.
    pub async fn recv(&mut self) -> Option<Envelope> {
        let envelope = self.receiver.recv().await;
        self.counted(envelope)
    }

    /// The next envelope if one is there already.
    pub fn try_recv(&mut self) -> Option<Envelope> {
        let envelope = self.receiver.try_recv().ok();
        self.counted(envelope)
    }

    /// Refuses whatever comes from now on; what is in line can still be received.
    pub fn close(&mut self) {
        self.receiver.close();
    }

    /// While this is set, whoever would have to wait for a commit is refused at once; receipts still get in line.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.shared.unavailable.store(unavailable, Ordering::Release);
    }

    fn counted(&self, envelope: Option<Envelope>) -> Option<Envelope> {
        if let Some(envelope) = &envelope {
            self.shared.transitions.fetch_sub(envelope.work.weight(), Ordering::AcqRel);
        }
        envelope
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AlertRecord, Fingerprint, Labels, Timestamp, Transition, TransitionKind};

    fn transitions(count: usize) -> Input {
        let record = Arc::new(AlertRecord {
            fingerprint: Fingerprint(1),
            labels: Labels::empty(),
            annotations: Labels::empty(),
            generator_url: Arc::from(""),
            starts_at: Timestamp::EPOCH,
            ended_at: None,
            updated_at: Timestamp::EPOCH,
            leases: Vec::new(),
        });
        Input::Transitions(vec![Transition { kind: TransitionKind::Started, record, version: 1 }; count])
    }

    #[tokio::test]
    async fn an_answer_comes_after_the_commit() {
        let (inbox, mut receiver) = inbox();
        let asked = tokio::spawn(async move { inbox.submit(Input::Tick).await });
        let (_, waiting) = receiver.recv().await.unwrap().open();
        assert!(!asked.is_finished());
        waiting.answer(Some(Ok(Reply::Done)));
        assert_eq!(asked.await.unwrap(), Ok(Some(Ok(Reply::Done))));
    }

    #[tokio::test]
    async fn a_full_inbox_refuses_and_a_closed_one_says_so() {
        let (inbox, mut receiver) = inbox_of(2);
        assert_eq!(inbox.try_post(Input::Tick), Ok(()));
        assert_eq!(inbox.try_post(Input::Tick), Ok(()));
        assert_eq!(inbox.submit(Input::Tick).await, Err(InboxError::Full));
        assert_eq!((inbox.depth(), inbox.refused()), (2, 1));
        assert!((inbox.fullness() - 1.0).abs() < 1e-9);
        receiver.try_recv().unwrap();
        assert!(inbox.post(Input::Tick).await.is_ok());
        receiver.close();
        assert_eq!(inbox.submit(Input::Tick).await, Err(InboxError::Stopped));
        assert_eq!(inbox.post(Input::Tick).await.err(), Some(InboxError::Stopped));
        assert!(receiver.recv().await.is_some() && receiver.recv().await.is_some());
        assert!(receiver.recv().await.is_none(), "what was in line is still received, then the end");
    }

    #[tokio::test]
    async fn transitions_are_counted_one_by_one() {
        let (inbox, mut receiver) = inbox();
        assert_eq!(inbox.try_post(transitions(TRANSITIONS_MAX + 1)), Ok(()), "a large one is taken when alone");
        assert_eq!(inbox.try_post(transitions(1)), Err(InboxError::Full));
        receiver.try_recv().unwrap();
        assert_eq!(inbox.try_post(transitions(TRANSITIONS_MAX)), Ok(()));
        assert_eq!(inbox.try_post(Input::Tick), Err(InboxError::Full));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_store_that_is_unavailable() {
        let (inbox, mut receiver) = inbox();
        receiver.set_unavailable(true);
        assert_eq!(inbox.submit(Input::Tick).await, Err(InboxError::Unavailable));
        assert!(inbox.post(Input::Tick).await.is_ok(), "a receipt gets in line");
        receiver.set_unavailable(false);
        let asked = tokio::spawn(async move { inbox.submit(Input::Tick).await });
        receiver.recv().await.unwrap();
        drop(receiver.recv().await.unwrap());
        assert_eq!(asked.await.unwrap(), Err(InboxError::Stopped), "dropped without a commit");
    }
}
