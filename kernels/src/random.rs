//! Named random streams: one seed and a name give one reproducible sequence.
//!
//! The draws are written out here (integers by rejection, normals by Box and Muller) so that a
//! stream stays the same when the random crate changes its samplers. No entropy of the system.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A sequence of draws that depends on nothing but a seed and a name.
#[derive(Clone, Debug)]
pub struct Stream {
    source: Pcg64Mcg,
    spare_normal: Option<f64>,
}

impl Stream {
    /// The stream called `name` of `seed`. Streams of different names are unrelated, so adding a
    /// consumer changes nobody else's numbers.
    #[must_use]
    pub fn named(seed: u64, name: &str) -> Self {
        Self {
            source: Pcg64Mcg::seed_from_u64(hash(seed, name)),
            spare_normal: None,
        }
    }

    /// Any 64 bits, uniform.
    pub fn bits(&mut self) -> u64 {
        self.source.next_u64()
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..bound`, without bias. `bound` must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "a draw from nothing");
        let bound = bound as u64;
        // Rejects the incomplete last run of multiples; under one draw in two is refused.
        let limit = u64::MAX - u64::MAX % bound;
        loop {
            let draw = self.bits();
            if draw < limit {
                return (draw % bound) as usize;
            }
        }
    }

    /// Standard normal (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.unit();
        self.spare_normal = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// Puts the items into a uniformly drawn order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// 64 bits from a seed and a name: FNV-1a over the bytes, then the finalizer of splitmix64.
#[must_use]
pub fn hash(seed: u64, name: &str) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325u64;
    for byte in seed.to_le_bytes().iter().chain(name.as_bytes()) {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_name_and_seed() {
        let draw = |seed, name: &str| Stream::named(seed, name).bits();
        assert_eq!(draw(7, "init"), draw(7, "init"));
        assert_ne!(draw(7, "init"), draw(7, "shuffle"));
        assert_ne!(draw(7, "init"), draw(8, "init"));
    }

    #[test]
    fn draws_have_their_moments() {
        let mut stream = Stream::named(1, "moments");
        let n = 200_000;
        let normals: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let mean = normals.iter().sum::<f64>() / n as f64;
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.02, "variance {variance}");
        let mut counts = [0usize; 7];
        (0..70_000).for_each(|_| counts[stream.below(7)] += 1);
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..1000).collect();
        Stream::named(3, "shuffle").shuffle(&mut items);
        assert_ne!(items[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        items.sort_unstable();
        assert!(items.iter().enumerate().all(|(i, item)| i == *item));
    }
}
