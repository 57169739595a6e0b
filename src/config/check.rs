//! Check: what one section says of another must be true.
//! In: the sections, read. Out: mistakes for names that do not exist and receivers that cannot deliver.
//! Never: changes anything.
//! Start at [`Names::check`].

use super::intervals::Interval;
use super::people::References;
use super::receivers::Receiver;
use super::routing::RouteConfig;
use crate::escalation::{EscalationPolicy, Schedule, User};
use crate::model::EscalationTarget;
use crate::yaml::Notes;
use crate::yaml::{At, nearest};
use std::collections::BTreeSet;

/// Everything that has a name.
pub struct Names<'a> {
    pub notes: &'a Notes,
    pub receivers: &'a [Receiver],
    pub intervals: &'a [Interval],
    pub policies: &'a [EscalationPolicy],
    pub schedules: &'a [Schedule],
    pub users: &'a [User],
}

impl Names<'_> {
    /// Looks up every name that the routing tree and the escalation sections use.
    pub fn check(&self, route: Option<&RouteConfig>, references: &References) {
        if let Some(route) = route {
            route.walk(&mut |node| self.check_node(node));
        }
        let mut paged: BTreeSet<&str> = BTreeSet::new();
        for reference in references {
            self.check_target(reference);
            if let EscalationTarget::Receiver(name) = &reference.value {
                paged.insert(name);
            }
        }
        self.check_deliverable(&paged);
    }

    fn check_node(&self, node: &RouteConfig) {
        if let Some(receiver) = &node.receiver {
            self.receiver(&receiver.value, receiver, "used in route");
        }
        if let Some(policy) = &node.escalation_policy {
            let known: Vec<&str> = self.policies.iter().map(|p| &*p.name).collect();
            self.look_up("escalation policy", &policy.value, policy, &known, "used in route");
        }
        let known: Vec<&str> = self.intervals.iter().map(|i| &*i.name).collect();
        for interval in node.mute_time_intervals.iter().chain(&node.active_time_intervals) {
            self.look_up("time interval", &interval.value, interval, &known, "used in route");
        }
    }

    fn check_target(&self, target: &At<EscalationTarget>) {
        match &target.value {
            EscalationTarget::Receiver(name) => self.receiver(name, target, "used for escalation"),
            EscalationTarget::User(name) => {
                let known: Vec<&str> = self.users.iter().map(|u| &*u.name).collect();
                self.look_up("user", name, target, &known, "used for escalation");
            }
            EscalationTarget::Schedule(name) => {
                let known: Vec<&str> = self.schedules.iter().map(|s| &*s.name).collect();
                self.look_up("schedule", name, target, &known, "used for escalation");
            }
        }
    }

    fn receiver<T>(&self, name: &str, place: &At<T>, used: &str) {
        let known: Vec<&str> = self.receivers.iter().map(|r| &*r.config.name).collect();
        self.look_up("receiver", name, place, &known, used);
    }

    fn look_up<T>(&self, what: &str, name: &str, place: &At<T>, known: &[&str], used: &str) {
        if known.contains(&name) {
            return;
        }
        let advice = match (nearest(name, known), known) {
            (Some(near), _) => format!("did you mean {near:?}?"),
            (None, []) => format!("no {what} is defined: add one, or remove the reference"),
            (None, _) => format!("defined: {}", known.join(", ")),
        };
        self.notes.mistake_with(place.at, format!("undefined {what} {name:?} {used}"), advice);
    }

    /// A stock `alertmanager.yml` loads whatever its receivers are, and the ones that tell nobody are named; to page through
    /// such a receiver alone is a mistake, since a person would wait for it.
    fn check_deliverable(&self, paged: &BTreeSet<&str>) {
        for receiver in self.receivers {
            let name = &*receiver.config.name;
            let silent = receiver.foreign.len() == receiver.config.integrations.len();
            for kind in &receiver.foreign {
                let text = format!("{}_configs of receiver {name:?} tell nobody: not supported yet", kind.value);
                let advice = "use webhook_configs, slack_configs, email_configs or pagerduty_configs";
                if silent && paged.contains(name) {
                    self.notes.mistake_with(kind.at, format!("{text}, and an escalation pages it"), advice);
                } else {
                    self.notes.warn(kind.at, text, advice);
                }
            }
        }
    }
}
