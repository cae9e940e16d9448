//! What every study promises: determinism, replay, freedom from order, no repeats, and no panic
//! whatever it is told.
#![allow(clippy::unwrap_used)]

use optimizer::{
    Config, ConfigError, Goal, Noise, Observation, Outcome, Param, ParamKind, ParamValue, Point,
    PointError, Scale, Space, SpaceError, Study, StudyError, suggest,
};

fn mixed() -> Space {
    Space::new(vec![
        Param::float("rate", 1e-5, 1.0, Scale::Log),
        Param::int("units", 8, 512, Scale::Log),
        Param::int("layers", 1, 4, Scale::Linear),
        Param::categorical("act", ["relu", "gelu", "tanh"]),
    ])
    .unwrap()
}

fn mixed_value(point: &[ParamValue]) -> f64 {
    let ParamValue::Float(rate) = point[0] else {
        panic!("{point:?}")
    };
    let ParamValue::Int(units) = point[1] else {
        panic!("{point:?}")
    };
    let act = if point[3] == ParamValue::Text("gelu".into()) {
        0.0
    } else {
        0.4
    };
    (rate.log10() + 2.0).powi(2) + ((units as f64).log2() - 6.0).powi(2) * 0.1 + act
}

fn config(space: Space, seed: u64) -> Config {
    Config::new(space, Goal::Minimize, seed, Some(30))
}

/// Observations of the first `count` suggestions.
fn history(
    config: &Config,
    count: usize,
    outcome: impl Fn(usize, &Point) -> Outcome,
) -> Vec<Observation> {
    let points = suggest(
        &Config {
            startup: 1024,
            ..config.clone()
        },
        &[],
        &[],
        0,
        count,
    );
    let told = points.into_iter().enumerate();
    told.map(|(at, point)| Observation {
        outcome: outcome(at, &point),
        point,
    })
    .collect()
}

#[test]
fn a_study_is_repeated_suggest_and_can_be_restored_anywhere() {
    let config = config(mixed(), 7);
    let mut study = Study::new(config.clone()).unwrap();
    let mut trials: Vec<(Point, Option<Outcome>)> = Vec::new();
    for step in 0..14u64 {
        let mut restored = Study::restore(config.clone(), trials.clone()).unwrap();
        let told = |told: bool| {
            trials
                .iter()
                .filter(move |(_, outcome)| outcome.is_some() == told)
        };
        let history: Vec<Observation> = told(true)
            .map(|(point, outcome)| Observation {
                point: point.clone(),
                outcome: outcome.unwrap(),
            })
            .collect();
        let pending: Vec<Point> = told(false).map(|(point, _)| point.clone()).collect();
        let pure = suggest(&config, &history, &pending, trials.len() as u64, 2);
        let asked = study.ask(2);
        assert_eq!(restored.ask(2), asked, "step {step}");
        let points: Vec<Point> = asked.iter().map(|trial| trial.point.clone()).collect();
        assert_eq!(pure, points, "step {step}");
        trials.extend(points.into_iter().map(|point| (point, None)));
        // One trial of each pair stays pending for a while, and every fifth fails.
        for id in [2 * step, (2 * step).saturating_sub(3)] {
            let (point, outcome) = &mut trials[id as usize];
            if outcome.is_none() {
                let failed = id % 5 == 4;
                let value = if failed {
                    Outcome::Failed
                } else {
                    Outcome::Value(mixed_value(point))
                };
                *outcome = Some(value);
                study.tell(id, value).unwrap();
            }
        }
    }
}

#[test]
fn order_and_batching_do_not_matter_but_the_seed_does() {
    let config = config(mixed(), 3);
    let told = history(&config, 9, |at, point| match at {
        4 => Outcome::Failed,
        _ => Outcome::Value(mixed_value(point)),
    });
    let pending: Vec<Point> = history(
        &Config {
            seed: 99,
            ..config.clone()
        },
        3,
        |_, _| Outcome::Failed,
    )
    .into_iter()
    .map(|observation| observation.point)
    .collect();
    let expected = suggest(&config, &told, &pending, 12, 3);
    let mut mixed_up = told.clone();
    mixed_up.reverse();
    mixed_up.swap(1, 5);
    let mut flying = pending.clone();
    flying.reverse();
    assert_eq!(suggest(&config, &mixed_up, &flying, 12, 3), expected);
    let mut one_by_one: Vec<Point> = Vec::new();
    for index in 12..15 {
        let flying: Vec<Point> = pending.iter().chain(&one_by_one).cloned().collect();
        one_by_one.extend(suggest(&config, &told, &flying, index, 1));
    }
    assert_eq!(one_by_one, expected);
    assert_ne!(
        suggest(
            &Config {
                seed: 4,
                ..config.clone()
            },
            &told,
            &pending,
            12,
            3
        ),
        expected
    );
}

#[test]
fn maximizing_mirrors_minimizing() {
    let low = config(mixed(), 11);
    let high = Config {
        goal: Goal::Maximize,
        ..low.clone()
    };
    let told = history(&low, 10, |_, point| Outcome::Value(mixed_value(point)));
    let mirrored = history(&low, 10, |_, point| Outcome::Value(-mixed_value(point)));
    assert_eq!(
        suggest(&low, &told, &[], 10, 2),
        suggest(&high, &mirrored, &[], 10, 2)
    );
    let trials: Vec<(u64, Observation)> = (0..).zip(mirrored).collect();
    let best = optimizer::best(&high, &trials).unwrap();
    assert!(
        trials
            .iter()
            .all(|(_, observation)| observation.outcome.value().unwrap() <= best.value)
    );
}

#[test]
fn the_prior_comes_first_and_only_once() {
    let mut config = config(mixed(), 0);
    let prior: Point = vec![
        ParamValue::Float(0.01),
        ParamValue::Int(64),
        ParamValue::Int(2),
        ParamValue::Text("gelu".into()),
    ];
    config.prior = Some(prior.clone());
    let points = suggest(&config, &[], &[], 0, 6);
    assert_eq!(points[0], prior);
    assert!(!points[1..].contains(&prior));
    config.prior = Some(vec![ParamValue::Int(1)]);
    assert!(matches!(
        config.check(),
        Err(ConfigError::Prior(PointError::WrongLength { .. }))
    ));
    assert_eq!(
        suggest(&config, &[], &[], 0, 1).len(),
        1,
        "a prior that fits no space is ignored"
    );
}

#[test]
fn whatever_was_told_the_next_points_belong_and_are_new() {
    let line = || Space::new(vec![Param::float("x", 0.0, 1.0, Scale::Linear)]).unwrap();
    let wild = || {
        Space::new(vec![
            Param::float("x", -1.7e308, 1.7e308, Scale::Linear),
            Param::float("y", 1e-300, 1e300, Scale::Log),
            Param::int("z", -(1 << 53), 1 << 53, Scale::Linear),
            Param::int("w", 1, 1 << 53, Scale::Log),
        ])
        .unwrap()
    };
    type Tell = fn(usize, &Point) -> Outcome;
    let tells: [(&str, Tell); 9] = [
        ("equal", |_, _| Outcome::Value(1.0)),
        ("zero", |_, _| Outcome::Value(0.0)),
        ("all failed", |_, _| Outcome::Failed),
        ("one value", |at, _| {
            if at == 3 {
                Outcome::Value(2.0)
            } else {
                Outcome::Failed
            }
        }),
        ("not finite", |at, _| match at % 3 {
            0 => Outcome::Value(f64::NAN),
            1 => Outcome::Value(f64::INFINITY),
            _ => Outcome::Value(1.0),
        }),
        ("huge and tiny", |at, _| {
            Outcome::Value(10f64.powi(at as i32 * 60 - 300))
        }),
        ("both signs", |at, _| {
            Outcome::Value(if at % 2 == 0 { 1.7e308 } else { -1.7e308 })
        }),
        ("subnormal", |at, _| Outcome::Value(at as f64 * 5e-324)),
        ("one outlier", |at, _| {
            Outcome::Value(if at == 5 { -1e200 } else { at as f64 })
        }),
    ];
    for (space_name, space) in [("line", line()), ("wild", wild()), ("mixed", mixed())] {
        for noise in [Noise::Unknown, Noise::Exact, Noise::Noisy] {
            for (name, tell) in tells {
                for count in [0, 1, 2, 11] {
                    let mut config = config(space.clone(), 5);
                    config.noise = noise;
                    let told = history(&config, count, tell);
                    let label = format!("{space_name} {noise:?} {name} {count}");
                    check(&config, &told, &[], &label);
                }
            }
        }
    }
}

#[test]
fn coinciding_points_do_not_break_the_model() {
    for noise in [Noise::Unknown, Noise::Exact, Noise::Noisy] {
        let mut config = config(mixed(), 5);
        config.noise = noise;
        let once = history(&config, 3, |_, point| Outcome::Value(mixed_value(point)));
        let told: Vec<Observation> = (0..30)
            .map(|at| {
                let mut again = once[at % 3].clone();
                if let Outcome::Value(value) = &mut again.outcome {
                    *value += at as f64 * 0.01;
                }
                again
            })
            .collect();
        let pending = vec![once[0].point.clone(); 12];
        check(&config, &told, &pending, &format!("{noise:?}"));
    }
}

/// Suggestions belong to the space and repeat nothing.
fn check(config: &Config, told: &[Observation], pending: &[Point], label: &str) {
    let points = suggest(config, told, pending, told.len() as u64, 3);
    assert_eq!(points.len(), 3, "{label}");
    for (at, point) in points.iter().enumerate() {
        assert_eq!(config.space.check(point).as_ref(), Ok(point), "{label}");
        assert!(
            told.iter().all(|other| other.point != *point),
            "{label}: repeats {point:?}"
        );
        assert!(
            !pending.contains(point) && !points[..at].contains(point),
            "{label}"
        );
    }
}

#[test]
fn a_finite_space_is_used_up_before_anything_repeats() {
    let space = Space::new(vec![
        Param::int("a", 1, 3, Scale::Linear),
        Param::categorical("b", ["x", "y", "z", "w"]),
    ])
    .unwrap();
    assert_eq!(space.size(), Some(12));
    let mut study = Study::new(config(space, 1)).unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for round in 1..=2 {
        for _ in 0..12 {
            for trial in study.ask(1) {
                let ParamValue::Int(a) = trial.point[0] else {
                    panic!("{trial:?}")
                };
                study.tell(trial.id, Outcome::Value(a as f64)).unwrap();
                *counts.entry(format!("{:?}", trial.point)).or_insert(0) += 1;
            }
        }
        assert_eq!(counts.len(), 12);
        assert!(
            counts.values().all(|count| *count == round),
            "round {round}: {counts:?}"
        );
    }
}

#[test]
fn a_lone_value_can_be_asked_for_again() {
    let space = Space::new(vec![Param::categorical("only", ["one"])]).unwrap();
    let mut study = Study::new(config(space, 1)).unwrap();
    for id in 0..8 {
        assert_eq!(study.ask(1)[0].id, id);
        study.tell(id, Outcome::Value(id as f64)).unwrap();
    }
    assert_eq!(study.best().unwrap().id, 0);
}

#[test]
fn failures_are_kept_away_from() {
    // The objective falls towards the half where nothing can be evaluated.
    let space = Space::new(vec![
        Param::float("x", 0.0, 1.0, Scale::Linear),
        Param::float("y", 0.0, 1.0, Scale::Linear),
    ])
    .unwrap();
    let mut failures = 0;
    for seed in 0..4 {
        let mut study = Study::new(config(space.clone(), seed)).unwrap();
        for trial in 0..30 {
            let asked = study.ask(1).remove(0);
            let (ParamValue::Float(x), ParamValue::Float(y)) = (&asked.point[0], &asked.point[1])
            else {
                panic!("{asked:?}")
            };
            let fails = *x > 0.6;
            failures += usize::from(fails && trial >= 10);
            let value = Outcome::Value((y - 0.5).powi(2) - x);
            study
                .tell(asked.id, if fails { Outcome::Failed } else { value })
                .unwrap();
        }
        let best = study.best().unwrap();
        assert!(best.value < -0.5, "seed {seed}: {best:?}");
    }
    assert!(failures <= 40, "{failures} of 80 late trials failed");
}

#[test]
fn steps_are_the_only_values() {
    let kind = ParamKind::Float {
        low: 0.0,
        high: 0.35,
        scale: Scale::Linear,
        step: Some(0.1),
    };
    let even = ParamKind::Int {
        low: 2,
        high: 9,
        scale: Scale::Log,
        step: Some(2),
    };
    let space = Space::new(vec![
        Param {
            name: "drop".into(),
            kind,
        },
        Param {
            name: "even".into(),
            kind: even,
        },
    ])
    .unwrap();
    assert_eq!(space.size(), Some(16));
    let config = config(space, 2);
    for point in suggest(&config, &[], &[], 0, 16) {
        let (ParamValue::Float(drop), ParamValue::Int(even)) = (&point[0], &point[1]) else {
            panic!("{point:?}")
        };
        let steps = drop / 0.1;
        assert!(
            (steps - steps.round()).abs() < 1e-9 && *drop < 0.31,
            "{point:?}"
        );
        assert!([2, 4, 6, 8].contains(even), "{point:?}");
    }
}

#[test]
fn the_incumbent_of_noisy_values_is_not_the_luckiest() {
    let space = Space::new(vec![Param::float("x", 0.0, 1.0, Scale::Linear)]).unwrap();
    let mut config = config(space, 2);
    config.noise = Noise::Noisy;
    // A valley at 0.3 seen with scatter, and one lucky value far up its side.
    let trials: Vec<(u64, Observation)> = (0..40u64)
        .map(|id| {
            let x = (id % 20) as f64 / 19.0;
            let scatter = if id % 2 == 0 { 0.05 } else { -0.05 };
            let value = if id == 17 {
                -0.1
            } else {
                (x - 0.3).powi(2) + scatter
            };
            let point = vec![ParamValue::Float(x)];
            (
                id,
                Observation {
                    point,
                    outcome: Outcome::Value(value),
                },
            )
        })
        .collect();
    assert_eq!(optimizer::best(&config, &trials).unwrap().id, 17);
    let ParamValue::Float(x) = optimizer::incumbent(&config, &trials).unwrap().point[0] else {
        panic!()
    };
    assert!((x - 0.3).abs() < 0.15, "{x}");
}

#[test]
fn tells_are_refused_by_name() {
    let mut study = Study::new(config(mixed(), 1)).unwrap();
    assert!(study.best().is_none() && study.incumbent().is_none());
    assert_eq!(
        study.tell(0, Outcome::Failed),
        Err(StudyError::Unknown { id: 0 })
    );
    study.ask(1);
    assert_eq!(study.tell(0, Outcome::Value(1.0)), Ok(()));
    assert_eq!(
        study.tell(0, Outcome::Failed),
        Err(StudyError::ToldTwice { id: 0 })
    );
    assert_eq!(
        study.tell(u64::MAX, Outcome::Failed),
        Err(StudyError::Unknown { id: u64::MAX })
    );
}

#[test]
fn spaces_are_refused_by_name() {
    let float = |low, high, scale| Param::float("p", low, high, scale);
    let rows = [
        (vec![], "the space has no parameters"),
        (
            vec![float(1.0, 1.0, Scale::Linear)],
            "parameter \"p\": low 1 is not below high 1",
        ),
        (
            vec![float(f64::NAN, 1.0, Scale::Linear)],
            "parameter \"p\": bounds must be finite, not NaN and 1",
        ),
        (
            vec![float(0.0, 1.0, Scale::Log)],
            "parameter \"p\": a log scale needs low > 0, not 0",
        ),
        (
            vec![Param::int("p", 0, 8, Scale::Log)],
            "parameter \"p\": a log scale needs low > 0, not 0",
        ),
        (
            vec![Param::categorical("p", [""; 0])],
            "parameter \"p\" has no choices",
        ),
        (
            vec![Param::categorical("p", ["a", "a"])],
            "parameter \"p\": choice \"a\" is given twice",
        ),
        (
            vec![Param::categorical("", ["a"])],
            "parameter 0 has an empty name",
        ),
        (
            vec![float(0.0, 1.0, Scale::Linear); 2],
            "parameter \"p\" is declared twice",
        ),
        (
            vec![float(0.0, 1.0, Scale::Linear); 65],
            "the space has 65 parameters; at most 64 are allowed",
        ),
        (
            vec![Param::int("p", i64::MIN, 0, Scale::Linear)],
            "parameter \"p\": integer bound -9223372036854775808 is beyond ±9007199254740992",
        ),
    ];
    for (params, expected) in rows {
        assert_eq!(Space::new(params).unwrap_err().to_string(), expected);
    }
    let step = ParamKind::Int {
        low: 0,
        high: 4,
        scale: Scale::Linear,
        step: Some(0),
    };
    let bad = Space::new(vec![Param {
        name: "p".into(),
        kind: step,
    }]);
    assert_eq!(
        bad,
        Err(SpaceError::BadStep {
            name: "p".into(),
            step: 0.0
        })
    );
}

#[test]
fn points_are_refused_by_name() {
    let space = mixed();
    let good = [
        ("rate", "0.5"),
        ("units", "64.0"),
        ("layers", "2"),
        ("act", "\"relu\""),
    ];
    let rows = [
        ("rate", "2", "parameter \"rate\": 2 is outside 0.00001 to 1"),
        (
            "rate",
            "\"x\"",
            "parameter \"rate\" must be a number, not a text",
        ),
        ("units", "7", "parameter \"units\": 7 is outside 8 to 512"),
        (
            "units",
            "8.5",
            "parameter \"units\" must be a whole number, not 8.5",
        ),
        (
            "act",
            "\"elu\"",
            "parameter \"act\": \"elu\" is not one of its choices",
        ),
        (
            "act",
            "1",
            "parameter \"act\" must be one of its choices, not 1",
        ),
        ("extra", "1", "unknown parameter \"extra\""),
    ];
    let named = |changed: Option<(&str, &str)>| {
        let fields: std::collections::BTreeMap<&str, &str> =
            good.into_iter().chain(changed).collect();
        let json: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name:?}:{value}"))
            .collect();
        serde_json::from_str(&format!("{{{}}}", json.join(","))).unwrap()
    };
    let point = space.point(&named(None)).unwrap();
    assert_eq!(point[1], ParamValue::Int(64));
    assert_eq!(space.point(&space.named(&point)), Ok(point));
    for (name, value, expected) in rows {
        assert_eq!(
            space
                .point(&named(Some((name, value))))
                .unwrap_err()
                .to_string(),
            expected
        );
    }
    let mut missing = named(None);
    missing.remove("layers");
    assert_eq!(
        space.point(&missing),
        Err(PointError::Missing {
            name: "layers".into()
        })
    );
}

#[test]
fn a_config_survives_json() {
    let mut config = config(mixed(), 9);
    config.prior = Some(suggest(&config, &[], &[], 0, 1).remove(0));
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    let bad = text.replace("\"low\":8", "\"low\":800");
    assert!(
        serde_json::from_str::<Config>(&bad)
            .unwrap_err()
            .to_string()
            .contains("not below")
    );
}
