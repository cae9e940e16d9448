//! What a point promises: the logarithm of its expected improvement (Ament et al., 2023) times a
//! power of the chance that it can be evaluated at all.
//!
//! Holds the score and its slope. Refuses to search.

use crate::evidence::{MeanModel, NoiseModel};
use crate::gp::{self, Gp, Prediction};
use crate::kernel::Metric;
use crate::normal::{improvement, log_cumulative};

/// Labels of the classifier; points unlike any failure keep this mean.
const FEASIBLE: f64 = 1.0;
const FAILED: f64 = -1.0;
/// Variance added to the classifier's own, so that it is never certain.
const DOUBT: f64 = 0.02;
/// The power of the chance in the score. With 1, a study that has found the edge of what can be
/// evaluated spends most of its trials beyond it, where improvements are large and unlikely.
const CAUTION: f64 = 4.0;
/// The label between failed and feasible that counts as even odds: nearer to feasible, because a
/// smooth process is undecided in a whole strip along an edge that is sharp.
const EVEN: f64 = 0.5;
const CLASSIFIER_NOISE: NoiseModel = NoiseModel::Learnt {
    low: 1e-3,
    log_mean: -4.0,
    log_variance: 1.0,
};

/// Where trials fail: a process over the labels of all finished trials, read through `Φ`.
pub(crate) struct Feasibility(Gp);

/// One way to see the objective. All views weigh the same, so they have equally many scenarios.
pub(crate) struct View {
    pub(crate) model: Gp,
    /// What an improvement is measured from, per scenario.
    pub(crate) best: Vec<f64>,
}

pub(crate) struct Acquisition<'a> {
    pub(crate) views: Vec<View>,
    pub(crate) feasibility: Option<&'a Feasibility>,
}

impl Feasibility {
    /// `None` if nothing failed, or no fit was found.
    pub(crate) fn fit(
        metrics: &[Metric],
        evaluated: &[Vec<f64>],
        failed: &[Vec<f64>],
    ) -> Option<Feasibility> {
        if failed.is_empty() {
            return None;
        }
        let points: Vec<Vec<f64>> = evaluated.iter().chain(failed).cloned().collect();
        let mut labels = vec![FEASIBLE; evaluated.len()];
        labels.resize(points.len(), FAILED);
        gp::fit(
            metrics,
            &points,
            &labels,
            CLASSIFIER_NOISE,
            MeanModel::Fixed(FEASIBLE),
        )
        .map(Feasibility)
    }

    /// The log of the chance that a point can be evaluated, times [`CAUTION`].
    pub(crate) fn score(&self, x: &[f64]) -> f64 {
        let prediction = self.0.predict(x);
        CAUTION
            * log_cumulative((prediction.means[0] - EVEN) / (prediction.variance + DOUBT).sqrt()).0
    }

    fn score_and_slopes(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let prediction = self.0.predict(x);
        let spread = (prediction.variance + DOUBT).sqrt();
        let mean = prediction.means[0] - EVEN;
        let (score, slope) = log_cumulative(mean / spread);
        let (score, slope) = (CAUTION * score, CAUTION * slope);
        let by_variance = -0.5 * slope * mean / (spread * spread * spread);
        (
            score,
            self.0.slopes(x, prediction, &[slope / spread], by_variance),
        )
    }
}

impl Acquisition<'_> {
    pub(crate) fn score(&self, x: &[f64]) -> f64 {
        let mut logs = Vec::new();
        for View { model, best } in &self.views {
            let prediction = model.predict(x);
            let spread = prediction.variance.sqrt();
            let scenarios = prediction.means.iter().zip(best);
            let promise = |(mean, best): (&f64, &f64)| improvement((best - mean) / spread).log;
            logs.extend(scenarios.map(|scenario| promise(scenario) + spread.ln()));
        }
        log_mean_exp(&logs).0
            + self
                .feasibility
                .map_or(0.0, |feasibility| feasibility.score(x))
    }

    pub(crate) fn score_and_slopes(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let predictions: Vec<Prediction> = self
            .views
            .iter()
            .map(|view| view.model.predict(x))
            .collect();
        let (mut logs, mut improvements) = (Vec::new(), Vec::new());
        for (view, prediction) in self.views.iter().zip(&predictions) {
            let spread = prediction.variance.sqrt();
            for (mean, best) in prediction.means.iter().zip(&view.best) {
                let improvement = improvement((best - mean) / spread);
                logs.push(improvement.log + spread.ln());
                improvements.push(improvement);
            }
        }
        let (mut score, shares) = log_mean_exp(&logs);
        let mut slopes = vec![0.0; x.len()];
        let mut parts = improvements.iter().zip(&shares);
        for (view, prediction) in self.views.iter().zip(predictions) {
            let spread = prediction.variance.sqrt();
            let (mut by_means, mut by_spread) = (Vec::new(), 0.0);
            for (improvement, share) in parts.by_ref().take(view.best.len()) {
                by_means.push(-share * improvement.by_mean / spread);
                by_spread += share * improvement.by_spread / spread;
            }
            // d spread / d variance = 1 / (2 spread).
            let by_variance = 0.5 * by_spread / spread;
            let part = view.model.slopes(x, prediction, &by_means, by_variance);
            slopes
                .iter_mut()
                .zip(part)
                .for_each(|(slope, part)| *slope += part);
        }
        if let Some(feasibility) = self.feasibility {
            let (chance, chance_slopes) = feasibility.score_and_slopes(x);
            score += chance;
            slopes
                .iter_mut()
                .zip(chance_slopes)
                .for_each(|(slope, other)| *slope += other);
        }
        (score, slopes)
    }
}

/// The log of the mean of exponentials, and each one's share in it.
fn log_mean_exp(logs: &[f64]) -> (f64, Vec<f64>) {
    let most = logs
        .iter()
        .fold(f64::NEG_INFINITY, |most, log| most.max(*log));
    if !most.is_finite() {
        return (most, vec![1.0 / logs.len() as f64; logs.len()]);
    }
    let mut shares: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    (most + (sum / logs.len() as f64).ln(), shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stream;

    #[test]
    fn slopes_agree_with_differences() {
        let mut stream = Stream::new(5, "acquisition", 0);
        let mut draw = |count: usize| -> Vec<Vec<f64>> {
            (0..count)
                .map(|_| vec![stream.uniform(), stream.uniform()])
                .collect()
        };
        let (points, failed, pending, queries) = (draw(10), draw(3), draw(2), draw(12));
        let targets: Vec<f64> = points
            .iter()
            .map(|p| (5.0 * p[0]).sin() + p[1] * p[1])
            .collect();
        let metrics = [Metric::Square; 2];
        let noise = NoiseModel::Fixed(1e-4);
        let model = gp::fit(&metrics, &points, &targets, noise, MeanModel::Learnt).unwrap();
        let many = model
            .imagine(&pending, 5, &mut Stream::new(1, "fantasy", 0))
            .unwrap();
        let turned: Vec<f64> = targets.iter().map(|target| target * target).collect();
        let other = gp::fit(&metrics, &points, &turned, noise, MeanModel::Learnt).unwrap();
        let feasibility = Feasibility::fit(&metrics, &points, &failed);
        let view = |model: &Gp, scenarios: u32| View {
            model: model.clone(),
            best: (0..scenarios).map(|s| -0.5 - 0.1 * f64::from(s)).collect(),
        };
        for views in [
            vec![view(&model, 1)],
            vec![view(&many, 5)],
            vec![view(&other, 1), view(&model, 1)],
        ] {
            let acquisition = Acquisition {
                views,
                feasibility: feasibility.as_ref(),
            };
            for x in &queries {
                let (score, slopes) = acquisition.score_and_slopes(x);
                assert!((score - acquisition.score(x)).abs() < 1e-9);
                for axis in 0..2 {
                    let width = 1e-6;
                    let (mut low, mut high) = (x.clone(), x.clone());
                    low[axis] -= width;
                    high[axis] += width;
                    let slope =
                        (acquisition.score(&high) - acquisition.score(&low)) / (2.0 * width);
                    let error = (slope - slopes[axis]).abs();
                    assert!(
                        error < 1e-3 * (1.0 + slope.abs()),
                        "{x:?}: {slope} {slopes:?}"
                    );
                }
            }
        }
    }
}
