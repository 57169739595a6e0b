//! Alertmanager's API v2, so that amtool, karma, Grafana and Prometheus itself work against us.
//! In: `/api/v2/…`. Out: Alertmanager's shapes; errors are bare JSON strings.
//! Never: differs from Alertmanager where a client could notice, but for alerts that end sooner because all their sources did.
//! Start at [`alerts`].

pub mod alerts;
pub mod silences;
pub mod status;
