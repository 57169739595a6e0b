//! What a policy wants next: pure arithmetic over rounds and steps.
//! In: a policy and the place an incident has reached in it. Out: [`Next`], or all that is due by `now`.
//! Never: knows who a target is or whether telling them worked.
//! Start at [`next`].

use super::policy::EscalationPolicy;
use crate::model::Timestamp;

/// The last step taken. `round` 0 and `step` 0: none yet; `round_started_at` is then when the first round starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub round: u32,
    pub step: u32,
    pub round_started_at: Timestamp,
}

/// What comes after a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Take this step; the position is what it will be then.
    Step { at: Timestamp, position: Position },
    /// All rounds are over: tell the fallback, then rest.
    Fallback { at: Timestamp },
}

impl Next {
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Step { at, .. } | Self::Fallback { at } => *at,
        }
    }
}

/// Steps count from 1; a step's `after` counts from the start of its round, the next round starts `repeat_after` after the last
/// step, and the fallback is told as long after the last step of the last round.
pub fn next(policy: &EscalationPolicy, position: Position) -> Next {
    let Position { round, step, round_started_at } = position;
    if let Some(coming) = policy.steps.get(step as usize) {
        let position = Position { round: round.max(1), step: step + 1, round_started_at };
        return Next::Step { at: round_started_at + coming.after, position };
    }
    let last_after = policy.steps.last().map(|s| s.after).unwrap_or_default();
    let over = round_started_at + last_after + policy.repeat_after;
    match policy.steps.first() {
        Some(first) if round <= policy.repeat => {
            let position = Position { round: round + 1, step: 1, round_started_at: over };
            Next::Step { at: over + first.after, position }
        }
        _ => Next::Fallback { at: over },
    }
}

/// Rounds caught up at once; a policy that repeats for ever and was not looked at for a year must not hang.
const CATCH_UP_MAX: usize = 1_000;

/// All that is due by `now`, in order. Of a step that was missed in several rounds only the latest is kept: nobody is told the same
/// thing twice in one breath.
pub fn due(policy: &EscalationPolicy, mut position: Position, now: Timestamp) -> Vec<Next> {
    let mut due: Vec<Next> = Vec::new();
    for _ in 0..CATCH_UP_MAX {
        let coming = next(policy, position);
        if coming.at() > now {
            break;
        }
        match coming {
            Next::Step { position: taken, .. } => {
                due.retain(|n| !matches!(n, Next::Step { position: p, .. } if p.step == taken.step));
                due.push(coming);
                position = taken;
            }
            Next::Fallback { .. } => {
                due.push(coming);
                break;
            }
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::super::policy::EscalationStep;
    use super::*;
    use std::time::Duration;

    fn policy(repeat: u32) -> EscalationPolicy {
        let step = |s| EscalationStep { after: Duration::from_secs(s), notify: Vec::new() };
        EscalationPolicy {
            name: "p".into(),
            steps: vec![step(0), step(5)],
            repeat,
            repeat_after: Duration::from_mins(1),
            ack_timeout: None,
            page_again_at: None,
            fallback: Vec::new(),
        }
    }

    /// What is due by `now` seconds after a start at 0, as `time:round.step`.
    fn check(repeat: u32, from: (u32, u32, i64), now: i64, expect: &str) {
        let secs = |s| Timestamp::from_millis(s * 1000);
        let position = Position { round: from.0, step: from.1, round_started_at: secs(from.2) };
        let got: Vec<String> = due(&policy(repeat), position, secs(now))
            .iter()
            .map(|n| match n {
                Next::Step { at, position: p } => format!("{}:{}.{}", at.as_millis() / 1000, p.round, p.step),
                Next::Fallback { at } => format!("{}:end", at.as_millis() / 1000),
            })
            .collect();
        assert_eq!(got.join(" "), expect);
    }

    #[test]
    fn rounds_follow_each_other() {
        check(1, (0, 0, 0), 0, "0:1.1");
        check(1, (1, 1, 0), 4, "");
        check(1, (1, 1, 0), 5, "5:1.2");
        check(1, (1, 2, 0), 65, "65:2.1");
        check(1, (2, 1, 65), 70, "70:2.2");
        check(1, (2, 2, 65), 129, "");
        check(1, (2, 2, 65), 130, "130:end");
        check(0, (1, 2, 0), 65, "65:end");
        // A long absence: each step once, in order, then the end.
        check(1, (1, 1, 0), 66, "5:1.2 65:2.1");
        check(1, (1, 1, 0), 100, "65:2.1 70:2.2");
        check(1, (1, 1, 0), 9_999, "65:2.1 70:2.2 130:end");
    }
}
