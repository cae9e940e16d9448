//! The optimizer itself: a function from everything known to the points worth trying next.
//!
//! Holds the order of its means: the prior point, the space-filling design, the model, and what is
//! done when a model or an unused point is not to be had. Holds no state between calls.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::acquisition::{Acquisition, Feasibility, View};
use crate::config::{Config, Goal, Noise, Observation};
use crate::design::{self, Sobol};
use crate::evidence::{Evidence, MeanModel, NoiseModel};
use crate::gp::{self, Gp};
use crate::kernel;
use crate::outputs;
use crate::point::Point;
use crate::search::{self, Field};
use crate::stream::Stream;

/// Most points one call suggests; more are not returned.
pub const SUGGESTIONS_MAX: usize = 1024;
/// Most values the model is fitted to: the best half and an even share of the others.
pub const MODELLED_MAX: usize = 512;
/// Most failures and most pending points the model looks at: the last ones in canonical order.
const FAILURES_MAX: usize = 128;
const PENDING_MAX: usize = 256;
/// Joint draws of what pending trials may return.
const SCENARIOS: usize = 16;
/// Readings of the values that are averaged over, while there are at most so many values.
const MODELS: usize = 4;
const MANY_MODELS_VALUES_MAX: usize = 128;
/// Up to this noise variance the fitted means stand for the function at the points observed.
const QUIET_NOISE: f64 = 1e-5;
/// Observed points that the search looks near to.
const ANCHORS: usize = 4;
/// Space-filling points tried for one that is unused.
const UNUSED_TRIES: u64 = 256;
/// Finite spaces up to this size are listed to find their unused points.
const LISTED_MAX: u64 = 1 << 16;
/// Space-filling points of which the design takes the least likely to fail.
const DESIGN_CHOICES: u64 = 8;
/// The noise variance of an exact objective, relative to the variance of its values.
const EXACT_NOISE: f64 = 1e-6;

/// The next `n` points (at most [`SUGGESTIONS_MAX`]), the first of which will be trial
/// `first_index`.
///
/// The result depends on the arguments only, and not on the order of `history` or `pending`;
/// asking for several points at once gives the same points as asking one by one, each time with
/// the former ones pending. Points that do not belong to the space are ignored, and so is a prior
/// that does not. On another processor the last bits of the arithmetic, and so the points, may
/// differ: keep suggestions, do not recompute them.
///
/// No point repeats one of `history` or `pending` while an unused one can be found; a finite space
/// that is used up is begun again, least tried points first.
///
/// Cost: see the crate's documentation; it grows with the cube of the number of values.
pub fn suggest(
    config: &Config,
    history: &[Observation],
    pending: &[Point],
    first_index: u64,
    n: usize,
) -> Vec<Point> {
    let mut known = Known::new(config, history, pending);
    let models = Models::default();
    (0..n.min(SUGGESTIONS_MAX) as u64)
        .map(|number| {
            let point = next(config, &known, &models, first_index.wrapping_add(number));
            known.add_pending(config, &point);
            point
        })
        .collect()
}

/// What the trials say, in coordinates and in canonical order.
struct Known {
    /// Best first.
    values: Vec<(Vec<f64>, f64)>,
    failed: Vec<Vec<f64>>,
    pending: Vec<Vec<f64>>,
    /// How often each point was tried or is pending.
    used: BTreeMap<Vec<u64>, u64>,
}

/// The fits, made when first needed. They depend on the finished trials only.
#[derive(Default)]
struct Models {
    objective: OnceCell<Vec<Gp>>,
    feasibility: OnceCell<Option<Feasibility>>,
}

impl Known {
    fn new(config: &Config, history: &[Observation], pending: &[Point]) -> Known {
        let mut known = Known {
            values: Vec::new(),
            failed: Vec::new(),
            pending: Vec::new(),
            used: BTreeMap::new(),
        };
        for observation in history {
            let Some(coords) = config.space.encode(&observation.point) else {
                continue;
            };
            known.count(config, &observation.point);
            match observation.outcome.value() {
                Some(value) => known.values.push((coords, value)),
                None => known.failed.push(coords),
            }
        }
        // Best first, so that both goals see mirrored values in the same order.
        known.values.sort_by(|left, right| {
            let order = match config.goal {
                Goal::Minimize => left.1.total_cmp(&right.1),
                Goal::Maximize => right.1.total_cmp(&left.1),
            };
            order.then_with(|| compare(&left.0, &right.0))
        });
        known.failed.sort_by(|left, right| compare(left, right));
        for point in pending {
            known.add_pending(config, point);
        }
        known
    }

    fn add_pending(&mut self, config: &Config, point: &Point) {
        if let Some(coords) = config.space.encode(point) {
            self.count(config, point);
            let at = self
                .pending
                .partition_point(|other| compare(other, &coords).is_lt());
            self.pending.insert(at, coords);
        }
    }

    fn count(&mut self, config: &Config, point: &Point) {
        *self.used.entry(config.space.key(point)).or_default() += 1;
    }

    fn times_used(&self, config: &Config, point: &Point) -> u64 {
        self.used
            .get(&config.space.key(point))
            .copied()
            .unwrap_or_default()
    }
}

fn compare(left: &[f64], right: &[f64]) -> std::cmp::Ordering {
    let pairs = left.iter().zip(right);
    pairs
        .map(|(left, right)| left.total_cmp(right))
        .find(|order| order.is_ne())
        .unwrap_or(std::cmp::Ordering::Equal)
}

fn next(config: &Config, known: &Known, models: &Models, index: u64) -> Point {
    if index == 0
        && let Some(prior) = config
            .prior
            .as_ref()
            .and_then(|prior| config.space.check(prior).ok())
        && known.times_used(config, &prior) == 0
    {
        return prior;
    }
    let promising = if wants_design(config, known) {
        designed(config, known, models, index)
    } else {
        modelled(config, known, models, index)
            .unwrap_or_else(|| designed(config, known, models, index))
    };
    promising
        .into_iter()
        .map(|coords| config.space.decode(&coords))
        .find(|point| known.times_used(config, point) == 0)
        .unwrap_or_else(|| unused(config, known, index))
}

/// Whether the space is not filled yet. Failures count half: they teach less, but must not keep a
/// study from its model forever.
fn wants_design(config: &Config, known: &Known) -> bool {
    let tried = known.values.len() + known.pending.len() + known.failed.len() / 2;
    known.values.len() < 2 || tried < config.startup
}

/// Space-filling points, the least likely to fail first.
fn designed(config: &Config, known: &Known, models: &Models, index: u64) -> Vec<Vec<f64>> {
    let axes = config.space.axes();
    let Some(feasibility) = models.feasibility(config, known) else {
        return vec![Sobol::new(axes, config.seed, "design", 0).get(index)];
    };
    let sobol = Sobol::new(axes, config.seed, "careful design", 0);
    let first = index.wrapping_mul(DESIGN_CHOICES);
    let mut points: Vec<(f64, Vec<f64>)> = (0..DESIGN_CHOICES)
        .map(|number| sobol.get(first.wrapping_add(number)))
        .map(|x| (feasibility.score(&x), x))
        .collect();
    points.sort_by(|left, right| right.0.total_cmp(&left.0));
    points.into_iter().map(|(_, x)| x).collect()
}

/// What the model finds promising, best first.
fn modelled(config: &Config, known: &Known, models: &Models, index: u64) -> Option<Vec<Vec<f64>>> {
    let objective = models.objective(config, known);
    let first = objective.first()?;
    let skipped = known.pending.len().saturating_sub(PENDING_MAX);
    let pending = &known.pending[skipped..];
    let noisy = objective.iter().any(|model| model.noise() > QUIET_NOISE);
    let views: Vec<View> = if pending.is_empty() && !noisy {
        objective.iter().map(|model| view(model.clone())).collect()
    } else {
        let scenarios = SCENARIOS.div_ceil(objective.len());
        let mut stream = Stream::new(config.seed, "scenarios", index);
        let imagined = objective.iter();
        imagined
            .filter_map(|model| model.imagine(pending, scenarios, &mut stream))
            .map(view)
            .collect()
    };
    if views.is_empty() {
        return None;
    }
    let acquisition = Acquisition {
        views,
        feasibility: models.feasibility(config, known),
    };
    let field = Field {
        axes: config.space.axes(),
        seed: config.seed,
        index,
        anchors: anchors(first),
    };
    Some(search::search(&acquisition, &field))
}

fn view(model: Gp) -> View {
    let lowest = |means: &Vec<f64>| means.iter().copied().fold(f64::INFINITY, f64::min);
    let best = model.fitted().iter().map(lowest).collect();
    View { model, best }
}

/// The points with the lowest fitted means, all different.
fn anchors(objective: &Gp) -> Vec<Vec<f64>> {
    let fitted = &objective.fitted()[0];
    let mut order: Vec<usize> = (0..fitted.len()).collect();
    order.sort_by(|left, right| fitted[*left].total_cmp(&fitted[*right]));
    let mut anchors: Vec<Vec<f64>> = Vec::new();
    for at in order {
        let point = &objective.points()[at];
        if anchors.len() < ANCHORS && !anchors.contains(point) {
            anchors.push(point.clone());
        }
    }
    anchors
}

/// A point nobody tried, or the least tried one of a space that is used up.
fn unused(config: &Config, known: &Known, index: u64) -> Point {
    let axes = config.space.axes();
    if let Some(listed) = design::enumerate(axes, LISTED_MAX) {
        let count = listed.len();
        let shift = Stream::new(config.seed, "leftovers", index).below(count);
        let rotated = listed.iter().cycle().skip(shift).take(count);
        let least = rotated
            .map(|coords| config.space.decode(coords))
            .min_by_key(|point| known.times_used(config, point));
        return least.expect("a space has at least one point");
    }
    let sobol = Sobol::new(axes, config.seed, "leftovers", index);
    (0..UNUSED_TRIES)
        .map(|at| config.space.decode(&sobol.get(at)))
        .find(|point| known.times_used(config, point) == 0)
        .unwrap_or_else(|| config.space.decode(&sobol.get(UNUSED_TRIES)))
}

impl Models {
    /// Equally good readings of the values, the most plausible first; none if there are too few
    /// values or nothing fits.
    fn objective(&self, config: &Config, known: &Known) -> &[Gp] {
        let models = models_for(known.values.len());
        self.objective
            .get_or_init(|| objective(config, known, models))
    }

    fn feasibility(&self, config: &Config, known: &Known) -> Option<&Feasibility> {
        let fit = || {
            let metrics = kernel::metrics(config.space.axes());
            let evaluated: Vec<Vec<f64>> = modelled_values(known)
                .into_iter()
                .map(|(coords, _)| coords)
                .collect();
            let skipped = known.failed.len().saturating_sub(FAILURES_MAX);
            Feasibility::fit(&metrics, &evaluated, &known.failed[skipped..])
        };
        self.feasibility.get_or_init(fit).as_ref()
    }
}

/// How many readings of so many values: as many as an ask can afford.
fn models_for(values: usize) -> usize {
    if values <= MANY_MODELS_VALUES_MAX {
        MODELS
    } else {
        1
    }
}

/// The process fitted to the values, which must be at least two.
pub(crate) fn objective_of(config: &Config, history: &[Observation]) -> Option<Gp> {
    objective(config, &Known::new(config, history, &[]), 1)
        .into_iter()
        .next()
}

fn objective(config: &Config, known: &Known, models: usize) -> Vec<Gp> {
    if known.values.len() < 2 {
        return Vec::new();
    }
    let metrics = kernel::metrics(config.space.axes());
    let (points, values): (Vec<Vec<f64>>, Vec<f64>) = modelled_values(known).into_iter().unzip();
    let targets = outputs::standardize(&values, config.goal);
    let noise = match config.noise {
        Noise::Exact => NoiseModel::Fixed(EXACT_NOISE),
        Noise::Unknown => NoiseModel::Learnt {
            low: 1e-6,
            log_mean: -8.0,
            log_variance: 6.0,
        },
        Noise::Noisy => NoiseModel::Learnt {
            low: 1e-5,
            log_mean: -3.5,
            log_variance: 2.0,
        },
    };
    let evidence = Evidence::new(&metrics, &points, &targets, noise, MeanModel::Learnt);
    let mut stream = Stream::new(config.seed, "model", points.len() as u64);
    gp::fit_many(&evidence, &points, models, &mut stream)
}

/// The values the model looks at: all of them, or the best half and an even share of the rest.
fn modelled_values(known: &Known) -> Vec<(Vec<f64>, f64)> {
    let count = known.values.len();
    if count <= MODELLED_MAX {
        return known.values.clone();
    }
    let half = MODELLED_MAX / 2;
    let rest = count - half;
    let share = (0..MODELLED_MAX - half).map(|at| half + at * rest / (MODELLED_MAX - half));
    (0..half)
        .chain(share)
        .map(|at| known.values[at].clone())
        .collect()
}
