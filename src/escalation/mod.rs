//! Escalation: who must be told now, and when the next person must be.
//! In: a policy, the on-call schedules, an incident's place in its policy, and `now`. Out: targets to page and the next due time.
//! Never: knows alerts, channels, or that pages can fail.
//! Start at [`EscalationPolicy`], then [`next`] and [`on_call`].

mod oncall;
mod plan;
mod policy;
mod throttle;

pub use oncall::{OnCall, on_call};
pub use plan::{Next, Position, due, next};
pub use policy::{EscalationPolicy, EscalationStep, Rotation, Schedule, User};
pub use throttle::Throttle;
