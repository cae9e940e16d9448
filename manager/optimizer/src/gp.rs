//! A Gaussian process: fitted to points and targets, conditioned on fantasies, asked for means and
//! variances with their slopes.
//!
//! One process may carry several sets of targets over the same points (scenarios): they share the
//! variance and differ in the mean. Holds no outcomes, goals or spaces.

use faer::Mat;

use crate::descent::{self, Limits};
use crate::evidence::{Evidence, MeanModel, NoiseModel};
use crate::factor::{Factor, dot};
use crate::kernel::{Kernel, Metric};
use crate::stream::Stream;

/// Parameter vectors looked at before the descents.
const STARTS: [(f64, f64); 6] = [
    (0.0, -4.0),
    (1.0, -7.0),
    (2.0, -9.0),
    (-0.7, -3.0),
    (0.7, -2.0),
    (1.5, -5.0),
];
/// Descents from the best of them.
const DESCENTS: usize = 2;
const FIT_LIMITS: Limits = Limits {
    steps_max: 40,
    gradient: 1e-3,
    decrease: 1e-5,
    first_step: 0.5,
};
/// Steps between two draws of parameters, and the width of the first bracket of each.
const SLICES_PER_MODEL: usize = 8;
const SLICE_WIDTH: f64 = 2.0;
const SHRINKS_MAX: usize = 12;
/// What is left of the noise in imagined processes, relative to the signal, for the factor's sake.
const IMAGINED_NOISE: f64 = 1e-7;
/// No variance is smaller, relative to the signal: below it differences are rounding.
const VARIANCE_MIN: f64 = 1e-12;

#[derive(Clone)]
pub(crate) struct Gp {
    kernel: Kernel,
    noise: f64,
    mean: f64,
    points: Vec<Vec<f64>>,
    /// Targets less the mean, per scenario.
    residuals: Vec<Vec<f64>>,
    factor: Factor,
    /// `K⁻¹ residuals`, per scenario.
    solved: Vec<Vec<f64>>,
}

/// What the process says about one point.
pub(crate) struct Prediction {
    /// Per scenario.
    pub(crate) means: Vec<f64>,
    /// Of the function, without noise.
    pub(crate) variance: f64,
    bends: Vec<f64>,
    half_solved: Vec<f64>,
}

/// Fits a process: the most plausible parameters found from several starts. `None` if no start
/// gives a usable covariance.
pub(crate) fn fit(
    metrics: &[Metric],
    points: &[Vec<f64>],
    targets: &[f64],
    noise: NoiseModel,
    mean: MeanModel,
) -> Option<Gp> {
    let evidence = Evidence::new(metrics, points, targets, noise, mean);
    realize(&evidence, &most_plausible(&evidence)?, points)
}

/// Fits several processes: the most plausible parameters first, then draws from their posterior,
/// so that what the data leave open stays open.
pub(crate) fn fit_many(
    evidence: &Evidence<'_>,
    points: &[Vec<f64>],
    count: usize,
    stream: &mut Stream,
) -> Vec<Gp> {
    let Some(best) = most_plausible(evidence) else {
        return Vec::new();
    };
    let mut models: Vec<Gp> = realize(evidence, &best, points).into_iter().collect();
    let mut at = best;
    let mut loss = evidence.loss_alone(&at);
    for _ in 1..count {
        for _ in 0..SLICES_PER_MODEL {
            slice(evidence, &mut at, &mut loss, stream);
        }
        models.extend(realize(evidence, &at, points));
    }
    models
}

fn most_plausible(evidence: &Evidence<'_>) -> Option<Vec<f64>> {
    let bounds = evidence.bounds();
    let usual = evidence.usual_log_scale();
    let mut starts: Vec<(f64, Vec<f64>)> = STARTS
        .iter()
        .map(|(longer, log_noise)| {
            let start = evidence.parameters(usual + longer, *log_noise);
            (evidence.loss_alone(&start), start)
        })
        .filter(|(loss, _)| loss.is_finite())
        .collect();
    starts.sort_by(|left, right| left.0.total_cmp(&right.0));
    starts.truncate(DESCENTS);
    starts
        .iter()
        .map(|(_, start)| {
            descent::minimize(
                |at, slope| evidence.loss(at, slope),
                start,
                &bounds,
                FIT_LIMITS,
            )
        })
        .filter(|minimum| minimum.value.is_finite())
        .min_by(|left, right| left.value.total_cmp(&right.value))
        .map(|minimum| minimum.at)
}

/// One step of slice sampling (Neal, 2003) in a random direction, by shrinking a random bracket.
fn slice(evidence: &Evidence<'_>, at: &mut Vec<f64>, loss: &mut f64, stream: &mut Stream) {
    let bounds = evidence.bounds();
    let direction: Vec<f64> = at.iter().map(|_| stream.normal()).collect();
    let level = *loss - (1.0 - stream.uniform()).ln();
    let mut low = -SLICE_WIDTH * stream.uniform();
    let mut high = low + SLICE_WIDTH;
    for _ in 0..SHRINKS_MAX {
        let along = low + (high - low) * stream.uniform();
        let next: Vec<f64> = at
            .iter()
            .zip(&direction)
            .map(|(entry, slope)| entry + along * slope)
            .collect();
        let inside = next
            .iter()
            .zip(&bounds)
            .all(|(entry, (low, high))| entry >= low && entry <= high);
        let next_loss = if inside {
            evidence.loss_alone(&next)
        } else {
            f64::INFINITY
        };
        if next_loss <= level {
            (*at, *loss) = (next, next_loss);
            return;
        }
        if along < 0.0 {
            low = along
        } else {
            high = along
        }
    }
}

fn realize(evidence: &Evidence<'_>, parameters: &[f64], points: &[Vec<f64>]) -> Option<Gp> {
    let reading = evidence.read(parameters);
    let factor = Factor::new(covariance(&reading.kernel, reading.noise, points))?;
    let mean = evidence.mean(&factor);
    let residuals = vec![
        evidence
            .targets()
            .iter()
            .map(|target| target - mean)
            .collect(),
    ];
    Some(Gp::assemble(
        reading.kernel,
        (reading.noise, mean),
        points.to_vec(),
        residuals,
        factor,
    ))
}

impl Gp {
    fn assemble(
        kernel: Kernel,
        (noise, mean): (f64, f64),
        points: Vec<Vec<f64>>,
        residuals: Vec<Vec<f64>>,
        factor: Factor,
    ) -> Gp {
        let solved = residuals
            .iter()
            .map(|residuals| {
                let mut solved = residuals.clone();
                factor.solve(&mut solved);
                solved
            })
            .collect();
        Gp {
            kernel,
            noise,
            mean,
            points,
            residuals,
            factor,
            solved,
        }
    }

    pub(crate) fn predict(&self, x: &[f64]) -> Prediction {
        let size = self.points.len();
        let (mut covariances, mut bends) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for point in &self.points {
            let covariance = self.kernel.between(x, point);
            covariances.push(covariance.value);
            bends.push(covariance.bend);
        }
        let means = self
            .solved
            .iter()
            .map(|solved| self.mean + dot(&covariances, solved))
            .collect();
        let mut half_solved = covariances;
        self.factor.solve_lower(&mut half_solved);
        let signal = self.kernel.signal;
        let variance = (signal - dot(&half_solved, &half_solved)).max(VARIANCE_MIN * signal);
        Prediction {
            means,
            variance,
            bends,
            half_solved,
        }
    }

    /// The slope in `x` of a quantity that changes by `by_means` with the means and by
    /// `by_variance` with the variance.
    pub(crate) fn slopes(
        &self,
        x: &[f64],
        prediction: Prediction,
        by_means: &[f64],
        by_variance: f64,
    ) -> Vec<f64> {
        let mut shares = prediction.half_solved;
        self.factor.solve_upper(&mut shares);
        shares
            .iter_mut()
            .for_each(|share| *share *= -2.0 * by_variance);
        for (solved, by_mean) in self.solved.iter().zip(by_means) {
            shares
                .iter_mut()
                .zip(solved)
                .for_each(|(share, solved)| *share += by_mean * solved);
        }
        let mut slopes = vec![0.0; x.len()];
        for ((point, share), bend) in self.points.iter().zip(&shares).zip(&prediction.bends) {
            self.kernel.add_slopes(x, point, share * bend, &mut slopes);
        }
        slopes
    }

    /// The means at the process's own points, per scenario.
    pub(crate) fn fitted(&self) -> Vec<Vec<f64>> {
        // K_f K⁻¹ r = r - σ² K⁻¹ r.
        self.residuals
            .iter()
            .zip(&self.solved)
            .map(|(residuals, solved)| {
                let pairs = residuals.iter().zip(solved);
                pairs
                    .map(|(residual, solved)| self.mean + residual - self.noise * solved)
                    .collect()
            })
            .collect()
    }

    /// The function itself, freed from noise: `scenarios` joint draws of its values at the
    /// process's own points and at `pending` ones, each an exact process of its own. `None` if the
    /// covariance has no factor. Expects a process with one scenario.
    ///
    /// Draws follow Matheron's rule: a draw from the prior, corrected by what was observed.
    pub(crate) fn imagine(
        &self,
        pending: &[Vec<f64>],
        scenarios: usize,
        stream: &mut Stream,
    ) -> Option<Gp> {
        let points: Vec<Vec<f64>> = self.points.iter().chain(pending).cloned().collect();
        let noise = IMAGINED_NOISE * self.kernel.signal;
        let factor = Factor::new(covariance(&self.kernel, noise, &points))?;
        let cross: Vec<Vec<f64>> = points
            .iter()
            .map(|x| {
                self.points
                    .iter()
                    .map(|z| self.kernel.between(x, z).value)
                    .collect()
            })
            .collect();
        let scatter = self.noise.sqrt();
        let residuals = (0..scenarios)
            .map(|_| {
                let normals: Vec<f64> = points.iter().map(|_| stream.normal()).collect();
                let mut drawn = factor.times(&normals);
                let known = self.residuals[0].iter().zip(&drawn);
                let mut surprise: Vec<f64> = known
                    .map(|(residual, drawn)| residual - drawn - scatter * stream.normal())
                    .collect();
                self.factor.solve(&mut surprise);
                drawn
                    .iter_mut()
                    .zip(&cross)
                    .for_each(|(f, row)| *f += dot(row, &surprise));
                drawn
            })
            .collect();
        Some(Gp::assemble(
            self.kernel.clone(),
            (noise, self.mean),
            points,
            residuals,
            factor,
        ))
    }

    pub(crate) fn noise(&self) -> f64 {
        self.noise
    }

    pub(crate) fn points(&self) -> &[Vec<f64>] {
        &self.points
    }
}

fn covariance(kernel: &Kernel, noise: f64, points: &[Vec<f64>]) -> Mat<f64> {
    let mut matrix = Mat::zeros(points.len(), points.len());
    for (i, left) in points.iter().enumerate() {
        for (j, right) in points[..i].iter().enumerate() {
            matrix[(i, j)] = kernel.between(left, right).value;
        }
        matrix[(i, i)] = kernel.signal + noise;
    }
    matrix
}
