//! Who is on call: a rotation read at a moment, exact over daylight saving.
//! In: a schedule and `now`. Out: [`OnCall`]: the user and the next hand-over.
//! Never: counts hours; shifts change at a wall-clock time of their zone, however long the day is.
//! Start at [`on_call`].

use super::policy::{Rotation, Schedule};
use crate::model::Timestamp;
use jiff::civil::Date;
use jiff::{Span, ToSpan};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnCall {
    pub user: Arc<str>,
    /// The next hand-over; [`Timestamp::MAX`] when none can be computed.
    pub until: Timestamp,
}

/// The user on call at `now`; before the rotation's start the first user is. `None` only for a schedule without users.
pub fn on_call(schedule: &Schedule, now: Timestamp) -> Option<OnCall> {
    let first = schedule.users.first()?;
    let unknown = || OnCall { user: first.clone(), until: Timestamp::MAX };
    let Ok(moment) = jiff::Timestamp::from_millisecond(now.as_millis()) else { return Some(unknown()) };
    let mut day = moment.to_zoned(schedule.time_zone.clone()).date();
    // Before today's hand-over, yesterday's shift still runs.
    if hand_over_at(schedule, day).is_none_or(|at| now < at) {
        day = match day.checked_sub(1.day()) {
            Ok(day) => day,
            Err(_) => return Some(unknown()),
        };
    }
    let (anchor, length) = match schedule.rotation {
        Rotation::Daily => (schedule.start, 1),
        Rotation::Weekly(weekday) => (week_start(schedule.start, weekday), 7),
    };
    let days = i64::from(anchor.until(day).map_or(0, |span: Span| span.get_days()));
    let shift = days.div_euclid(length);
    let user = if shift < 0 { first } else { &schedule.users[shift as usize % schedule.users.len()] };
    let next = if shift < 0 { Ok(schedule.start) } else { anchor.checked_add(((shift + 1) * length).days()) };
    let until = next.ok().and_then(|day| hand_over_at(schedule, day)).unwrap_or(Timestamp::MAX);
    Some(OnCall { user: user.clone(), until })
}

/// The latest `weekday` that is not after `start`.
fn week_start(start: Date, weekday: jiff::civil::Weekday) -> Date {
    let back = i64::from(start.weekday().since(weekday));
    start.checked_sub(back.days()).unwrap_or(start)
}

/// The instant of a day's hand-over; a wall-clock time that the day skips counts from the moment after the gap.
fn hand_over_at(schedule: &Schedule, day: Date) -> Option<Timestamp> {
    let zoned = day.to_datetime(schedule.hand_over).to_zoned(schedule.time_zone.clone()).ok()?;
    Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{Weekday, date, time};

    fn schedule(rotation: Rotation, start: Date) -> Schedule {
        Schedule {
            name: "primary".into(),
            time_zone: jiff::tz::TimeZone::get("Europe/Berlin").expect("the zone is bundled"),
            rotation,
            hand_over: time(9, 0, 0, 0),
            start,
            users: vec!["ana".into(), "bob".into(), "cy".into()],
        }
    }

    fn moment(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("the moment can be read")
    }

    fn check(schedule: &Schedule, at: &str, user: &str, until: &str) {
        let got = on_call(schedule, moment(at)).expect("somebody is on call");
        assert_eq!((&*got.user, got.until), (user, moment(until)), "{at}");
    }

    #[test]
    fn daily_over_both_clock_changes() {
        // Berlin leaves summer time on 25 October 2026 and enters it on 28 March 2027.
        let daily = schedule(Rotation::Daily, date(2026, 10, 24));
        check(&daily, "2026-10-24T06:59:59Z", "ana", "2026-10-24T07:00:00Z");
        check(&daily, "2026-10-24T07:00:00Z", "ana", "2026-10-25T08:00:00Z");
        check(&daily, "2026-10-25T07:59:59Z", "ana", "2026-10-25T08:00:00Z");
        check(&daily, "2026-10-25T08:00:00Z", "bob", "2026-10-26T08:00:00Z");
        check(&daily, "2026-10-27T12:00:00Z", "ana", "2026-10-28T08:00:00Z");
        let spring = schedule(Rotation::Daily, date(2027, 3, 27));
        check(&spring, "2027-03-28T06:59:59Z", "ana", "2027-03-28T07:00:00Z");
        check(&spring, "2027-03-28T07:00:00Z", "bob", "2027-03-29T07:00:00Z");
        check(&spring, "2027-03-01T07:00:00Z", "ana", "2027-03-27T08:00:00Z");
    }

    #[test]
    fn weekly_begins_on_its_weekday() {
        // 2026-11-25 is a Wednesday: the first shift is short.
        let weekly = schedule(Rotation::Weekly(Weekday::Monday), date(2026, 11, 25));
        check(&weekly, "2026-11-26T00:00:00Z", "ana", "2026-11-30T08:00:00Z");
        check(&weekly, "2026-11-30T07:59:59Z", "ana", "2026-11-30T08:00:00Z");
        check(&weekly, "2026-11-30T08:00:00Z", "bob", "2026-12-07T08:00:00Z");
        check(&weekly, "2026-12-14T08:00:00Z", "ana", "2026-12-21T08:00:00Z");
    }

    #[test]
    fn a_hand_over_in_the_skipped_hour_happens_after_it() {
        let mut night = schedule(Rotation::Daily, date(2027, 3, 27));
        night.hand_over = time(2, 30, 0, 0);
        check(&night, "2027-03-28T00:59:59Z", "ana", "2027-03-28T01:30:00Z");
        check(&night, "2027-03-28T01:30:00Z", "bob", "2027-03-29T00:30:00Z");
    }
}
