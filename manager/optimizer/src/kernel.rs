//! The Matérn 5/2 covariance with one length scale per parameter.
//!
//! Lines differ by the square of their difference; choices by being equal or not (which is what
//! one-hot coordinates with a shared length scale give). Holds no data.

use crate::axis::Axis;

const SQRT_5: f64 = 2.236_067_977_499_79;

/// How two coordinates of an axis differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    Square,
    Mismatch,
}

#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) metrics: Vec<Metric>,
    /// `1 / ℓ²` per axis.
    pub(crate) weights: Vec<f64>,
    /// The variance of the function.
    pub(crate) signal: f64,
}

/// The covariance and its slope: `dk/dxᵢ = -bend · (xᵢ - zᵢ) · wᵢ`, `dk/d ln ℓᵢ = bend · δᵢ · wᵢ`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covariance {
    pub(crate) value: f64,
    pub(crate) bend: f64,
}

pub(crate) fn metrics(axes: &[Axis]) -> Vec<Metric> {
    axes.iter()
        .map(|axis| match axis {
            Axis::Line(_) => Metric::Square,
            Axis::Choice { .. } => Metric::Mismatch,
        })
        .collect()
}

impl Metric {
    pub(crate) fn difference(self, left: f64, right: f64) -> f64 {
        match self {
            Metric::Square => (left - right) * (left - right),
            Metric::Mismatch => f64::from(u8::from(left != right)),
        }
    }
}

impl Kernel {
    pub(crate) fn between(&self, left: &[f64], right: &[f64]) -> Covariance {
        let mut square = 0.0;
        for axis in 0..self.weights.len() {
            let difference = self.metrics[axis].difference(left[axis], right[axis]);
            square += difference * self.weights[axis];
        }
        matern(square, self.signal)
    }

    /// Adds `factor · dk(x, z)/dx` to `slopes`; choices have no slope.
    pub(crate) fn add_slopes(&self, x: &[f64], z: &[f64], factor: f64, slopes: &mut [f64]) {
        for axis in 0..self.weights.len() {
            match self.metrics[axis] {
                Metric::Square => {
                    slopes[axis] -= factor * (x[axis] - z[axis]) * self.weights[axis];
                }
                Metric::Mismatch => {}
            }
        }
    }
}

/// The covariance at a squared scaled distance.
pub(crate) fn matern(square: f64, signal: f64) -> Covariance {
    let distance = SQRT_5 * square.sqrt();
    let decay = signal * (-distance).exp();
    Covariance {
        value: (1.0 + distance + distance * distance / 3.0) * decay,
        bend: (5.0 / 3.0) * (1.0 + distance) * decay,
    }
}
