//! Minimization of a smooth function in a box: projected L-BFGS.
//!
//! The two-loop recursion of Nocedal (1980) on the coordinates that are not held at a bound, with
//! a backtracking search along the projected path. Holds no knowledge of what it minimizes.

/// Pairs of steps that the curvature is estimated from.
const MEMORY: usize = 8;
/// A step must win at least this share of what its slope promised.
const ARMIJO: f64 = 1e-4;
const BACKTRACKS_MAX: usize = 20;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) steps_max: usize,
    /// Largest entry of the projected gradient that counts as zero.
    pub(crate) gradient: f64,
    /// Relative decrease per step that counts as none.
    pub(crate) decrease: f64,
    /// Longest first step, in any coordinate.
    pub(crate) first_step: f64,
}

pub(crate) struct Minimum {
    pub(crate) at: Vec<f64>,
    pub(crate) value: f64,
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

/// Descends from `start`, clamped into `bounds`. `function` returns the value and writes the
/// gradient; a value that is not finite ends the descent there. Never returns a worse point.
pub(crate) fn minimize(
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
    start: &[f64],
    bounds: &[(f64, f64)],
    limits: Limits,
) -> Minimum {
    let mut at = project(start.iter().copied(), bounds);
    let mut gradient = vec![0.0; at.len()];
    let mut value = function(&at, &mut gradient);
    let mut pairs: Vec<Pair> = Vec::new();
    for _ in 0..limits.steps_max {
        if !value.is_finite() || gradient.iter().any(|slope| !slope.is_finite()) {
            break;
        }
        let free = free_coordinates(&at, &gradient, bounds);
        let steepest = free.iter().zip(&gradient).filter(|(free, _)| **free);
        let steepest = steepest.fold(0.0, |most: f64, (_, slope)| most.max(slope.abs()));
        if steepest <= limits.gradient {
            break;
        }
        let mut direction = newton_direction(&gradient, &free, &pairs);
        if pairs.is_empty() {
            let shrink = (limits.first_step / steepest).min(1.0);
            direction.iter_mut().for_each(|entry| *entry *= shrink);
        }
        let mut next_gradient = vec![0.0; at.len()];
        let Some((next, next_value)) = search(
            &mut function,
            (&at, value, &gradient),
            &direction,
            bounds,
            &mut next_gradient,
        ) else {
            if pairs.is_empty() {
                break;
            }
            // The curvature misled; start over with the slope alone.
            pairs.clear();
            continue;
        };
        remember(&mut pairs, (&at, &gradient), (&next, &next_gradient));
        let decrease = value - next_value;
        (at, value, gradient) = (next, next_value, next_gradient);
        if decrease <= limits.decrease * value.abs().max(1.0) {
            break;
        }
    }
    Minimum { at, value }
}

fn project(point: impl Iterator<Item = f64>, bounds: &[(f64, f64)]) -> Vec<f64> {
    point
        .zip(bounds)
        .map(|(entry, (low, high))| entry.max(*low).min(*high))
        .collect()
}

fn free_coordinates(at: &[f64], gradient: &[f64], bounds: &[(f64, f64)]) -> Vec<bool> {
    at.iter()
        .zip(gradient)
        .zip(bounds)
        .map(|((entry, slope), (low, high))| {
            !((*entry <= *low && *slope > 0.0) || (*entry >= *high && *slope < 0.0))
        })
        .collect()
}

fn newton_direction(gradient: &[f64], free: &[bool], pairs: &[Pair]) -> Vec<f64> {
    let masked = |vector: &[f64]| -> Vec<f64> {
        vector
            .iter()
            .zip(free)
            .map(|(entry, free)| if *free { *entry } else { 0.0 })
            .collect()
    };
    let slope = masked(gradient);
    let mut direction = slope.clone();
    let mut shares = vec![0.0; pairs.len()];
    for (pair, share) in pairs.iter().zip(&mut shares).rev() {
        *share = dot(&pair.step, &direction) / pair.curvature;
        add(&mut direction, -*share, &pair.change);
    }
    if let Some(last) = pairs.last() {
        let scale = last.curvature / dot(&last.change, &last.change);
        direction.iter_mut().for_each(|entry| *entry *= scale);
    }
    for (pair, share) in pairs.iter().zip(&shares) {
        let back = dot(&pair.change, &direction) / pair.curvature;
        add(&mut direction, share - back, &pair.step);
    }
    let direction: Vec<f64> = masked(&direction).iter().map(|entry| -entry).collect();
    if dot(&direction, &slope) < 0.0 {
        direction
    } else {
        slope.iter().map(|entry| -entry).collect()
    }
}

/// Halves the step until it wins enough. Fills `next_gradient` at the point it returns.
fn search(
    function: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
    (at, value, gradient): (&[f64], f64, &[f64]),
    direction: &[f64],
    bounds: &[(f64, f64)],
    next_gradient: &mut [f64],
) -> Option<(Vec<f64>, f64)> {
    let mut length = 1.0;
    for _ in 0..BACKTRACKS_MAX {
        let path = at
            .iter()
            .zip(direction)
            .map(|(entry, slope)| entry + length * slope);
        let next = project(path, bounds);
        let promised: f64 = next
            .iter()
            .zip(at)
            .zip(gradient)
            .map(|((to, from), slope)| (to - from) * slope)
            .sum();
        if promised >= 0.0 {
            return None;
        }
        let next_value = function(&next, next_gradient);
        if next_value <= value + ARMIJO * promised {
            return Some((next, next_value));
        }
        // The parabola through the two values and the slope, kept within sensible halving.
        let bend = 2.0 * (next_value - value - promised);
        let shrink = if bend.is_finite() {
            (-promised / bend).clamp(0.1, 0.5)
        } else {
            0.1
        };
        length *= shrink;
    }
    None
}

fn remember(pairs: &mut Vec<Pair>, from: (&[f64], &[f64]), to: (&[f64], &[f64])) {
    let difference = |to: &[f64], from: &[f64]| -> Vec<f64> {
        to.iter().zip(from).map(|(to, from)| to - from).collect()
    };
    let step = difference(to.0, from.0);
    let change = difference(to.1, from.1);
    let curvature = dot(&step, &change);
    if curvature > 1e-12 * dot(&change, &change) && curvature.is_finite() {
        if pairs.len() == MEMORY {
            pairs.remove(0);
        }
        pairs.push(Pair {
            step,
            change,
            curvature,
        });
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

fn add(vector: &mut [f64], factor: f64, other: &[f64]) {
    vector
        .iter_mut()
        .zip(other)
        .for_each(|(entry, other)| *entry += factor * other);
}
