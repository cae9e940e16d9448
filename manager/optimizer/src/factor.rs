//! Cholesky factors of covariance matrices and what is solved with them.
//!
//! The factorization and the inverse are faer's; the factor is kept row by row, because the
//! search solves for one right-hand side at a time. Holds no statistics.

use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::{Mat, Side};

/// First and last relative jitter added to the diagonal when a matrix is not positive definite.
const JITTER_MIN: f64 = 1e-10;
const JITTER_MAX: f64 = 1e-2;

/// `A = L Lᵀ`, `L` lower triangular.
#[derive(Clone)]
pub(crate) struct Factor {
    size: usize,
    /// `L`, row by row, `size` entries each.
    rows: Vec<f64>,
    llt: Llt<f64>,
}

impl Factor {
    /// Factors the symmetric matrix whose lower triangle is in `matrix`. Adds jitter to the
    /// diagonal, tenfold more each time, while that fails; `None` if it fails to the end.
    pub(crate) fn new(mut matrix: Mat<f64>) -> Option<Factor> {
        let size = matrix.nrows();
        let trace = (0..size).fold(0.0, |sum, i| sum + matrix[(i, i)]);
        if !trace.is_finite() {
            return None;
        }
        let scale = trace / size.max(1) as f64;
        let mut jitter = 0.0;
        loop {
            if let Ok(llt) = Llt::new(matrix.as_ref(), Side::Lower) {
                let lower = llt.L();
                let mut rows = vec![0.0; size * size];
                for i in 0..size {
                    for j in 0..=i {
                        rows[i * size + j] = lower[(i, j)];
                    }
                }
                let sound = (0..size).all(|i| {
                    let pivot = rows[i * size + i];
                    pivot.is_finite() && pivot > 0.0
                });
                if sound {
                    return Some(Factor { size, rows, llt });
                }
            }
            let next = if jitter == 0.0 {
                JITTER_MIN
            } else {
                jitter * 10.0
            };
            if next > JITTER_MAX * 1.5 {
                return None;
            }
            for i in 0..size {
                matrix[(i, i)] += (next - jitter) * scale;
            }
            jitter = next;
        }
    }

    /// `ln det A`.
    pub(crate) fn log_determinant(&self) -> f64 {
        (0..self.size)
            .map(|i| 2.0 * self.rows[i * self.size + i].ln())
            .sum()
    }

    /// `A⁻¹`.
    pub(crate) fn inverse(&self) -> Mat<f64> {
        self.llt.inverse()
    }

    /// Overwrites `b` with `L⁻¹ b`.
    pub(crate) fn solve_lower(&self, b: &mut [f64]) {
        for i in 0..self.size {
            let row = &self.rows[i * self.size..][..=i];
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
    }

    /// Overwrites `b` with `L⁻ᵀ b`.
    pub(crate) fn solve_upper(&self, b: &mut [f64]) {
        for i in (0..self.size).rev() {
            let row = &self.rows[i * self.size..][..=i];
            b[i] /= row[i];
            let pivot = b[i];
            b[..i]
                .iter_mut()
                .zip(row)
                .for_each(|(entry, factor)| *entry -= pivot * factor);
        }
    }

    /// Overwrites `b` with `A⁻¹ b`.
    pub(crate) fn solve(&self, b: &mut [f64]) {
        self.solve_lower(b);
        self.solve_upper(b);
    }

    /// `L x`.
    pub(crate) fn times(&self, x: &[f64]) -> Vec<f64> {
        (0..self.size)
            .map(|i| dot(&self.rows[i * self.size..][..=i], &x[..=i]))
            .collect()
    }
}

/// The inner product in four interleaved sums, which the compiler turns into vector code.
pub(crate) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (left_body, left_rest) = left.split_at(left.len() & !3);
    let (right_body, right_rest) = right.split_at(left_body.len());
    for (left, right) in left_body.chunks_exact(4).zip(right_body.chunks_exact(4)) {
        for lane in 0..4 {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f64 = left_rest
        .iter()
        .zip(right_rest)
        .map(|(left, right)| left * right)
        .sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}
