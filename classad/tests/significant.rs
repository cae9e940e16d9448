//! Significant attributes: what they are in plain cases, and that ads which agree in them match
//! alike.

use classad::matching::Prepared;
use classad::{ClassAd, Significant, significant};

const NOW: i64 = 1_700_000_000;

fn names(job: &str, slots: &[&str]) -> Vec<String> {
    let job = ClassAd::parse(job).expect("an ad");
    let slots: Vec<ClassAd> = slots
        .iter()
        .map(|slot| ClassAd::parse(slot).expect("an ad"))
        .collect();
    match significant(&job, &slots) {
        Significant::Only(names) => names.iter().map(ToString::to_string).collect(),
        Significant::Everything => vec!["*".into()],
    }
}

#[test]
fn both_sides_say_what_matters() {
    let job = "[Requirements = TARGET.Memory >= RequestMemory; RequestMemory = Base * 2; Base = 1; \
               Rank = TARGET.Speed; Owner = \"a\"; Note = Extra; Extra = 1]";
    // An attribute may be named TARGET, and would win.
    let own = ["Base", "Rank", "RequestMemory", "Requirements", "TARGET"];
    assert_eq!(names(job, &["[Requirements = true]"]), own);
    let slot = "[Requirements = START; Start = TARGET.Owner != \"b\" && Wants; Memory = 4; \
                Speed = TARGET.Note + 1]";
    let both = [
        "Base",
        "Note",
        "Extra",
        "Owner",
        "Rank",
        "RequestMemory",
        "Requirements",
        "Start",
        "Wants",
    ];
    let got = names(job, &["[Requirements = true]", slot]);
    for name in both {
        let found = got.iter().any(|other| other.eq_ignore_ascii_case(name));
        assert!(found, "{name} in {got:?}");
    }
    assert!(!got.iter().any(|name| name == "Unread"), "{got:?}");
}

#[test]
fn what_devices_are_asked_may_lead_anywhere() {
    let slot = "[Requirements = true; Cap = ifThenElse(TARGET.Owner == \"a\", 2, 0); \
                AvailableGPUs = {[Capability = 8.0]}]";
    let asks = "Requirements = countMatches(MY.RequireGPUs, TARGET.AvailableGPUs) >= 1";
    for (job, wanted) in [
        (
            format!("[RequireGPUs = Capability >= TARGET.MinCap; MinCap = 7.5; {asks}]"),
            "MinCap",
        ),
        (
            format!("[RequireGPUs = MY.Cap > 1; Owner = \"a\"; {asks}]"),
            "Owner",
        ),
    ] {
        let got = names(&job, &[slot]);
        assert!(got.iter().any(|name| name == wanted), "{wanted} in {got:?}");
    }
}

#[test]
fn what_can_read_anything_says_so() {
    for expr in [
        "eval(TARGET.Policy)",
        "size(MY) > 3",
        "MY[\"a\"] == 1",
        "TARGET[x]",
        "self.a[b]",
        "d.parent[\"x\"]",
        "TARGET.TARGET[\"x\"]",
        "[target = 1; b = a].b",
    ] {
        let job = format!("[Requirements = {expr}]");
        let expected_all = expr != "self.a[b]";
        assert_eq!(
            names(&job, &["[Memory = 1]"]) == ["*"],
            expected_all,
            "{expr}"
        );
    }
}

struct Random {
    state: u64,
    /// How many ways of making an expression there are: the last two ask the ads of a list.
    shapes: usize,
}

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.state >> 33) as usize % bound
    }
}

const ATTRS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn random_expr(random: &mut Random, depth: usize) -> String {
    let name = ATTRS[random.below(ATTRS.len())];
    if depth == 0 {
        return match random.below(5) {
            0 => format!("MY.{name}"),
            1 => format!("TARGET.{name}"),
            2 => random.below(4).to_string(),
            _ => name.to_string(),
        };
    }
    let ops = ["+", "<", "==", "&&", "||", "=?="];
    let op = ops[random.below(ops.len())];
    let (left, right) = (
        random_expr(random, depth - 1),
        random_expr(random, depth - 1),
    );
    let inner = ATTRS[random.below(ATTRS.len())];
    match random.below(if depth == 1 { random.shapes } else { 6 }) {
        6 => format!("countMatches({name}, {{[{inner} = {left}], [k = TARGET.{name}]}})"),
        7 => format!("countMatches(MY.{name}, TARGET.{inner})"),
        0 => format!("ifThenElse({left}, {right}, {name})"),
        1 => format!("[x = {left}; y = x + {name}].y"),
        _ => format!("({left} {op} {right})"),
    }
}

fn random_ad(random: &mut Random) -> ClassAd {
    let mut ad = ClassAd::new();
    for name in ATTRS {
        match random.below(3) {
            0 => {}
            1 => ad.insert(name, random.below(3) as i64),
            _ => ad
                .insert_expr(name, &random_expr(random, 1))
                .expect("an expression"),
        }
    }
    ad.insert_expr("Requirements", &random_expr(random, 3))
        .expect("an expression");
    ad.insert_expr("Rank", &random_expr(random, 2))
        .expect("an expression");
    ad
}

#[test]
fn ads_that_agree_in_them_match_alike() {
    let mut changed = 0;
    for seed in 0..2_000 {
        let mut random = Random {
            state: seed,
            shapes: if seed % 20 == 0 { 8 } else { 6 },
        };
        let job = random_ad(&mut random);
        let slots = [random_ad(&mut random), random_ad(&mut random)];
        let Significant::Only(names) = significant(&job, &slots) else {
            continue;
        };
        let mut other = random_ad(&mut random);
        for (name, expr) in job.iter() {
            if names.contains(name) {
                other.insert(name, expr);
            }
        }
        for name in &names {
            if !job.contains(name.as_str()) {
                other.remove(name.as_str());
            }
        }
        changed += usize::from(other != job);
        for slot in &slots {
            let slot = Prepared::new(slot);
            let (job, other) = (Prepared::new(&job), Prepared::new(&other));
            let sides = |ad: &Prepared| {
                let accepts = (ad.accepts(slot.ad(), NOW), slot.accepts(ad.ad(), NOW));
                (
                    accepts,
                    ad.rank(slot.ad(), NOW).to_bits(),
                    slot.rank(ad.ad(), NOW).to_bits(),
                )
            };
            assert_eq!(
                sides(&job),
                sides(&other),
                "{names:?}: {job:?} {other:?} {slot:?}"
            );
        }
    }
    assert!(changed > 50, "only {changed} ads differed");
}
