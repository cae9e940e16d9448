//! Objective values as the model sees them: lower is better, robust against tails, mean zero and
//! variance one.
//!
//! Order is kept: a better value never becomes a worse one. Holds no points.
//!
//! Only tails are bent. A power transform fitted to the values (Yeo and Johnson, 2000) was measured
//! and left out: late in a study most values lie near the best one, and the fitted power stretches
//! their differences until nothing else seems worth exploring.

use crate::config::Goal;

/// Beyond so many spreads from the middle, bad values grow only logarithmically.
const BAD_TAIL: f64 = 4.0;
/// The same for good values, which carry more.
const GOOD_TAIL: f64 = 10.0;

/// Transforms finite values. All zeros if they are all equal.
pub(crate) fn standardize(values: &[f64], goal: Goal) -> Vec<f64> {
    let largest = values
        .iter()
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return vec![0.0; values.len()];
    }
    let sign = match goal {
        Goal::Minimize => 1.0,
        Goal::Maximize => -1.0,
    };
    let scaled: Vec<f64> = values
        .iter()
        .map(|value| sign * (value / largest))
        .collect();
    unit_variance(&compress_tails(&scaled)).unwrap_or_else(|| vec![0.0; values.len()])
}

/// Centers at the median and scales by the quartiles, then bends the far tails.
fn compress_tails(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    let center = at(0.5);
    let mut spread = (at(0.75) - at(0.25)) / 1.349;
    if spread <= 0.0 {
        spread = (sorted[sorted.len() - 1] - sorted[0]) / 4.0;
    }
    if spread <= 0.0 {
        return vec![0.0; values.len()];
    }
    values
        .iter()
        .map(|value| {
            let away = ((value - center) / spread).clamp(-f64::MAX, f64::MAX);
            if away > BAD_TAIL {
                BAD_TAIL + (away - BAD_TAIL).ln_1p()
            } else if away < -GOOD_TAIL {
                -GOOD_TAIL - (-away - GOOD_TAIL).ln_1p()
            } else {
                away
            }
        })
        .collect()
}

/// `None` if there is nothing to scale.
fn unit_variance(values: &[f64]) -> Option<Vec<f64>> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum::<f64>()
        / count;
    let spread = variance.sqrt();
    (spread.is_finite() && spread > 1e-12)
        .then(|| values.iter().map(|value| (value - mean) / spread).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_nothing_overflows() {
        let rows: [&[f64]; 7] = [
            &[1.0],
            &[2.0, 2.0, 2.0],
            &[0.0, 0.0],
            &[1e300, -1e300, 0.0, 5.0],
            &[1e-300, 2e-300, 5e-300, 4e-300],
            &[0.1, 0.2, 0.15, 1e12, 0.3, 1e300],
            &[3.0, 3.0, 3.0, 3.0, 4.0, -1e9],
        ];
        for values in rows {
            for (goal, sign) in [(Goal::Minimize, 1.0), (Goal::Maximize, -1.0)] {
                let seen = standardize(values, goal);
                assert!(
                    seen.iter().all(|value| value.is_finite()),
                    "{values:?} {seen:?}"
                );
                for (i, left) in values.iter().enumerate() {
                    for (j, right) in values.iter().enumerate() {
                        let kept = sign * left > sign * right || seen[i] <= seen[j];
                        assert!(kept, "{values:?} {goal:?} {seen:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_diverged_trial_does_not_hide_the_others() {
        let mut values: Vec<f64> = (0..20).map(f64::from).collect();
        values.push(1e30);
        let seen = standardize(&values, Goal::Minimize);
        assert!(seen[19] - seen[0] > 0.15, "{seen:?}");
    }
}
