//! The real store behind faults: commits that stall, fail or crash the server, before or after they took effect.
//! In: commits. Out: what the real store says, or a fault by the dice.
//! Never: half a commit: that is the store's own promise, tested elsewhere.
//! Start at [`FaultyStore`].

use super::world::World;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use watchfire::model::{
    AlertRecord, Incident, IncidentId, Member, Notification, NotificationKey, TimelineEntry, Write,
};
use watchfire::store::{
    IncidentQuery, MemoryStore, NotificationPage, NotificationQuery, Retention, SharedStore, Snapshot, SqliteStore,
    Store, StoreError, StoreFuture,
};

/// Where the rows are, over all lives of a seed.
pub enum Kept {
    Memory(Arc<MemoryStore>),
    /// SQLite has threads of its own: it is asked from a runtime in real time, while simulated time stands still.
    Sqlite {
        folder: TempDir,
        runtime: Arc<Runtime>,
    },
}

impl Kept {
    pub fn memory() -> Self {
        Self::Memory(Arc::new(MemoryStore::new()))
    }

    pub fn sqlite() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self::Sqlite { folder: TempDir::new().unwrap(), runtime: Arc::new(runtime) }
    }

    /// The store of a new life.
    pub fn open(&self, world: &Arc<World>) -> FaultyStore {
        let (inner, runtime): (SharedStore, _) = match self {
            Self::Memory(store) => (store.clone(), None),
            Self::Sqlite { folder, runtime } => (Arc::new(opened(runtime, folder.path())), Some(runtime.clone())),
        };
        FaultyStore { inner, runtime, world: world.clone() }
    }
}

/// Runs on the other runtime, and waits for it without letting simulated time go on.
fn aside<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    let (done, answer) = mpsc::channel();
    runtime.spawn(async move { drop(done.send(work.await)) });
    answer.recv().unwrap()
}

/// Times that an open is tried while the threads of the store before let go of the folder.
const OPENS_MAX: u32 = 1_000_000;

fn opened(runtime: &Runtime, folder: &Path) -> SqliteStore {
    let open = || {
        for _ in 0..OPENS_MAX {
            match runtime.handle().block_on(SqliteStore::open(folder)) {
                Err(StoreError::Fatal(text)) if text.contains("in use") => std::thread::yield_now(),
                opened => return opened.unwrap(),
            }
        }
        panic!("the store before never lets go of the folder");
    };
    std::thread::scope(|scope| scope.spawn(open).join().unwrap())
}

#[derive(Clone)]
pub struct FaultyStore {
    inner: SharedStore,
    runtime: Option<Arc<Runtime>>,
    world: Arc<World>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Stall { before_ms: u64, after_ms: u64 },
    UnavailableBefore,
    UnavailableAfter,
    CrashBefore,
    CrashAfter,
    Fatal,
}

impl FaultyStore {
    fn fault(&self) -> Fault {
        let mut state = self.world.state();
        let (roll, ms) = (state.dice.below(1_500), state.dice.below(20_000));
        match roll {
            0 => Fault::CrashBefore,
            1 => Fault::CrashAfter,
            2 => Fault::Fatal,
            3..8 => Fault::Stall { before_ms: ms, after_ms: 0 },
            8..13 => Fault::Stall { before_ms: 0, after_ms: ms },
            13..20 => Fault::UnavailableBefore,
            20..27 => Fault::UnavailableAfter,
            27..300 => Fault::Stall { before_ms: ms % 10, after_ms: ms % 3 },
            _ => Fault::None,
        }
    }

    async fn put(&self, writes: Vec<Write>, asked_ms: u64) -> Result<(), StoreError> {
        // The repeat of a commit that took effect although it was answered with an error changes nothing more.
        let again = std::mem::take(&mut self.world.state().repeating);
        let broken = if again { Vec::new() } else { self.world.state().mirror.apply(&writes, asked_ms) };
        self.world.state().forget_absent();
        self.world.breaches(broken);
        self.world.tell(&writes);
        match &self.runtime {
            None => self.inner.commit(writes).await,
            Some(runtime) => {
                let inner = self.inner.clone();
                aside(runtime, async move { inner.commit(writes).await })
            }
        }
    }

    async fn faulty(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let (fault, asked_ms) = (self.fault(), self.world.asked_ms());
        let unavailable = || Err(StoreError::Unavailable("busy".to_owned()));
        let said = match fault {
            Fault::None => self.put(writes, asked_ms).await,
            Fault::Stall { before_ms, after_ms } => {
                tokio::time::sleep(Duration::from_millis(before_ms)).await;
                let said = self.put(writes, asked_ms).await;
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                if before_ms + after_ms > 100 {
                    self.world.disturbed();
                }
                said
            }
            Fault::UnavailableBefore => unavailable(),
            Fault::UnavailableAfter => self.put(writes, asked_ms).await.and_then(|()| unavailable()),
            Fault::CrashBefore | Fault::CrashAfter => {
                if fault == Fault::CrashAfter {
                    self.put(writes, asked_ms).await?;
                }
                self.world.note(|| format!("{fault:?} a commit"));
                self.world.crash_soon();
                std::future::pending().await
            }
            Fault::Fatal => Err(StoreError::Fatal("the disk is gone".to_owned())),
        };
        if fault == Fault::UnavailableAfter {
            self.world.state().repeating = true;
        }
        said
    }
}

impl Store for FaultyStore {
    fn load(&self) -> StoreFuture<'_, Snapshot> {
        let Some(runtime) = &self.runtime else { return self.inner.load() };
        let inner = self.inner.clone();
        let loaded = aside(runtime, async move { inner.load().await });
        Box::pin(async move { loaded })
    }

    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.world.commit_begins();
            let said = self.faulty(writes).await;
            // After an error the same rows are tried again: the engine is ahead of the store until then.
            self.world.state().committing = said.is_err();
            said
        })
    }

    fn incidents(&self, query: IncidentQuery) -> StoreFuture<'_, Vec<Incident>> {
        self.inner.incidents(query)
    }

    fn incident(&self, id: IncidentId) -> StoreFuture<'_, Option<Incident>> {
        self.inner.incident(id)
    }

    fn members(&self, id: IncidentId) -> StoreFuture<'_, Vec<Member>> {
        self.inner.members(id)
    }

    fn alerts_of(&self, id: IncidentId) -> StoreFuture<'_, Vec<AlertRecord>> {
        self.inner.alerts_of(id)
    }

    fn timeline(&self, id: IncidentId, limit: usize) -> StoreFuture<'_, Vec<TimelineEntry>> {
        self.inner.timeline(id, limit)
    }

    fn notifications(&self, id: IncidentId) -> StoreFuture<'_, Vec<Notification>> {
        self.inner.notifications(id)
    }

    fn notification_page(&self, query: NotificationQuery) -> StoreFuture<'_, NotificationPage> {
        self.inner.notification_page(query)
    }

    fn notification(&self, key: NotificationKey) -> StoreFuture<'_, Option<Notification>> {
        self.inner.notification(key)
    }

    fn retain(&self, keep: Retention) -> StoreFuture<'_, u64> {
        self.inner.retain(keep)
    }
}
