//! Scores of predictions, in f64 on the host. Pure functions of outputs and targets.

use std::collections::BTreeMap;

use crate::data::Target;

/// Metric name to value.
pub type Metrics = BTreeMap<String, f64>;

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Smaller is better.
    Minimize,
    /// Larger is better.
    Maximize,
}

impl Goal {
    /// The goal of a metric by name; everything but `accuracy`, `auc` and `r2` is an error
    /// measure.
    #[must_use]
    pub fn of(metric: &str) -> Self {
        match metric {
            "accuracy" | "auc" | "r2" => Self::Maximize,
            _ => Self::Minimize,
        }
    }

    /// Whether `value` is strictly better than `best`.
    #[must_use]
    pub fn improves(self, value: f64, best: f64) -> bool {
        match self {
            Self::Minimize => value < best,
            Self::Maximize => value > best,
        }
    }
}

/// The metric that decides where nobody says which.
pub(super) fn deciding(target: &Target) -> &'static str {
    match target {
        Target::Regression { .. } => "rmse",
        Target::Binary { .. } | Target::Multiclass { .. } => "logloss",
    }
}

/// Scores raw network outputs `[rows, outputs]` against encoded targets `[rows]`.
///
/// Regression: `rmse`, `mae` in the target's unit, `r2` (share of variance explained). Classes:
/// `logloss` (mean, nats), `accuracy`; for two also `auc` (area under the ROC curve, ties count
/// half; 0.5 where a class is absent).
#[must_use]
pub fn score(target: &Target, outputs: &[f32], truth: &[f32]) -> Metrics {
    assert_eq!(
        outputs.len(),
        truth.len() * target.outputs(),
        "one row of outputs a target"
    );
    let named: Vec<(&str, f64)> = match target {
        Target::Regression { sd, .. } => regression(*sd, outputs, truth),
        Target::Binary { .. } => binary(outputs, truth),
        Target::Multiclass { classes, .. } => multiclass(classes.len(), outputs, truth),
    };
    named
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn regression(sd: f64, outputs: &[f32], truth: &[f32]) -> Vec<(&'static str, f64)> {
    let n = truth.len() as f64;
    let errors = || {
        outputs
            .iter()
            .zip(truth)
            .map(|(o, t)| (f64::from(*o) - f64::from(*t)) * sd)
    };
    let squares: f64 = errors().map(|e| e * e).sum();
    let mean = truth.iter().map(|t| f64::from(*t)).sum::<f64>() / n;
    let spread: f64 = truth
        .iter()
        .map(|t| ((f64::from(*t) - mean) * sd).powi(2))
        .sum();
    let r2 = if spread > 0.0 {
        1.0 - squares / spread
    } else {
        0.0
    };
    vec![
        ("rmse", (squares / n).sqrt()),
        ("mae", errors().map(f64::abs).sum::<f64>() / n),
        ("r2", r2),
    ]
}

fn binary(outputs: &[f32], truth: &[f32]) -> Vec<(&'static str, f64)> {
    let n = truth.len() as f64;
    let pairs = || {
        outputs
            .iter()
            .zip(truth)
            .map(|(o, t)| (f64::from(*o), *t > 0.5))
    };
    let loss: f64 = pairs()
        .map(|(z, positive)| softplus(if positive { -z } else { z }))
        .sum();
    let right = pairs()
        .filter(|(z, positive)| (*z > 0.0) == *positive)
        .count();
    vec![
        ("logloss", loss / n),
        ("accuracy", right as f64 / n),
        ("auc", auc(outputs, truth)),
    ]
}

fn multiclass(classes: usize, outputs: &[f32], truth: &[f32]) -> Vec<(&'static str, f64)> {
    let n = truth.len() as f64;
    let (mut loss, mut right) = (0.0, 0usize);
    for (row, class) in outputs.chunks_exact(classes).zip(truth) {
        let class = *class as usize;
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|z| f64::from(*z - highest).exp()).sum();
        loss += sum.ln() - f64::from(row[class] - highest);
        // The first of equal scores is the answer, as in prediction.
        right += usize::from(row.iter().position(|z| *z == highest) == Some(class));
    }
    vec![("logloss", loss / n), ("accuracy", right as f64 / n)]
}

/// By the rank sum of the positives (Mann and Whitney, 1947).
fn auc(outputs: &[f32], truth: &[f32]) -> f64 {
    let mut order: Vec<usize> = (0..outputs.len()).collect();
    order.sort_by(|a, b| outputs[*a].total_cmp(&outputs[*b]));
    let (mut rank_sum, mut below) = (0.0, 0usize);
    for tied in order.chunk_by(|a, b| outputs[*a] == outputs[*b]) {
        let rank = below as f64 + (tied.len() as f64 + 1.0) / 2.0;
        rank_sum += rank * tied.iter().filter(|row| truth[**row] > 0.5).count() as f64;
        below += tied.len();
    }
    let positives = truth.iter().filter(|t| **t > 0.5).count() as f64;
    let negatives = truth.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return 0.5;
    }
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)
}

fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}
