//! Space-filling points: a scrambled Sobol' sequence over the axes.
//!
//! Holds the sequence and the listing of small spaces. Refuses to look at any result.

use crate::axis::Axis;
use crate::stream;

/// The sequence's own limit on its index; beyond it another scrambling continues.
const SEQUENCE_LEN: u64 = 1 << 16;

/// A scrambled Sobol' sequence with a name (Owen scrambling; Burley, 2020).
pub(crate) struct Sobol<'a> {
    axes: &'a [Axis],
    seed: u64,
    name: &'static str,
    index: u64,
}

impl<'a> Sobol<'a> {
    pub(crate) fn new(axes: &'a [Axis], seed: u64, name: &'static str, index: u64) -> Sobol<'a> {
        Sobol {
            axes,
            seed,
            name,
            index,
        }
    }

    /// Coordinates number `at` of the sequence.
    pub(crate) fn get(&self, at: u64) -> Vec<f64> {
        let epoch = at / SEQUENCE_LEN;
        let scramble = stream::word(self.seed, self.name, self.index.wrapping_add(epoch << 32));
        let number = (at % SEQUENCE_LEN) as u32;
        self.axes
            .iter()
            .enumerate()
            .map(|(dimension, axis)| {
                let dimension = dimension as u32;
                axis.draw(f64::from(sobol_burley::sample(
                    number,
                    dimension,
                    scramble as u32,
                )))
            })
            .collect()
    }
}

/// Every point of a finite space in a fixed order, if there are at most `count_max`.
pub(crate) fn enumerate(axes: &[Axis], count_max: u64) -> Option<Vec<Vec<f64>>> {
    let levels: Vec<u64> = axes.iter().map(Axis::levels).collect::<Option<_>>()?;
    let count = levels
        .iter()
        .try_fold(1u64, |product, levels| product.checked_mul(*levels))?;
    if count > count_max {
        return None;
    }
    let point = |mut number: u64| -> Vec<f64> {
        axes.iter()
            .zip(&levels)
            .map(|(axis, levels)| {
                let level = number % levels;
                number /= levels;
                axis.level(level)
            })
            .collect()
    };
    Some((0..count).map(point).collect())
}
