//! How plausible a kernel's parameters are, given the data: the log posterior and its gradient.
//!
//! The parameters are `[ln ℓ₀ … ln ℓ_{d-1}, ln signal, ln noise]`, the last one only if learnt.
//! Priors: length scales lognormal with a location that grows with the dimension (Hvarfner,
//! Hellsten and Nardi, 2024), signal and noise lognormal. The constant mean has a normal prior and
//! is put at its best value each time. Holds no search.

use faer::Mat;

use crate::factor::{Factor, dot};
use crate::kernel::{Kernel, Metric, matern};

/// Spread of the prior of `ln ℓ`, squared.
const SCALE_PRIOR_VARIANCE: f64 = 3.0;
/// Spread of the prior of `ln signal`, squared.
const SIGNAL_PRIOR_VARIANCE: f64 = 1.0;
/// Variance of the prior of a learnt mean; outputs have variance one.
const MEAN_PRIOR_VARIANCE: f64 = 1.0;
const SCALE_BOUNDS: (f64, f64) = (0.01, 200.0);
const SIGNAL_BOUNDS: (f64, f64) = (0.02, 50.0);

/// What is assumed about the noise variance, in units of the standardized outputs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoiseModel {
    Fixed(f64),
    /// Lognormal, from `low` to one.
    Learnt {
        low: f64,
        log_mean: f64,
        log_variance: f64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum MeanModel {
    Fixed(f64),
    Learnt,
}

pub(crate) struct Evidence<'a> {
    metrics: &'a [Metric],
    targets: &'a [f64],
    noise: NoiseModel,
    mean: MeanModel,
    /// Differences per axis of points `i > j`, at `i (i - 1) / 2 + j`.
    differences: Vec<f64>,
}

/// A kernel with its noise and mean, read from a parameter vector.
pub(crate) struct Reading {
    pub(crate) kernel: Kernel,
    pub(crate) noise: f64,
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(
        metrics: &'a [Metric],
        points: &[Vec<f64>],
        targets: &'a [f64],
        noise: NoiseModel,
        mean: MeanModel,
    ) -> Evidence<'a> {
        let pairs = points.len() * points.len().saturating_sub(1) / 2;
        let mut differences = Vec::with_capacity(pairs * metrics.len());
        for (i, left) in points.iter().enumerate() {
            for right in &points[..i] {
                for (axis, metric) in metrics.iter().enumerate() {
                    differences.push(metric.difference(left[axis], right[axis]));
                }
            }
        }
        Evidence {
            metrics,
            targets,
            noise,
            mean,
            differences,
        }
    }

    pub(crate) fn targets(&self) -> &[f64] {
        self.targets
    }

    /// The mode of the length scales' prior, as a logarithm.
    pub(crate) fn usual_log_scale(&self) -> f64 {
        self.scale_prior_mean() - SCALE_PRIOR_VARIANCE
    }

    /// A parameter vector with equal length scales.
    pub(crate) fn parameters(&self, log_scale: f64, log_noise: f64) -> Vec<f64> {
        let mut parameters = vec![log_scale; self.metrics.len()];
        parameters.push(0.0);
        match self.noise {
            NoiseModel::Fixed(_) => {}
            NoiseModel::Learnt { .. } => parameters.push(log_noise),
        }
        parameters
    }

    pub(crate) fn bounds(&self) -> Vec<(f64, f64)> {
        let logs = |(low, high): (f64, f64)| (low.ln(), high.ln());
        let mut bounds = vec![logs(SCALE_BOUNDS); self.metrics.len()];
        bounds.push(logs(SIGNAL_BOUNDS));
        match self.noise {
            NoiseModel::Fixed(_) => {}
            NoiseModel::Learnt { low, .. } => bounds.push(logs((low, 1.0))),
        }
        bounds
    }

    pub(crate) fn read(&self, parameters: &[f64]) -> Reading {
        let dims = self.metrics.len();
        let weights = parameters[..dims]
            .iter()
            .map(|log| (-2.0 * log).exp())
            .collect();
        let kernel = Kernel {
            metrics: self.metrics.to_vec(),
            weights,
            signal: parameters[dims].exp(),
        };
        let noise = match self.noise {
            NoiseModel::Fixed(noise) => noise,
            NoiseModel::Learnt { .. } => parameters[dims + 1].exp(),
        };
        Reading { kernel, noise }
    }

    /// The mean, given the factored covariance.
    pub(crate) fn mean(&self, factor: &Factor) -> f64 {
        match self.mean {
            MeanModel::Fixed(mean) => mean,
            MeanModel::Learnt => {
                let mut ones = vec![1.0; self.targets.len()];
                factor.solve(&mut ones);
                dot(&ones, self.targets) / (ones.iter().sum::<f64>() + 1.0 / MEAN_PRIOR_VARIANCE)
            }
        }
    }

    /// [`loss`](Self::loss) without the gradient, at half the cost.
    pub(crate) fn loss_alone(&self, parameters: &[f64]) -> f64 {
        let reading = self.read(parameters);
        let (matrix, _) = self.covariance(&reading);
        let Some(factor) = Factor::new(matrix) else {
            return f64::INFINITY;
        };
        let (fit, _) = self.misfit(&factor);
        fit + self.add_priors(parameters, &mut vec![0.0; parameters.len()])
    }

    /// Minus the log posterior, up to a constant; infinite where the covariance has no factor.
    pub(crate) fn loss(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let reading = self.read(parameters);
        let (matrix, bends) = self.covariance(&reading);
        let signal_part = matrix.clone();
        let Some(factor) = Factor::new(matrix) else {
            return f64::INFINITY;
        };
        let (fit, solved) = self.misfit(&factor);
        let inverse = factor.inverse();
        let parts = (&signal_part, bends.as_slice());
        self.add_likelihood_slopes(&reading, parts, &inverse, &solved, gradient);
        fit + self.add_priors(parameters, gradient)
    }

    /// Minus the log likelihood with the mean's prior, and `K⁻¹ (y - mean)`.
    fn misfit(&self, factor: &Factor) -> (f64, Vec<f64>) {
        let mean = self.mean(factor);
        let residuals: Vec<f64> = self.targets.iter().map(|target| target - mean).collect();
        let mut solved = residuals.clone();
        factor.solve(&mut solved);
        let mean_prior = match self.mean {
            MeanModel::Fixed(_) => 0.0,
            MeanModel::Learnt => 0.5 * mean * mean / MEAN_PRIOR_VARIANCE,
        };
        let fit = 0.5 * dot(&residuals, &solved) + 0.5 * factor.log_determinant() + mean_prior;
        (fit, solved)
    }

    /// The lower triangle of the covariance with noise, and the pairs' bends.
    fn covariance(&self, reading: &Reading) -> (Mat<f64>, Vec<f64>) {
        let size = self.targets.len();
        let dims = self.metrics.len();
        let kernel = &reading.kernel;
        let mut matrix = Mat::zeros(size, size);
        let mut bends = Vec::with_capacity(size * size.saturating_sub(1) / 2);
        let mut pairs = self.differences.chunks_exact(dims);
        for i in 0..size {
            for j in 0..i {
                let pair = pairs.next().expect("one chunk per pair of points");
                let square = pair
                    .iter()
                    .zip(&kernel.weights)
                    .map(|(d, weight)| d * weight)
                    .sum();
                let covariance = matern(square, kernel.signal);
                matrix[(i, j)] = covariance.value;
                bends.push(covariance.bend);
            }
            matrix[(i, i)] = kernel.signal + reading.noise;
        }
        (matrix, bends)
    }

    /// Writes the likelihood's gradient, `½ tr((K⁻¹ - ααᵀ) dK)`.
    fn add_likelihood_slopes(
        &self,
        reading: &Reading,
        (covariance, bends): (&Mat<f64>, &[f64]),
        inverse: &Mat<f64>,
        solved: &[f64],
        gradient: &mut [f64],
    ) {
        let dims = self.metrics.len();
        let size = self.targets.len();
        gradient.fill(0.0);
        let mut pairs = self.differences.chunks_exact(dims).zip(bends);
        let (mut signal, mut diagonal) = (0.0, 0.0);
        for i in 0..size {
            for j in 0..i {
                let (pair, bend) = pairs.next().expect("one chunk per pair of points");
                let share = inverse[(i, j)] - solved[i] * solved[j];
                signal += share * covariance[(i, j)];
                let pull = share * bend;
                for (slope, difference) in gradient.iter_mut().zip(pair) {
                    *slope += pull * difference;
                }
            }
            diagonal += inverse[(i, i)] - solved[i] * solved[i];
        }
        for (slope, weight) in gradient.iter_mut().zip(&reading.kernel.weights) {
            *slope *= weight;
        }
        gradient[dims] = signal + 0.5 * diagonal * reading.kernel.signal;
        match self.noise {
            NoiseModel::Fixed(_) => {}
            NoiseModel::Learnt { .. } => gradient[dims + 1] = 0.5 * diagonal * reading.noise,
        }
    }

    fn add_priors(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let dims = self.metrics.len();
        let location = self.scale_prior_mean();
        let mut loss = 0.0;
        for axis in 0..dims {
            // The density of ℓ itself, hence the first term.
            let away = parameters[axis] - location;
            loss += parameters[axis] + 0.5 * away * away / SCALE_PRIOR_VARIANCE;
            gradient[axis] += 1.0 + away / SCALE_PRIOR_VARIANCE;
        }
        let signal = parameters[dims];
        loss += 0.5 * signal * signal / SIGNAL_PRIOR_VARIANCE;
        gradient[dims] += signal / SIGNAL_PRIOR_VARIANCE;
        match self.noise {
            NoiseModel::Fixed(_) => {}
            NoiseModel::Learnt {
                log_mean,
                log_variance,
                ..
            } => {
                let away = parameters[dims + 1] - log_mean;
                loss += 0.5 * away * away / log_variance;
                gradient[dims + 1] += away / log_variance;
            }
        }
        loss
    }

    fn scale_prior_mean(&self) -> f64 {
        std::f64::consts::SQRT_2 + 0.5 * (self.metrics.len() as f64).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_agrees_with_differences() {
        let mut stream = crate::stream::Stream::new(3, "evidence", 0);
        let points: Vec<Vec<f64>> = (0..9)
            .map(|i| vec![stream.uniform(), stream.uniform(), f64::from(i % 3)])
            .collect();
        let targets: Vec<f64> = points
            .iter()
            .map(|p| (4.0 * p[0]).sin() + p[1] * p[2])
            .collect();
        let metrics = [Metric::Square, Metric::Square, Metric::Mismatch];
        let learnt = NoiseModel::Learnt {
            low: 1e-6,
            log_mean: -4.0,
            log_variance: 1.0,
        };
        for (noise, mean) in [
            (learnt, MeanModel::Learnt),
            (learnt, MeanModel::Fixed(0.3)),
            (NoiseModel::Fixed(1e-3), MeanModel::Learnt),
        ] {
            let evidence = Evidence::new(&metrics, &points, &targets, noise, mean);
            let mut at = evidence.parameters(-0.4, -2.0);
            at[1] = 0.7;
            at[3] = 0.2;
            let mut gradient = vec![0.0; at.len()];
            evidence.loss(&at, &mut gradient);
            let mut scrap = vec![0.0; at.len()];
            for k in 0..at.len() {
                let width = 1e-5;
                let (mut low, mut high) = (at.clone(), at.clone());
                low[k] -= width;
                high[k] += width;
                let rise = evidence.loss(&high, &mut scrap) - evidence.loss(&low, &mut scrap);
                let slope = rise / (2.0 * width);
                let error = (slope - gradient[k]).abs();
                assert!(
                    error < 1e-5 * (1.0 + slope.abs()),
                    "{noise:?} {k}: {slope} {gradient:?}"
                );
            }
        }
    }
}
