//! The search for the point that promises most.
//!
//! Many candidates are scored; the best few are improved: lines by gradient, grids and choices by
//! trying their neighbours. Holds no model; returns coordinates of real values, best first.

use crate::acquisition::Acquisition;
use crate::axis::Axis;
use crate::descent::{self, Limits};
use crate::design::{self, Sobol};
use crate::stream::Stream;

/// Space-filling candidates.
const SOBOL_CANDIDATES: u64 = 512;
/// Finite spaces up to this size are scored whole.
const ENUMERATED_MAX: u64 = 1024;
/// Candidates sprayed round each anchor, per radius.
const SPRAYED: usize = 12;
/// Radii of the sprays, in units of the unit cube.
const RADII: [f64; 4] = [0.2, 0.05, 0.01, 0.001];
/// Candidates that are improved: the best of the space-filling ones and the best of the sprayed.
const REFINED_WIDE: usize = 5;
const REFINED_NEAR: usize = 3;
/// Most alternatives of one choice or grid tried in a sweep.
const NEIGHBOURS_MAX: u64 = 16;
/// Combinations of choices tried at each anchor.
const COMBINATIONS_MAX: u64 = 64;
/// Up to so many sweeps over the grids and choices of one candidate.
const SWEEPS_MAX: usize = 3;
const REFINE_LIMITS: Limits = Limits {
    steps_max: 30,
    gradient: 1e-5,
    decrease: 1e-7,
    first_step: 0.05,
};

/// What the search needs besides the score.
pub(crate) struct Field<'a> {
    pub(crate) axes: &'a [Axis],
    pub(crate) seed: u64,
    /// The trial that is looked for; shifts the candidates.
    pub(crate) index: u64,
    /// Points worth looking near to, best first.
    pub(crate) anchors: Vec<Vec<f64>>,
}

/// Coordinates with a high score, best first.
pub(crate) fn search(acquisition: &Acquisition<'_>, field: &Field<'_>) -> Vec<Vec<f64>> {
    let mut found: Vec<(f64, Vec<f64>)> = Vec::new();
    let whole = design::enumerate(field.axes, ENUMERATED_MAX);
    let is_whole = whole.is_some();
    let mut wide = scored(
        acquisition,
        whole.unwrap_or_else(|| sobol_candidates(field)),
    );
    if is_whole {
        return wide.into_iter().map(|(_, x)| x).collect();
    }
    let mut near = scored(acquisition, near_candidates(field));
    let spare = wide.split_off(REFINED_WIDE.min(wide.len()));
    let spare_near = near.split_off(REFINED_NEAR.min(near.len()));
    for (score, x) in wide.into_iter().chain(near) {
        let refined = refine(acquisition, field, &x, score);
        found.push(refined);
        found.push((score, x));
    }
    found.extend(spare);
    found.extend(spare_near);
    sort(&mut found);
    found.into_iter().map(|(_, x)| x).collect()
}

fn sobol_candidates(field: &Field<'_>) -> Vec<Vec<f64>> {
    let sobol = Sobol::new(field.axes, field.seed, "candidates", field.index);
    (0..SOBOL_CANDIDATES).map(|at| sobol.get(at)).collect()
}

/// Sprays round the anchors, and the anchors with other choices.
fn near_candidates(field: &Field<'_>) -> Vec<Vec<f64>> {
    let mut stream = Stream::new(field.seed, "spray", field.index);
    let mut candidates = Vec::new();
    for anchor in &field.anchors {
        for radius in RADII {
            for _ in 0..SPRAYED {
                candidates.push(sprayed(field.axes, anchor, radius, &mut stream));
            }
        }
    }
    if let Some(best) = field.anchors.first() {
        candidates.extend(combinations(field.axes, best));
    }
    candidates
}

/// A random neighbour: some coordinates moved, or else one of them.
fn sprayed(axes: &[Axis], anchor: &[f64], radius: f64, stream: &mut Stream) -> Vec<f64> {
    let certain = stream.below(axes.len());
    let moved = (8.0 / axes.len() as f64).min(1.0);
    let chances = axes.iter().zip(anchor).enumerate();
    chances
        .map(|(at, (axis, coordinate))| {
            let (chance, normal, uniform) = (stream.uniform(), stream.normal(), stream.uniform());
            match axis {
                Axis::Line(_) if at == certain || chance < moved => {
                    axis.snap(reflect(coordinate + radius * normal))
                }
                Axis::Choice { .. } if chance < radius => axis.draw(uniform),
                Axis::Line(_) | Axis::Choice { .. } => *coordinate,
            }
        })
        .collect()
}

fn reflect(coordinate: f64) -> f64 {
    let folded = coordinate.rem_euclid(2.0);
    if folded > 1.0 { 2.0 - folded } else { folded }
}

/// A point with every combination of its choices, if there are few.
fn combinations(axes: &[Axis], point: &[f64]) -> Vec<Vec<f64>> {
    let places: Vec<(usize, &Axis)> = axes
        .iter()
        .enumerate()
        .filter(|(_, axis)| matches!(axis, Axis::Choice { .. }))
        .collect();
    let choices: Vec<Axis> = places.iter().map(|(_, axis)| (*axis).clone()).collect();
    let listed = design::enumerate(&choices, COMBINATIONS_MAX).unwrap_or_default();
    let fill = |combination: Vec<f64>| {
        let mut filled = point.to_vec();
        for ((at, _), choice) in places.iter().zip(combination) {
            filled[*at] = choice;
        }
        filled
    };
    listed.into_iter().map(fill).collect()
}

fn scored(acquisition: &Acquisition<'_>, candidates: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let mut scored: Vec<(f64, Vec<f64>)> = candidates
        .into_iter()
        .map(|x| (acquisition.score(&x), x))
        .collect();
    sort(&mut scored);
    scored
}

/// Best first; scores that are not numbers last.
fn sort(scored: &mut [(f64, Vec<f64>)]) {
    let rank = |score: f64| {
        if score.is_nan() {
            f64::NEG_INFINITY
        } else {
            score
        }
    };
    scored.sort_by(|left, right| rank(right.0).total_cmp(&rank(left.0)));
}

fn refine(
    acquisition: &Acquisition<'_>,
    field: &Field<'_>,
    start: &[f64],
    score: f64,
) -> (f64, Vec<f64>) {
    let lines = |grids: Grids| -> Vec<usize> {
        let axes = field.axes.iter().enumerate();
        axes.filter(|(_, axis)| match axis {
            Axis::Line(_) => grids == Grids::Relaxed || axis.levels().is_none(),
            Axis::Choice { .. } => false,
        })
        .map(|(at, _)| at)
        .collect()
    };
    let mut best = (score, start.to_vec());
    let relaxed = snapped(
        field.axes,
        &climb(acquisition, start, &lines(Grids::Relaxed)),
    );
    keep_better(&mut best, acquisition.score(&relaxed), relaxed);
    if field.axes.iter().all(|axis| axis.levels().is_none()) {
        return best;
    }
    sweep(acquisition, field.axes, &mut best);
    let climbed = snapped(
        field.axes,
        &climb(acquisition, &best.1, &lines(Grids::Held)),
    );
    keep_better(&mut best, acquisition.score(&climbed), climbed);
    best
}

/// Whether a climb may move along the lines that are grids.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grids {
    Relaxed,
    Held,
}

/// Climbs along some axes by gradient.
fn climb(acquisition: &Acquisition<'_>, start: &[f64], lines: &[usize]) -> Vec<f64> {
    let mut x = start.to_vec();
    let from: Vec<f64> = lines.iter().map(|at| start[*at]).collect();
    let bounds = vec![(0.0, 1.0); lines.len()];
    let mut at = start.to_vec();
    let minimum = descent::minimize(
        |values, gradient| {
            lines
                .iter()
                .zip(values)
                .for_each(|(axis, value)| at[*axis] = *value);
            let (score, slopes) = acquisition.score_and_slopes(&at);
            lines
                .iter()
                .zip(gradient)
                .for_each(|(axis, slope)| *slope = -slopes[*axis]);
            -score
        },
        &from,
        &bounds,
        REFINE_LIMITS,
    );
    lines
        .iter()
        .zip(minimum.at)
        .for_each(|(axis, value)| x[*axis] = value);
    x
}

/// Moves one grid or choice at a time to its best neighbour, until nothing is won.
fn sweep(acquisition: &Acquisition<'_>, axes: &[Axis], best: &mut (f64, Vec<f64>)) {
    for _ in 0..SWEEPS_MAX {
        let before = best.0;
        for (at, axis) in axes.iter().enumerate() {
            for neighbour in neighbours(axis, best.1[at]) {
                let mut x = best.1.clone();
                x[at] = neighbour;
                keep_better(best, acquisition.score(&x), x);
            }
        }
        if best.0 <= before {
            break;
        }
    }
}

/// Every other value of a small axis; the adjacent values of a large grid; none of a continuum.
fn neighbours(axis: &Axis, coordinate: f64) -> Vec<f64> {
    let (Some(levels), Some(here)) = (axis.levels(), axis.level_at(coordinate)) else {
        return Vec::new();
    };
    let all = match axis {
        Axis::Choice { .. } => 0..levels.min(crate::space::CHOICES_MAX as u64),
        Axis::Line(_) if levels <= NEIGHBOURS_MAX => 0..levels,
        Axis::Line(_) => here.saturating_sub(2)..(here + 3).min(levels),
    };
    all.filter(|level| *level != here)
        .map(|level| axis.level(level))
        .collect()
}

fn snapped(axes: &[Axis], x: &[f64]) -> Vec<f64> {
    axes.iter()
        .zip(x)
        .map(|(axis, coordinate)| axis.snap(*coordinate))
        .collect()
}

fn keep_better(best: &mut (f64, Vec<f64>), score: f64, x: Vec<f64>) {
    if score > best.0 {
        *best = (score, x);
    }
}
