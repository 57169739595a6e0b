//! Time and date: of the evaluation, of samples, of values read as unix seconds.
//! In: an instant vector of unix seconds, or nothing for now. Out: minute, hour, day, month, year, in UTC.
//! Never: reads a clock; now is the evaluation's moment.
//! Start at the table.

use super::super::ast::Type;
use super::super::eval::{Elem, Eval, Result, Val};
use super::super::plan::Node;
use super::Function;
use crate::model::{Labels, SampleValue};

const VECTOR: &[Type] = &[Type::Vector];

pub(super) static FUNCTIONS: &[Function] = &[
    Function::special("time", &[], |_, _, at| Ok(Val::Scalar(at as f64 / 1000.0))).returns(Type::Scalar),
    Function::special("timestamp", VECTOR, timestamp).each(),
    Function::special("start_timestamp", VECTOR, start_timestamp).each().experimental(),
    Function::special("minute", VECTOR, |e, args, at| of_date(e, args, at, |d| d.second_of_day / 60 % 60))
        .variadic(1)
        .each(),
    Function::special("hour", VECTOR, |e, args, at| of_date(e, args, at, |d| d.second_of_day / 3600))
        .variadic(1)
        .each(),
    Function::special("day_of_week", VECTOR, |e, args, at| of_date(e, args, at, |d| d.weekday)).variadic(1).each(),
    Function::special("day_of_month", VECTOR, |e, args, at| of_date(e, args, at, |d| d.day)).variadic(1).each(),
    Function::special("day_of_year", VECTOR, |e, args, at| of_date(e, args, at, |d| d.day_of_year)).variadic(1).each(),
    Function::special("days_in_month", VECTOR, |e, args, at| of_date(e, args, at, Date::days_in_month))
        .variadic(1)
        .each(),
    Function::special("month", VECTOR, |e, args, at| of_date(e, args, at, |d| d.month)).variadic(1).each(),
    Function::special("year", VECTOR, |e, args, at| of_date(e, args, at, |d| d.year)).variadic(1).each(),
];

struct Date {
    year: i64,
    month: i64,
    day: i64,
    /// Sunday is 0.
    weekday: i64,
    /// January 1 is 1.
    day_of_year: i64,
    second_of_day: i64,
}

impl Date {
    /// The proleptic Gregorian calendar, by Howard Hinnant's days algorithm: eras of 400 years that begin in March.
    fn from_unix(seconds: i64) -> Self {
        // Go counts seconds from a year far in the past in an unsigned number; what lies before wraps around.
        let mut seconds = i128::from(seconds);
        if seconds < -GO_ZERO_BEFORE_EPOCH_SECS {
            seconds += 1 << 64;
        }
        let (days, second_of_day) = (seconds.div_euclid(86_400) as i64, seconds.rem_euclid(86_400) as i64);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let before_march = 59 + i64::from(is_leap(year));
        let day_of_year = if month > 2 { day_from_march + before_march + 1 } else { day_from_march - 305 };
        Self {
            year,
            month,
            day: day_from_march - (153 * month_from_march + 2) / 5 + 1,
            weekday: (days + 4).rem_euclid(7),
            day_of_year,
            second_of_day,
        }
    }

    fn days_in_month(&self) -> i64 {
        match self.month {
            2 => 28 + i64::from(is_leap(self.year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn of_date(eval: &Eval<'_>, args: &[Node], at: i64, part: impl Fn(&Date) -> i64) -> Result<Val> {
    let read = |v: f64| part(&Date::from_unix(to_i64(v))) as f64;
    let Some(node) = args.first() else {
        let value = SampleValue::Float(read(at as f64 / 1000.0));
        return Ok(Val::Vector(vec![Elem { labels: Labels::empty(), value, drop_name: false }]));
    };
    super::math::each_float(eval, node, at, read).map(Val::Vector)
}

/// From the first second that Go's calendar knows, in the year -292,277,022,399, to the epoch.
const GO_ZERO_BEFORE_EPOCH_SECS: i128 = 9_223_372_028_715_321_600;

/// As Go on x86 converts: what does not fit, NaN as well, becomes the lowest number.
fn to_i64(v: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v) { v as i64 } else { i64::MIN }
}

/// The sample's own time for a selector, else the evaluation's.
fn timestamp(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let mut out = Vec::new();
    if let Node::Selector(s) = &args[0] {
        let series = eval.series(s.index);
        eval.each_latest_for_timestamp(&series, s, at, |series, point| {
            let value = SampleValue::Float(point.t.as_secs_f64());
            out.push(Elem { labels: series.labels().clone(), value, drop_name: true });
        })?;
        return Ok(Val::Vector(out));
    }
    out = eval.vector(&args[0], at)?;
    for e in &mut out {
        e.value = SampleValue::Float(at as f64 / 1000.0);
        e.drop_name = true;
    }
    Ok(Val::Vector(out))
}

/// Since when the sample of a selector counts, zero when it does not say; nothing for other expressions.
fn start_timestamp(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let mut out = Vec::new();
    if let Node::Selector(s) = &args[0] {
        let series = eval.series(s.index);
        eval.each_latest_for_timestamp(&series, s, at, |series, point| {
            let mut start = 0.0;
            series.starts(point.t - std::time::Duration::from_millis(1), point.t, |_, s| start = s.as_secs_f64());
            out.push(Elem { labels: series.labels().clone(), value: SampleValue::Float(start), drop_name: true });
        })?;
    }
    Ok(Val::Vector(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        let check = |seconds: i64, expect: (i64, i64, i64, i64, i64)| {
            let d = Date::from_unix(seconds);
            assert_eq!((d.year, d.month, d.day, d.weekday, d.day_of_year), expect, "{seconds}");
        };
        check(0, (1970, 1, 1, 4, 1));
        check(-1, (1969, 12, 31, 3, 365));
        check(951_782_400, (2000, 2, 29, 2, 60));
        check(951_868_800, (2000, 3, 1, 3, 61));
        check(1_735_603_200, (2024, 12, 31, 2, 366));
        check(4_107_542_400, (2100, 3, 1, 1, 60));
        // NaN and the infinities, as Prometheus has them.
        check(to_i64(f64::NAN), (292_277_026_596, 12, 4, 0, 339));
        assert_eq!(Date::from_unix(951_782_400).days_in_month(), 29);
    }
}
