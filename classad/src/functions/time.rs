//! Functions of time. The clock is the scope's, the zone is UTC.

use crate::ad::ClassAd;
use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::Call;
use crate::times::{self, Civil};

use super::Builtin;
use super::convert::{Numeric, numeric, truncate};

pub(super) static FUNCTIONS: &[Builtin] = &[
    Builtin::new("time", 0, 0, |e, _, _| {
        e.now_secs.map_or(Val::Undefined, Val::Int)
    })
    .reading_clock(),
    Builtin::new("currenttime", 0, 0, current_time).reading_clock(),
    Builtin::new("timezoneoffset", 0, 0, |_, _, _| Val::RelTime(0.0)),
    Builtin::new("daytime", 0, 0, day_time).reading_clock(),
    Builtin::new("getyear", 1, 1, |e, c, at| date_field(e, c, at, |t| t.year)),
    Builtin::new("getmonth", 1, 1, |e, c, at| {
        date_field(e, c, at, |t| t.month)
    }),
    Builtin::new("getdayofyear", 1, 1, |e, c, at| {
        date_field(e, c, at, |t| t.year_day)
    }),
    Builtin::new("getdayofmonth", 1, 1, |e, c, at| {
        date_field(e, c, at, |t| t.day)
    }),
    Builtin::new("getdayofweek", 1, 1, |e, c, at| {
        date_field(e, c, at, |t| t.weekday)
    }),
    Builtin::new("getdays", 1, 1, get_days),
    Builtin::new("gethours", 1, 1, |e, c, at| {
        clock_field(e, c, at, |t| t.hour, 3600, 24)
    }),
    Builtin::new("getminutes", 1, 1, |e, c, at| {
        clock_field(e, c, at, |t| t.minute, 60, 60)
    }),
    Builtin::new("getseconds", 1, 1, |e, c, at| {
        clock_field(e, c, at, |t| t.second, 1, 60)
    }),
    Builtin::new("splittime", 1, 1, split_time),
    Builtin::new("formattime", 0, 2, format_time).reading_clock(),
    Builtin::new("interval", 1, 1, interval),
];

fn current_time(e: &mut Evaluator<'_>, _: Call<'_>, _: ScopeId) -> Val {
    e.now_secs
        .map_or(Val::Undefined, |secs| Val::AbsTime { secs, offset: 0 })
}

fn day_time(e: &mut Evaluator<'_>, _: Call<'_>, _: ScopeId) -> Val {
    e.now_secs.map_or(Val::Undefined, |secs| {
        Val::RelTime(secs.rem_euclid(86_400) as f64)
    })
}

fn date_field(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId, field: fn(&Civil) -> i64) -> Val {
    match e.arg(call, 0, at) {
        Val::AbsTime { secs, .. } => Val::Int(field(&Civil::of(secs))),
        _ => Val::Error,
    }
}

fn get_days(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    match e.arg(call, 0, at) {
        Val::RelTime(secs) => Val::Int(truncate(secs) / 86_400),
        _ => Val::Error,
    }
}

/// A field of a moment's clock, or of a span: its `unit`s, modulo what makes the next larger one.
fn clock_field(
    e: &mut Evaluator<'_>,
    call: Call<'_>,
    at: ScopeId,
    field: fn(&Civil) -> i64,
    unit: i64,
    modulus: i64,
) -> Val {
    match e.arg(call, 0, at) {
        Val::AbsTime { secs, .. } => Val::Int(field(&Civil::of(secs))),
        Val::RelTime(secs) => Val::Int(truncate(secs) / unit % modulus),
        _ => Val::Error,
    }
}

fn split_time(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    /// What making an ad costs, in steps.
    const AD_COST: usize = 16;
    if !e.spend(AD_COST) {
        return Val::Error;
    }
    let mut ad = ClassAd::new();
    match e.arg(call, 0, at) {
        Val::Undefined => return Val::Undefined,
        Val::RelTime(secs) => split_span(&mut ad, secs),
        Val::AbsTime { secs, offset } => split_moment(&mut ad, secs, offset),
        Val::Int(secs) => split_moment(&mut ad, secs, 0),
        Val::Real(secs) => split_moment(&mut ad, truncate(secs), 0),
        _ => return Val::Error,
    }
    Val::Ad(e.adopt(ad))
}

fn split_moment(ad: &mut ClassAd, secs: i64, offset: i32) {
    let t = Civil::of(secs.saturating_add(offset.into()));
    ad.insert("Type", "AbsoluteTime");
    ad.insert("Year", t.year);
    ad.insert("Month", t.month);
    ad.insert("Day", t.day);
    ad.insert("Hours", t.hour);
    ad.insert("Minutes", t.minute);
    ad.insert("Seconds", t.second);
    ad.insert("Offset", offset);
}

/// The sign is that of the first part that is not zero.
fn split_span(ad: &mut ClassAd, secs: f64) {
    let whole = truncate(secs.abs());
    let mut negative = secs < 0.0;
    let mut signed = |part: f64| {
        let sign = if negative && part != 0.0 { -1.0 } else { 1.0 };
        negative &= part == 0.0;
        part * sign
    };
    ad.insert("Type", "RelativeTime");
    ad.insert("Days", signed((whole / 86_400) as f64) as i64);
    ad.insert("Hours", signed((whole / 3600 % 24) as f64) as i64);
    ad.insert("Minutes", signed((whole / 60 % 60) as f64) as i64);
    ad.insert("Seconds", signed((whole % 60) as f64 + secs.abs().fract()));
}

fn format_time(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let moment = match e.arg_if_any(call, 0, at) {
        None => e.now_secs.map(Civil::of),
        Some(Val::Int(secs)) => Some(Civil::of(secs)),
        Some(Val::AbsTime { secs, offset }) => Some(Civil::of(secs.saturating_add(offset.into()))),
        Some(Val::Real(secs)) => Some(Civil::of(truncate(secs))),
        Some(Val::Ad(id)) => Some(moment_of(e, id)),
        Some(_) => None,
    };
    let format = match e.arg_if_any(call, 1, at) {
        None => Val::string("%c"),
        Some(format) => format,
    };
    let (Some(moment), Val::Str(format)) = (moment, format) else {
        return Val::Error;
    };
    // Each directive costs about a step, and there may be one in every second byte.
    if !e.spend(format.len()) {
        return Val::Error;
    }
    times::strftime(&format, &moment).map_or(Val::Error, Val::string)
}

/// The moment that an ad such as `splitTime()` gives stands for. What it does not say as a number
/// is 0, the year 1900, the month January.
fn moment_of(e: &mut Evaluator<'_>, id: ScopeId) -> Civil {
    /// Fields this large say nothing, and leave room for arithmetic.
    const FIELD_MAX: i64 = 1 << 32;
    let mut field = |name: &str, default: i64| {
        let expr = e.ad(id).get(name).cloned();
        let value = expr.map(|expr| e.eval(expr.as_ref(), id));
        let value = match value {
            Some(Val::Int(value)) => value,
            Some(Val::Real(value)) => truncate(value),
            Some(Val::Bool(value)) => i64::from(value),
            _ => default,
        };
        value.clamp(-FIELD_MAX, FIELD_MAX)
    };
    Civil::of_fields(
        [field("Year", 1900), field("Month", 1), field("Day", 0)],
        [field("Hours", 0), field("Minutes", 0), field("Seconds", 0)],
    )
}

fn interval(e: &mut Evaluator<'_>, call: Call<'_>, at: ScopeId) -> Val {
    let secs = match numeric(&e.arg(call, 0, at)) {
        Some(Numeric::Int(secs)) => secs,
        Some(Numeric::Real(secs)) => truncate(secs),
        None => return Val::Error,
    };
    e.made(times::format_interval(secs))
}
