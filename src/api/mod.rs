//! The HTTP interface: doors for samples and alerts, Alertmanager's and Prometheus' APIs, our own.
//! In: requests. Out: JSON; shapes (DTOs) and the mapping of errors live only here.
//! Never: decides anything; it reads snapshots and the store, and writes commands.
//! Start at [`router`].

pub mod auth;
pub mod context;
pub mod dto;
pub mod error;
pub mod health;
mod heartbeats;
pub mod incidents;
pub mod notifications;
pub mod params;
pub mod peer;
pub mod prometheus;
pub mod router;
pub mod rules;
pub mod v2;
pub mod write;
