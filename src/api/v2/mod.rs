//! Alertmanager's API v2, so that amtool, karma, Grafana and Prometheus itself work against us.
//! In: `/api/v2/…`. Out: Alertmanager's shapes; errors are bare JSON strings.
//! Never: differs from Alertmanager where a client could notice, except in whose end ends an alert: here each sender has a lease of its own.
//! Start at [`alerts`].

pub mod alerts;
pub mod silences;
pub mod status;
