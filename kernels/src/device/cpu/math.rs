//! Activations and the exponential they stand on, branch-free so that loops over them vectorize.
//!
//! The system's exp is a call for each value; this one is a dozen operations on a whole register.

/// eˣ within 2 units in the last place; x is held to [−87.3, 88.3], NaN stays NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; eʳ by its Taylor polynomial of degree 7; times 2ⁿ through
/// the exponent bits.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5·2²³ rounds to a whole number and leaves it in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    // ln 2 in two parts: the first has few enough bits that n·LN2_HIGH is exact.
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.3);
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut sum = 1.0 / 5_040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * r + coefficient;
    }
    let exponent = rounded
        .to_bits()
        .wrapping_sub(ROUNDER.to_bits())
        .wrapping_add(127);
    // The mask keeps a NaN's payload out of the sign; the product is NaN either way.
    sum * f32::from_bits((exponent & 0xff) << 23)
}

#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    // Unlike max, this lets NaN through: a diverged network must not look healthy.
    if x < 0.0 { 0.0 } else { x }
}

#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    // By the magnitude, so that the function is odd and exp cannot overflow.
    let small = exp(-2.0 * x.abs());
    ((1.0 - small) / (1.0 + small)).copysign(x)
}

/// √(2/π)
const GELU_SCALE: f32 = 0.797_884_6;
const GELU_CUBE: f32 = 0.044_715;

#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x)))
}

/// The derivative of [`gelu`].
#[inline(always)]
pub(super) fn gelu_slope(x: f32) -> f32 {
    let t = tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x));
    let inner = GELU_SCALE * (1.0 + 3.0 * GELU_CUBE * x * x);
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_two_units() {
        let mut worst = 0.0f64;
        for step in 0..=2_000_000 {
            let x = -87.0 + step as f32 * (175.0 / 2_000_000.0);
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 2.4e-7, "worst relative error {worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY).is_finite());
    }

    #[test]
    fn activations_agree_with_double_precision() {
        for step in -4_000..=4_000 {
            let x = step as f32 * 0.005;
            let wide = f64::from(x);
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044715 * wide.powi(3));
            for (name, found, expected) in [
                ("sigmoid", sigmoid(x), 1.0 / (1.0 + (-wide).exp())),
                ("tanh", tanh(x), wide.tanh()),
                ("gelu", gelu(x), 0.5 * wide * (1.0 + inner.tanh())),
            ] {
                let error = (f64::from(found) - expected).abs();
                assert!(
                    error < 4e-7 * expected.abs().max(1.0),
                    "{name}({x}): {found} {expected}"
                );
            }
        }
        assert!(relu(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && gelu(f32::NAN).is_nan());
    }
}
