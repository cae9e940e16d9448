//! Compiled expressions give what the tree evaluator gives: random expressions in random ads by
//! seed, and the bounds, where the two count differently.

use classad::limits::EVAL_ATTRS_MAX;
use classad::matching::{self, Prepared};
use classad::{ClassAd, Compiled, Expr, Scope, Value};

const NOW: i64 = 1_700_000_000;

/// Names that ads may have; the last are words with a meaning of their own.
const NAMES: [&str; 14] = [
    "a",
    "b",
    "c",
    "d",
    "Memory",
    "Arch",
    "l",
    "n",
    "Requirements",
    "Rank",
    "MY",
    "target",
    "parent",
    "CurrentTime",
];

const LEAVES: [&str; 28] = [
    "1",
    "0",
    "-7",
    "2.5",
    "0.0",
    "9223372036854775807",
    "true",
    "false",
    "undefined",
    "error",
    "\"x\"",
    "\"X\"",
    "\"\"",
    "real(\"INF\")",
    "real(\"NaN\")",
    "absTime(\"2024-05-06T07:08:09Z\")",
    "relTime(\"1+02:03:04\")",
    "{1, \"x\", a}",
    "{}",
    "[a = 1; b = a + c]",
    "MY.a",
    "TARGET.a",
    "TARGET.Memory",
    "MY.Rank",
    ".a",
    "parent.a",
    "TARGET.n.a",
    "random(10)",
];

const INFIX: [&str; 22] = [
    "+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "!=", "=?=", "=!=", "&", "|", "^", "<<",
    ">>", ">>>", "&&", "||", "?:",
];

const CALLS: [&str; 8] = [
    "ifThenElse",
    "isUndefined",
    "strcat",
    "member",
    "size",
    "eval",
    "min",
    "countMatches",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % bound
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    fn expr(&mut self, depth: usize) -> String {
        if depth == 0 || self.below(6) == 0 {
            return match self.below(2) {
                0 => self.of(&NAMES).to_string(),
                _ => self.of(&LEAVES).to_string(),
            };
        }
        let below = depth - 1;
        match self.below(12) {
            0 => format!(
                "({} ? {} : {})",
                self.expr(below),
                self.expr(below),
                self.expr(below)
            ),
            1 => format!("!{}", self.expr(0)),
            2 => format!("-({})", self.expr(below)),
            3 => format!(
                "{{{}, {}}}[{}]",
                self.expr(below),
                self.expr(below),
                self.expr(0)
            ),
            4 => format!("[a = {}].a", self.expr(below)),
            5 => {
                let args: Vec<String> = (0..1 + self.below(3)).map(|_| self.expr(below)).collect();
                format!("{}({})", self.of(&CALLS), args.join(", "))
            }
            _ => format!(
                "(({}) {} ({}))",
                self.expr(below),
                self.of(&INFIX),
                self.expr(below)
            ),
        }
    }

    fn ad(&mut self) -> ClassAd {
        let mut ad = ClassAd::new();
        for _ in 0..self.below(12) {
            let (name, depth) = (self.of(&NAMES), self.below(4));
            let text = self.expr(depth);
            ad.insert_expr(name, &text)
                .expect("made to be an expression");
        }
        ad
    }
}

/// To the last bit, and NaN equal to itself.
fn exact(value: &Value) -> String {
    Expr::from(value.clone()).to_exact()
}

fn check(my: &ClassAd, target: &ClassAd, expr: &Expr) {
    let alone = Scope::new(my);
    let scopes = [
        alone,
        alone.now(NOW).seed(7),
        alone.target(target).now(NOW).seed(7),
        Scope::new(target).target(my).now(NOW).seed(7),
    ];
    for compiled in [Compiled::new(expr), Compiled::in_ad(my, expr)] {
        for scope in scopes {
            let (run, walked) = (scope.run(&compiled), scope.eval(expr));
            assert_eq!(
                exact(&run),
                exact(&walked),
                "{expr:?} in {my:?} and {target:?}"
            );
            assert_eq!(
                scope.run_is_true(&compiled),
                walked.is_true(),
                "{expr:?} in {my:?}"
            );
        }
    }
}

#[test]
fn random_expressions_have_one_value() {
    for seed in 0..8_000 {
        let mut random = Random(seed);
        let (my, target) = (random.ad(), random.ad());
        let depth = random.below(6);
        let text = random.expr(depth);
        let expr = Expr::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        check(&my, &target, &expr);
    }
}

#[test]
fn prepared_ads_match_as_ads_do() {
    let mut matched = 0;
    for seed in 0..3_000 {
        let mut random = Random(seed);
        let (mut left, mut right) = (random.ad(), random.ad());
        for ad in [&mut left, &mut right] {
            ad.insert_expr("Requirements", &random.expr(3)).unwrap();
            ad.insert_expr("Rank", &random.expr(2)).unwrap();
        }
        let prepared = (Prepared::new(&left), Prepared::new(&right));
        let matches = matching::symmetric_match(&left, &right, NOW);
        matched += usize::from(matches);
        assert_eq!(
            prepared.0.matches(&prepared.1, NOW),
            matches,
            "{left:?} {right:?}"
        );
        assert_eq!(
            prepared.0.rank(&right, NOW).to_bits(),
            matching::rank(&left, &right, NOW).to_bits(),
            "{left:?} {right:?}"
        );
    }
    assert!(matched > 10, "only {matched} pairs match");
}

#[test]
fn bounds_end_both_alike() {
    let target = ClassAd::parse("[Memory = 5; c = b + 1; b = MY.a]").unwrap();
    for length in [
        EVAL_ATTRS_MAX - 2,
        EVAL_ATTRS_MAX - 1,
        EVAL_ATTRS_MAX,
        EVAL_ATTRS_MAX + 1,
    ] {
        let mut chain = ClassAd::new();
        for i in 0..length {
            chain
                .insert_expr(format!("a{i}"), &format!("a{} + 1", i + 1))
                .unwrap();
        }
        chain
            .insert_expr(format!("a{length}"), "TARGET.Memory")
            .unwrap();
        check(&chain, &target, &Expr::parse("a0 == 3 || c").unwrap());
    }
    for length in [10, 18, 30] {
        let mut doubling = ClassAd::new();
        for i in 0..length {
            doubling
                .insert_expr(format!("a{i}"), &format!("a{0} + a{0}", i + 1))
                .unwrap();
        }
        doubling
            .insert_expr(format!("a{length}"), "TARGET.Memory")
            .unwrap();
        check(&doubling, &target, &Expr::parse("a0 > 1").unwrap());
    }
    // A selection costs the tree two steps; here they decide which side of the bound it is on.
    let mut lists = ClassAd::parse("[t = true]").unwrap();
    let items = vec!["1"; 1000].join(", ");
    lists.insert_expr("l", &format!("{{{items}}}")).unwrap();
    for sums in [320, 328, 330, 332, 334, 340, 494, 496, 498] {
        let clauses = [vec!["MY.t"; 3000], vec!["sum(l) == 1000"; sums]].concat();
        check(
            &lists,
            &target,
            &Expr::parse(&clauses.join(" && ")).unwrap(),
        );
    }
    let wide = vec!["TARGET.Memory == 5 || TARGET.c > 1"; 1500].join(" && ");
    check(&ClassAd::new(), &target, &Expr::parse(&wide).unwrap());
    let deep = format!("{}TARGET.Memory{}", "(1 + ".repeat(120), ")".repeat(120));
    check(&ClassAd::new(), &target, &Expr::parse(&deep).unwrap());
}

#[test]
fn attributes_that_share_an_expression_are_two_attributes() {
    let shared = Expr::parse("x =?= undefined ? 1 : 2").unwrap();
    let mut ad = ClassAd::parse("[x = b]").unwrap();
    ad.insert("a", &shared);
    ad.insert("b", &shared);
    let restored = ClassAd::parse(&ad.to_exact()).unwrap();
    assert_eq!(ad, restored);
    assert_eq!(ad.eval("a"), Value::Int(2));
    assert_eq!(restored.eval("a"), Value::Int(2));
    for text in ["a", "b", "a + b"] {
        check(&ad, &restored, &Expr::parse(text).unwrap());
    }
}

#[test]
fn what_an_ad_decides_is_decided_once() {
    let job = ClassAd::parse("[RequestMemory = 2 * 1024; Want = \"gpu\"; Never = false]").unwrap();
    let constant = |text: &str| Compiled::in_ad(&job, &Expr::parse(text).unwrap()).is_constant();
    assert!(constant("RequestMemory > 1024 && Want == \"GPU\""));
    assert!(!constant(
        "TARGET.Memory > 1 && error && TARGET.Disk > 1 || true"
    ));
    assert!(constant("Never && TARGET.Memory > 1"));
    assert!(!constant("TARGET.Memory >= RequestMemory"));
    assert!(!constant("random(5) < 3"));
}

#[test]
fn code_made_for_one_ad_is_right_in_another() {
    let one = ClassAd::parse("[a = 1]").unwrap();
    let two = ClassAd::parse("[a = 2]").unwrap();
    let compiled = Compiled::in_ad(&one, &Expr::parse("a * 10").unwrap());
    assert_eq!(Scope::new(&one).run(&compiled), Value::Int(10));
    assert_eq!(Scope::new(&two).run(&compiled), Value::Int(20));
}
