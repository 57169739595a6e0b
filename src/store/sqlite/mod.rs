//! The store of one node: SQLite in write-ahead mode, `synchronous=FULL`, one writer, a few readers.
//! In: batches of writes, each one transaction and one fsync. Out: pages of rows.
//! Never: shares its folder with another process (`watchfire.lock` sees to that), or goes on after a failed fsync.
//! Start at [`SqliteStore`].

mod fault;
mod numbers;
mod open;
mod read;
mod retain;
mod store;
mod write;

pub use store::SqliteStore;
