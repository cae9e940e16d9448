//! A seeded example: ratings that viewers of a region gave, one row for a viewing.
//!
//! | column | kind | what |
//! | --- | --- | --- |
//! | `age_days` | number | age of the account, 1 to 4,000 |
//! | `watched_hours` | number | hours watched so far; grows with age, skewed |
//! | `hour` | number | local hour of the day, 0 to 23.99 |
//! | `title_age_days` | number | days since the title came out, skewed |
//! | `runtime_min` | number | length of the title, 20 to 180 |
//! | `popularity` | number | share of viewers who saw the title, 0 to 1 |
//! | `affinity` | number | how near title and viewer are in taste, −1 to 1 |
//! | `device` | category | tv, phone, tablet, web, console |
//! | `genre` | category | twelve genres |
//! | `plan` | category | basic, standard, premium |
//! | `weekday` | category | mon … sun |
//! | `rating` | target | about 1 to 5, not rounded: signal + noise |
//!
//! The signal is not linear and lives on interactions: each genre has its hour of the day, each
//! pair of genre and device its liking, affinity counts less as a title ages, long titles suffer
//! on small screens and on work days, popularity is best in the middle. Every coefficient, the
//! mix of the inputs, the number of rows and the noise belong to the region: its stream derives
//! from the seed and the region's name, so one region never changes another.
//!
//! **Noise floor**: noise is normal with standard deviation [`Synthetic::noise_sd`] (0.25 to
//! 0.40), independent of everything, so no model's expected RMSE is below it. The signal's
//! standard deviation is 0.80 by construction.

use super::{Cells, Column, DataError, Table, Texts};
use crate::random::Stream;

/// Fewest rows that can be asked for.
pub const SYNTH_ROWS_MIN: usize = 10;
/// Most rows that can be asked for.
pub const SYNTH_ROWS_MAX: usize = 10_000_000;

/// Standard deviation of the signal in every region.
const SIGNAL_SD: f64 = 0.8;
const MEAN_RATING: f64 = 3.4;

const DEVICES: [&str; 5] = ["tv", "phone", "tablet", "web", "console"];
const GENRES: [&str; 12] = [
    "action",
    "anime",
    "comedy",
    "crime",
    "documentary",
    "drama",
    "family",
    "horror",
    "music",
    "romance",
    "scifi",
    "thriller",
];
const PLANS: [&str; 3] = ["basic", "standard", "premium"];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// How much a device's small screen lets a long title suffer, from 0 to 1.
const SMALLNESS: [f64; 5] = [0.0, 1.0, 0.6, 0.4, 0.1];

/// A made table and what is known about it.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// The rows, target column `rating`.
    pub table: Table,
    /// Standard deviation of the noise in the target: the least RMSE that can be expected.
    pub noise_sd: f64,
}

/// Makes a region's table. Without `rows` the region has its own number, 12,000 to 24,000.
///
/// The same arguments give the same table. More rows of the same region and seed begin with the
/// same rows.
pub fn synth(region: &str, rows: Option<usize>, seed: u64) -> Result<Synthetic, DataError> {
    let of_region = Region::named(region, seed);
    let rows = rows.unwrap_or(of_region.rows);
    if !(SYNTH_ROWS_MIN..=SYNTH_ROWS_MAX).contains(&rows) {
        return Err(DataError::SynthRows {
            rows,
            min: SYNTH_ROWS_MIN,
            max: SYNTH_ROWS_MAX,
        });
    }
    let mut stream = Stream::named(seed, &format!("synth rows {region}"));
    let mut numbers: [Vec<f64>; 8] = Default::default();
    let mut texts: [Texts; 4] = Default::default();
    for _ in 0..rows {
        let row = of_region.row(&mut stream);
        let noise = of_region.noise_sd * stream.normal();
        let rating = MEAN_RATING + of_region.signal(&row) + noise;
        for (column, value) in numbers.iter_mut().zip(row.numbers(rating)) {
            column.push(value);
        }
        for (column, value) in texts.iter_mut().zip(row.texts()) {
            column.push(value);
        }
    }
    let [
        age,
        watched,
        hour,
        title_age,
        runtime,
        popularity,
        affinity,
        rating,
    ] = numbers;
    let [device, genre, plan, weekday] = texts;
    let number = |name: &str, values| Column {
        name: name.into(),
        cells: Cells::Numbers(values),
    };
    let text = |name: &str, values| Column {
        name: name.into(),
        cells: Cells::Text(values),
    };
    let columns = vec![
        number("age_days", age),
        number("watched_hours", watched),
        number("hour", hour),
        number("title_age_days", title_age),
        number("runtime_min", runtime),
        number("popularity", popularity),
        number("affinity", affinity),
        text("device", device),
        text("genre", genre),
        text("plan", plan),
        text("weekday", weekday),
        number("rating", rating),
    ];
    let table = Table::from_columns(&format!("region {region}"), columns)?;
    Ok(Synthetic {
        table,
        noise_sd: of_region.noise_sd,
    })
}

/// What makes a region itself.
struct Region {
    rows: usize,
    noise_sd: f64,
    // The mix of the inputs.
    age_mean: f64,
    title_age_mean: f64,
    devices: Vec<f64>,
    genres: Vec<f64>,
    plans: Vec<f64>,
    evening: f64,
    // The coefficients of the signal.
    genre_hour: Vec<f64>,
    genre_swing: Vec<f64>,
    liking: Vec<f64>,
    plan_level: Vec<f64>,
    affinity: f64,
    fading_days: f64,
    length: f64,
    weekend: f64,
    popularity_best: f64,
    habit: f64,
    // Makes the signal's mean 0 and its standard deviation SIGNAL_SD.
    centre: f64,
    scale: f64,
}

/// One viewing.
struct Row {
    age_days: f64,
    watched_hours: f64,
    hour: f64,
    title_age_days: f64,
    runtime_min: f64,
    popularity: f64,
    affinity: f64,
    device: usize,
    genre: usize,
    plan: usize,
    weekday: usize,
}

impl Region {
    fn named(region: &str, seed: u64) -> Self {
        /// Rows that the signal's mean and spread are measured on.
        const MEASURED: usize = 4_096;
        let mut s = Stream::named(seed, &format!("synth region {region}"));
        let mut made = Self {
            rows: 12_000 + s.below(12_001),
            noise_sd: s.between(0.25, 0.40),
            age_mean: s.between(300.0, 1_200.0),
            title_age_mean: s.between(200.0, 1_500.0),
            devices: shares(&mut s, DEVICES.len()),
            genres: shares(&mut s, GENRES.len()),
            plans: shares(&mut s, PLANS.len()),
            evening: s.between(18.0, 22.0),
            genre_hour: (0..GENRES.len()).map(|_| s.between(0.0, 24.0)).collect(),
            genre_swing: (0..GENRES.len()).map(|_| s.between(0.3, 0.9)).collect(),
            liking: (0..GENRES.len() * DEVICES.len())
                .map(|_| 0.45 * s.normal())
                .collect(),
            plan_level: (0..PLANS.len()).map(|_| 0.2 * s.normal()).collect(),
            affinity: s.between(0.9, 1.5),
            fading_days: s.between(200.0, 900.0),
            length: s.between(0.5, 1.1),
            weekend: s.between(0.3, 0.8),
            popularity_best: s.between(0.25, 0.65),
            habit: s.between(0.2, 0.5),
            centre: 0.0,
            scale: 1.0,
        };
        let signals: Vec<f64> = (0..MEASURED)
            .map(|_| made.signal(&made.row(&mut s)))
            .collect();
        let mean = signals.iter().sum::<f64>() / MEASURED as f64;
        let variance = signals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / MEASURED as f64;
        (made.centre, made.scale) = (mean, SIGNAL_SD / variance.sqrt());
        made
    }

    fn row(&self, s: &mut Stream) -> Row {
        let age_days = (self.age_mean * exponential(s)).clamp(1.0, 4_000.0);
        let watched_hours = age_days * s.between(0.05, 0.6) * (0.5 * s.normal()).exp();
        Row {
            age_days: age_days.round(),
            watched_hours: rounded(watched_hours, 10.0),
            hour: rounded((self.evening + 4.5 * s.normal()).rem_euclid(24.0), 100.0).min(23.99),
            title_age_days: (self.title_age_mean * exponential(s)).round(),
            runtime_min: (85.0 + 35.0 * s.normal()).clamp(20.0, 180.0).round(),
            popularity: rounded(s.unit() * s.unit().sqrt(), 1e4),
            affinity: rounded((0.15 + 0.45 * s.normal()).clamp(-1.0, 1.0), 1e4),
            device: drawn(s, &self.devices),
            genre: drawn(s, &self.genres),
            plan: drawn(s, &self.plans),
            weekday: s.below(WEEKDAYS.len()),
        }
    }

    fn signal(&self, row: &Row) -> f64 {
        let angle = std::f64::consts::TAU * (row.hour - self.genre_hour[row.genre]) / 24.0;
        let daytime = self.genre_swing[row.genre] * angle.cos();
        let liking = self.liking[row.genre * DEVICES.len() + row.device];
        let freshness = 0.25 + (-row.title_age_days / self.fading_days).exp();
        let taste = self.affinity * row.affinity * freshness;
        let long = (row.runtime_min - 85.0) / 35.0;
        let free = if row.weekday >= 4 {
            self.weekend
        } else {
            -0.5 * self.weekend
        };
        let length = long * (free - self.length * SMALLNESS[row.device]);
        let fame = -3.0 * (row.popularity - self.popularity_best).powi(2);
        let hours_a_day = row.watched_hours / row.age_days;
        let habit = self.habit * (6.0 * (hours_a_day - 0.35)).tanh();
        let sum = daytime + liking + taste + length + fame + habit + self.plan_level[row.plan];
        self.scale * (sum - self.centre)
    }
}

impl Row {
    fn numbers(&self, rating: f64) -> [f64; 8] {
        [
            self.age_days,
            self.watched_hours,
            self.hour,
            self.title_age_days,
            self.runtime_min,
            self.popularity,
            self.affinity,
            rounded(rating, 1e4),
        ]
    }

    fn texts(&self) -> [&'static str; 4] {
        [
            DEVICES[self.device],
            GENRES[self.genre],
            PLANS[self.plan],
            WEEKDAYS[self.weekday],
        ]
    }
}

/// Exponential with mean 1.
fn exponential(s: &mut Stream) -> f64 {
    -(1.0 - s.unit()).ln()
}

/// `count` shares that add up to 1, none below a third of the largest.
fn shares(s: &mut Stream, count: usize) -> Vec<f64> {
    let weights: Vec<f64> = (0..count).map(|_| s.between(0.5, 1.5)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn drawn(s: &mut Stream, shares: &[f64]) -> usize {
    let mut left = s.unit();
    for (index, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return index;
        }
    }
    shares.len() - 1
}

/// To the nearest 1/`steps`, so that files stay short.
fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
