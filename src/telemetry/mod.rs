//! What Watchfire says of itself: metrics, health, logs.
//! In: counts and states from every room above. Out: OpenMetrics text, a health report, log lines.
//! Never: decides anything, or holds a secret.
//! Start at [`Metrics`] and [`Health`].

mod checkup;
mod exposition;
mod health;
pub mod logging;
mod metrics;
mod process;
pub mod readings;

pub use checkup::{Checkup, Signs};
pub use exposition::{Exposition, OPENMETRICS_TYPE, PLAIN_TYPE};
pub use health::{Health, HealthReport, Part, PartHealth, Status};
pub use metrics::{AlertMetrics, ConfigMetrics, InboxMetrics, Metrics, NotificationMetrics, RuleMetrics, StoreMetrics};
