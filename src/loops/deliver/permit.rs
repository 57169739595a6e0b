//! Permits to send: one message may be under way at a time, because a crash between sending it and recording its receipt sends it
//! once more; with two under way, two would be repeated.
//! In: an attempt that is about to begin. Out: its permit, which is dropped when the receipt is on disk.
//! Never: lets a slow destination hold up pages longer than [`PERMIT_MAX`], or announcements longer than [`PAGE_FIRST_MAX`] after a
//! page was sent. Beyond that, telling people in time goes before the promise.
//! Start at [`DeliveryPermits::take`].

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a message in doubt keeps others waiting, and how long a message waits for others in all. A receiver nearby answers, and
/// the receipt is on disk, within this; a page should arrive within 50 ms.
const PERMIT_MAX: Duration = Duration::from_millis(8);

/// How long a page in doubt keeps announcements waiting: they hurry less, and most receivers of pages answer within it.
const PAGE_FIRST_MAX: Duration = Duration::from_secs(1);

/// How long announcements wait for a page that was decided in the same moment and has not begun: its destination's task needs to
/// get hold of a processor.
const PAGE_COMES_WITHIN: Duration = Duration::from_millis(20);

/// Gives out the permits of all destinations.
#[derive(Clone, Default)]
pub(super) struct DeliveryPermits(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// A permit was given out or dropped.
    changed: Notify,
}

#[derive(Default)]
struct State {
    in_doubt: BTreeMap<u64, Doubt>,
    last: u64,
    /// Pages that were handed over and have not begun, and until when they are waited for.
    coming: usize,
    coming_until: Option<Instant>,
}

struct Doubt {
    is_page: bool,
    since: Instant,
}

/// Held while a message may have been sent and is not yet recorded; the code that records the receipt drops it after the commit.
pub struct DeliveryPermit {
    permits: DeliveryPermits,
    number: u64,
}

impl DeliveryPermits {
    /// So many pages are about to ask; announcements let them go first.
    pub fn pages_come(&self, count: usize) {
        let mut state = self.0.state.lock();
        state.coming += count;
        state.coming_until = Some(Instant::now() + PAGE_COMES_WITHIN);
    }

    /// Waits until nothing else is in doubt, or for as long as may be waited.
    pub async fn take(&self, is_page: bool) -> DeliveryPermit {
        let asked = Instant::now();
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let until = {
                let mut state = self.0.state.lock();
                match state.wait(is_page, asked, Instant::now()) {
                    Some(until) => until,
                    None => return self.begin(&mut state, is_page),
                }
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    fn begin(&self, state: &mut State, is_page: bool) -> DeliveryPermit {
        state.last += 1;
        let number = state.last;
        state.in_doubt.insert(number, Doubt { is_page, since: Instant::now() });
        if is_page {
            state.coming = state.coming.saturating_sub(1);
        }
        self.0.changed.notify_waiters();
        DeliveryPermit { permits: self.clone(), number }
    }
}

impl State {
    /// How long a message that asked for a permit at `asked` must still wait; `None`: it may be sent.
    fn wait(&mut self, is_page: bool, asked: Instant, now: Instant) -> Option<Instant> {
        let longest = asked + PERMIT_MAX;
        let for_any = self.in_doubt.values().map(|doubt| (doubt.since + PERMIT_MAX).min(longest));
        let pages = self.in_doubt.values().filter(|doubt| doubt.is_page && !is_page);
        let for_pages = pages.map(|doubt| doubt.since + PAGE_FIRST_MAX);
        if self.coming_until.is_some_and(|until| until <= now) {
            // Whatever has not begun by now waits for something else.
            self.coming = 0;
            self.coming_until = None;
        }
        let coming = self.coming_until.filter(|_| self.coming > 0 && !is_page);
        for_any.chain(for_pages).chain(coming).max().filter(|until| *until > now)
    }
}

impl Drop for DeliveryPermit {
    fn drop(&mut self) {
        self.permits.0.state.lock().in_doubt.remove(&self.number);
        self.permits.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks after `held` were begun at once; how long it took.
    async fn check(held: &[bool], is_page: bool, expected: Duration) {
        let permits = DeliveryPermits::default();
        let _held: Vec<DeliveryPermit> =
            held.iter().map(|is_page| permits.begin(&mut permits.0.state.lock(), *is_page)).collect();
        let asked = Instant::now();
        let _permit = permits.take(is_page).await;
        let waited = asked.elapsed();
        assert!(waited >= expected && waited <= expected + Duration::from_millis(2), "{held:?}, {is_page}: {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_keeps_others_waiting_for_so_long() {
        check(&[], true, Duration::ZERO).await;
        check(&[], false, Duration::ZERO).await;
        check(&[true], true, PERMIT_MAX).await;
        check(&[false, true, false], true, PERMIT_MAX).await;
        check(&[false], false, PERMIT_MAX).await;
        check(&[true], false, PAGE_FIRST_MAX).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_begins_when_the_one_before_is_recorded() {
        let permits = DeliveryPermits::default();
        let page = permits.begin(&mut permits.0.state.lock(), true);
        let next = tokio::spawn({
            let permits = permits.clone();
            async move { permits.take(false).await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!next.is_finished());
        let before = Instant::now();
        drop(page);
        let _permit = next.await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_of_the_same_moment_goes_first() {
        let permits = DeliveryPermits::default();
        permits.pages_come(1);
        let (order, mut seen) = tokio::sync::mpsc::channel(2);
        for is_page in [false, true] {
            let (permits, order) = (permits.clone(), order.clone());
            tokio::spawn(async move {
                let permit = permits.take(is_page).await;
                order.send(is_page).await.unwrap();
                drop(permit);
            });
            tokio::task::yield_now().await;
        }
        assert_eq!((seen.recv().await, seen.recv().await), (Some(true), Some(false)));
        // One that never begins is not waited for without end.
        permits.pages_come(1);
        let asked = Instant::now();
        permits.take(false).await;
        assert!(asked.elapsed() <= PAGE_COMES_WITHIN + Duration::from_millis(2));
    }
}
