//! The normal distribution's functions that expected improvement needs, good far into the tail.
//!
//! Holds numbers only.

/// `ln √(2π)`.
const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_7;
/// Below minus this, tails come from the continued fraction.
const TAIL: f64 = 2.5;

/// Improvement in units of the spread, `h(z) = φ(z) + z Φ(z)`, and its slopes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Improvement {
    /// `ln h(z)`.
    pub(crate) log: f64,
    /// `Φ(z) / h(z)`.
    pub(crate) by_mean: f64,
    /// `φ(z) / h(z)`.
    pub(crate) by_spread: f64,
}

/// `h(z)` without underflow: for `z` far below zero the logarithm is about `-z²/2`.
pub(crate) fn improvement(z: f64) -> Improvement {
    if z > -TAIL {
        let density = density(z);
        let below = cumulative(z);
        let h = density + z * below;
        return Improvement {
            log: h.ln(),
            by_mean: below / h,
            by_spread: density / h,
        };
    }
    // Mills' ratio is 1 / (t + c), so h = φ c / (t + c): no difference of near equals.
    let t = -z;
    let c = mills_fraction(t);
    Improvement {
        log: -0.5 * t * t - LN_SQRT_TAU + (c / (t + c)).ln(),
        by_mean: 1.0 / c,
        by_spread: (t + c) / c,
    }
}

/// `Φ(z)`.
pub(crate) fn cumulative(z: f64) -> f64 {
    if z > TAIL {
        1.0 - upper_tail(z)
    } else if z < -TAIL {
        upper_tail(-z)
    } else {
        0.5 + density(z) * series(z)
    }
}

/// `ln Φ(z)` and its slope.
pub(crate) fn log_cumulative(z: f64) -> (f64, f64) {
    if z < -TAIL {
        let t = -z;
        let inverse = t + mills_fraction(t);
        return (-0.5 * t * t - LN_SQRT_TAU - inverse.ln(), inverse);
    }
    let below = cumulative(z);
    (below.ln(), density(z) / below)
}

fn density(z: f64) -> f64 {
    (-0.5 * z * z - LN_SQRT_TAU).exp()
}

fn upper_tail(t: f64) -> f64 {
    density(t) / (t + mills_fraction(t))
}

/// `(Φ(z) - ½) / φ(z)` by its power series, for small `|z|`.
fn series(z: f64) -> f64 {
    let square = z * z;
    let mut term = z;
    let mut sum = z;
    let mut odd = 1.0;
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= square / odd;
        sum += term;
    }
    sum
}

/// `c` in Laplace's continued fraction `1 / (t + c)` of Mills' ratio, `c = 1/(t + 2/(t + …))`.
fn mills_fraction(t: f64) -> f64 {
    let terms = if t > 8.0 { 24 } else { 90 };
    let mut c = 0.0;
    for k in (1..=terms).rev() {
        c = f64::from(k) / (t + c);
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_agree_with_tables() {
        // Φ from tables; ln h for the tail from 50-digit arithmetic.
        let rows = [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (-1.0, 0.158_655_253_931_457_05),
            (-2.5, 0.006_209_665_325_776_132),
            (-2.500_001, 0.006_209_647_797_497_55),
            (3.0, 0.998_650_101_968_369_9),
            (-6.0, 9.865_876_450_377e-10),
        ];
        for (z, expected) in rows {
            let found = cumulative(z);
            assert!(
                (found / expected - 1.0).abs() < 1e-11,
                "Φ({z}) = {found}, not {expected}"
            );
            let (log, _) = log_cumulative(z);
            assert!((log - expected.ln()).abs() < 1e-11, "ln Φ({z}) = {log}");
        }
    }

    #[test]
    fn slopes_agree_with_differences_on_both_sides_of_every_seam() {
        for z in [-40.0, -8.1, -7.9, -2.6, -2.5, -2.4, -0.3, 0.0, 1.7, 6.0] {
            let width = 1e-5;
            let (low, high) = (improvement(z - width), improvement(z + width));
            let slope = (high.log - low.log) / (2.0 * width);
            let here = improvement(z);
            // dh/dz = Φ.
            assert!(
                (slope / here.by_mean - 1.0).abs() < 1e-5,
                "z {z}: {slope} {here:?}"
            );
            let (low, high) = (log_cumulative(z - width).0, log_cumulative(z + width).0);
            let slope = (high - low) / (2.0 * width);
            let found = log_cumulative(z).1;
            assert!(
                (slope - found).abs() < 1e-5 * found.max(1e-4),
                "z {z}: {slope} {found}"
            );
        }
    }

    #[test]
    fn the_far_tail_stays_finite() {
        for z in [-1e2, -1e4, -1e8, -1e150] {
            let found = improvement(z);
            assert!(found.log < 0.0 && found.by_mean > 0.0, "z {z}: {found:?}");
        }
    }
}
