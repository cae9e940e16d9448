//! Random streams derived by name from a seed, so that one use never shifts another.
//!
//! Holds the derivation and the two distributions the search needs. Refuses any other randomness.

use rand::Rng;
use rand_pcg::Pcg64;

/// A stream of random numbers with a name.
pub(crate) struct Stream(Pcg64);

impl Stream {
    /// The stream that belongs to `(seed, name, index)`.
    pub(crate) fn new(seed: u64, name: &str, index: u64) -> Stream {
        let low = word(seed, name, index);
        let high = mix(low ^ 0x5851_f42d_4c95_7f2d);
        let sequence = mix(high ^ index);
        Stream(Pcg64::new(
            u128::from(high) << 64 | u128::from(low),
            u128::from(sequence),
        ))
    }

    /// Uniform in `0..1`, with 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Uniform in `0..count`; 0 if `count` is 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((self.uniform() * count as f64) as usize).min(count.saturating_sub(1))
    }
}

/// A word that belongs to `(seed, name, index)`: FNV-1a over the name, mixed with the rest.
pub(crate) fn word(seed: u64, name: &str, index: u64) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(mix(mix(seed) ^ hash) ^ index)
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
