//! Functions whose minimum is known, and what a search of one of them comes to: what the bench and
//! the test share.

use optimizer::{
    Config, Goal, Noise, Observation, Outcome, Param, ParamValue, Point, Scale, Space, Study,
    incumbent,
};

pub struct Problem {
    pub name: &'static str,
    pub space: Space,
    pub function: fn(&[ParamValue]) -> f64,
    pub minimum: f64,
    pub budget: usize,
    pub noise: f64,
}

pub struct Run {
    pub regret: f64,
    pub recommended: f64,
    pub ask_ms: f64,
}

/// Regret of the best point visited and of the one recommended, with so many trials in flight.
pub fn tuned(problem: &Problem, seed: u64, workers: usize) -> Run {
    let mut config = Config::new(
        problem.space.clone(),
        Goal::Minimize,
        seed,
        Some(problem.budget),
    );
    config.noise = if problem.noise > 0.0 {
        Noise::Noisy
    } else {
        Noise::Exact
    };
    let mut study = Study::new(config.clone()).unwrap();
    let mut random = Random(seed ^ 0x5eed);
    let mut flying = Vec::new();
    let mut told: Vec<(u64, Observation)> = Vec::new();
    let mut regret = f64::INFINITY;
    let mut asking = 0.0;
    let mut asked = 0;
    while told.len() < problem.budget {
        while flying.len() < workers && asked < problem.budget {
            let start = cpu_ms();
            flying.extend(study.ask(1));
            asking += cpu_ms() - start;
            asked += 1;
        }
        let at = (random.uniform() * flying.len() as f64) as usize;
        let trial = flying.remove(at);
        let value = (problem.function)(&trial.point);
        regret = regret.min(value - problem.minimum);
        let outcome = Outcome::Value(value + problem.noise * random.normal());
        study.tell(trial.id, outcome).unwrap();
        told.push((
            trial.id,
            Observation {
                point: trial.point,
                outcome,
            },
        ));
    }
    let recommended = incumbent(&config, &told).unwrap();
    Run {
        regret,
        recommended: (problem.function)(&recommended.point) - problem.minimum,
        ask_ms: asking / problem.budget as f64,
    }
}

pub fn random_regret(problem: &Problem, seed: u64) -> f64 {
    let mut random = Random(seed.wrapping_mul(77) + 5);
    let mut draw = |param: &Param| -> ParamValue {
        let u = random.uniform();
        let number = |low: f64, high: f64, scale| match scale {
            Scale::Linear => low + u * (high - low),
            Scale::Log => (low.ln() + u * (high.ln() - low.ln())).exp(),
        };
        match &param.kind {
            optimizer::ParamKind::Float {
                low, high, scale, ..
            } => ParamValue::Float(number(*low, *high, *scale)),
            optimizer::ParamKind::Int {
                low, high, scale, ..
            } => ParamValue::Int(number(*low as f64, *high as f64, *scale).round() as i64),
            optimizer::ParamKind::Categorical { choices } => {
                ParamValue::Text(choices[(u * choices.len() as f64) as usize].clone())
            }
        }
    };
    (0..problem.budget)
        .map(|_| {
            let point: Point = problem.space.params().iter().map(&mut draw).collect();
            (problem.function)(&point) - problem.minimum
        })
        .fold(f64::INFINITY, f64::min)
}

pub fn problems() -> Vec<Problem> {
    let cube = |dims: usize, low: f64, high: f64| {
        let params = (0..dims).map(|i| Param::float(format!("x{i}"), low, high, Scale::Linear));
        Space::new(params.collect()).unwrap()
    };
    let plane = || {
        Space::new(vec![
            Param::float("x0", -5.0, 10.0, Scale::Linear),
            Param::float("x1", 0.0, 15.0, Scale::Linear),
        ])
        .unwrap()
    };
    let mixed = Space::new(vec![
        Param::float("lr", 1e-5, 1.0, Scale::Log),
        Param::float("wd", 1e-8, 1e-1, Scale::Log),
        Param::int("units", 8, 2048, Scale::Log),
        Param::int("layers", 1, 6, Scale::Linear),
        Param::categorical("act", ["relu", "tanh", "gelu", "sigmoid"]),
        Param::categorical("opt", ["sgd", "momentum", "adam"]),
    ])
    .unwrap();
    let row = |name, space, function, minimum, budget, noise| Problem {
        name,
        space,
        function,
        minimum,
        budget,
        noise,
    };
    vec![
        row("branin", plane(), branin, 0.397_887_357_729_738_16, 50, 0.0),
        row(
            "hartmann3",
            cube(3, 0.0, 1.0),
            hartmann3,
            -3.862_779_787_332_663,
            50,
            0.0,
        ),
        row(
            "rosenbrock4",
            cube(4, -2.048, 2.048),
            rosenbrock,
            0.0,
            50,
            0.0,
        ),
        row(
            "hartmann6",
            cube(6, 0.0, 1.0),
            hartmann6,
            -3.322_368_011_415_515,
            100,
            0.0,
        ),
        row("ackley10", cube(10, -32.768, 16.384), ackley, 0.0, 100, 0.0),
        row(
            "branin_noisy",
            plane(),
            branin,
            0.397_887_357_729_738_16,
            50,
            5.0,
        ),
        row("levy8_noisy", cube(8, -10.0, 10.0), levy, 0.0, 100, 5.0),
        row("mixed6", mixed, mixed6, 0.0, 50, 0.0),
    ]
}

pub fn number(value: &ParamValue) -> f64 {
    match value {
        ParamValue::Float(number) => *number,
        ParamValue::Int(number) => *number as f64,
        ParamValue::Text(text) => panic!("{text} is no number"),
    }
}

fn numbers(point: &[ParamValue]) -> Vec<f64> {
    point.iter().map(number).collect()
}

fn branin(point: &[ParamValue]) -> f64 {
    use std::f64::consts::PI;
    let (x, y) = (number(&point[0]), number(&point[1]));
    let bowl = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
    bowl * bowl + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0
}

const HARTMANN_WEIGHTS: [f64; 4] = [1.0, 1.2, 3.0, 3.2];

fn hartmann<const D: usize>(
    point: &[ParamValue],
    sharpness: [[f64; D]; 4],
    centers: [[f64; D]; 4],
) -> f64 {
    let x = numbers(point);
    let bump = |i: usize| {
        let square: f64 = (0..D)
            .map(|j| sharpness[i][j] * (x[j] - 1e-4 * centers[i][j]).powi(2))
            .sum();
        HARTMANN_WEIGHTS[i] * (-square).exp()
    };
    -(0..4).map(bump).sum::<f64>()
}

fn hartmann3(point: &[ParamValue]) -> f64 {
    hartmann(
        point,
        [
            [3.0, 10.0, 30.0],
            [0.1, 10.0, 35.0],
            [3.0, 10.0, 30.0],
            [0.1, 10.0, 35.0],
        ],
        [
            [3689.0, 1170.0, 2673.0],
            [4699.0, 4387.0, 7470.0],
            [1091.0, 8732.0, 5547.0],
            [381.0, 5743.0, 8828.0],
        ],
    )
}

fn hartmann6(point: &[ParamValue]) -> f64 {
    hartmann(
        point,
        [
            [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
            [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
            [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
            [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
        ],
        [
            [1312.0, 1696.0, 5569.0, 124.0, 8283.0, 5886.0],
            [2329.0, 4135.0, 8307.0, 3736.0, 1004.0, 9991.0],
            [2348.0, 1451.0, 3522.0, 2883.0, 3047.0, 6650.0],
            [4047.0, 8828.0, 8732.0, 5743.0, 1091.0, 381.0],
        ],
    )
}

fn rosenbrock(point: &[ParamValue]) -> f64 {
    let x = numbers(point);
    x.windows(2)
        .map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2))
        .sum()
}

fn ackley(point: &[ParamValue]) -> f64 {
    let x = numbers(point);
    let count = x.len() as f64;
    let square = x.iter().map(|x| x * x).sum::<f64>() / count;
    let waves = x
        .iter()
        .map(|x| (std::f64::consts::TAU * x).cos())
        .sum::<f64>()
        / count;
    -20.0 * (-0.2 * square.sqrt()).exp() - waves.exp() + 20.0 + std::f64::consts::E
}

fn levy(point: &[ParamValue]) -> f64 {
    use std::f64::consts::{PI, TAU};
    let w: Vec<f64> = point
        .iter()
        .map(|x| 1.0 + (number(x) - 1.0) / 4.0)
        .collect();
    let (last, body) = w.split_last().unwrap();
    let hills: f64 = body
        .iter()
        .map(|w| (w - 1.0).powi(2) * (1.0 + 10.0 * (PI * w + 1.0).sin().powi(2)))
        .sum();
    (PI * w[0]).sin().powi(2) + hills + (last - 1.0).powi(2) * (1.0 + (TAU * last).sin().powi(2))
}

/// Two log floats, a log int, an int and two choices with an interaction; its minimum is 0.
fn mixed6(point: &[ParamValue]) -> f64 {
    let text = |at: usize| match &point[at] {
        ParamValue::Text(text) => text.as_str(),
        ParamValue::Float(_) | ParamValue::Int(_) => panic!("a choice"),
    };
    let (offset, best_rate) = match text(5) {
        "sgd" => (0.30, -1.0),
        "momentum" => (0.12, -1.8),
        _ => (0.0, -2.5),
    };
    let activation = match text(4) {
        "relu" => 0.15,
        "tanh" => 0.35,
        "gelu" => 0.0,
        _ => 0.8,
    };
    let (rate, decay) = (number(&point[0]).log10(), number(&point[1]).log10());
    let (units, layers) = (number(&point[2]).log2(), number(&point[3]));
    let off = (rate - best_rate + 0.15 * (layers - 3.0)).powi(2);
    offset
        + activation
        + 0.35 * off / (1.0 + 0.1 * off)
        + 0.05 * (decay + 4.0 + 0.3 * (units - 8.0)).powi(2)
        + 0.06 * (units - 8.0 - 0.5 * (layers - 3.0)).powi(2)
        + 0.04 * (layers - 3.0).powi(2)
        + 0.1 * (1.0 - (3.0 * (rate - best_rate)).cos())
}

/// Time this thread has had on a processor, so that other work does not count.
pub fn cpu_ms() -> f64 {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedule.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}

/// A small generator for the tests' own noise.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
