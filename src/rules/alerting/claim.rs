//! How a rule hands its alerts out: under its own name, so that two rules with equal alerts do not end each other's.
//! In: an alert as it stands. Out: what the registry receives.
//! Never: decides when; the rule does.
//! Start at [`Claim`].

use super::super::context::EvalContext;
use super::super::evaluation::Evaluation;
use super::Active;
use crate::model::labels::ALERT_NAME;
use crate::model::{Alert, Door, Labels, Timestamp};
use std::sync::Arc;

/// Under which name a rule hands out its alerts: two rules whose alerts have equal labels each hold a claim of their own.
pub(in crate::rules) struct Claim {
    pub(in crate::rules) claimant: Arc<str>,
    pub(in crate::rules) generator_url: Arc<str>,
}

impl Claim {
    /// Hands out the alert as it stands, or its end. A claim that was made under a former name ends after it, so that the
    /// alert never has none in between.
    pub(super) fn announce(
        &self,
        alert: &mut Active,
        ends_at: Option<Timestamp>,
        ctx: &EvalContext<'_>,
        out: &mut Evaluation,
    ) {
        debug_assert!(alert.labels.get(ALERT_NAME).is_some());
        alert.sent_at = Some(ctx.at);
        let starts_at = alert.fired_at.unwrap_or(alert.active_at);
        let current = self.alert(&alert.labels, &alert.annotations, starts_at, ends_at, &ctx.config.external_labels);
        let former = alert.former_claimant.take();
        let former = former.map(|claimant| Alert { claimant, ends_at: ends_at.or(Some(ctx.at)), ..current.clone() });
        out.alerts.push(current);
        out.alerts.extend(former);
    }

    pub(in crate::rules) fn alert(
        &self,
        labels: &Labels,
        annotations: &Labels,
        starts_at: Timestamp,
        ends_at: Option<Timestamp>,
        external: &Labels,
    ) -> Alert {
        Alert {
            labels: if external.is_empty() { labels.clone() } else { external.overlaid(labels) },
            annotations: annotations.clone(),
            generator_url: self.generator_url.clone(),
            starts_at,
            ends_at,
            ends_by_timeout: false,
            door: Door::RemoteWrite,
            claimant: self.claimant.clone(),
        }
    }
}
