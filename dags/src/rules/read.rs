//! From TOML to [`Rules`], collecting everything that is wrong on the way.

use std::collections::BTreeMap;
use std::ops::Range;

use classad::Expr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    GROUP_DEPTH_MAX, GroupRules, NAMES_MAX, Quota, RULES_BYTES_MAX, RankPreempts, Rules, Surplus,
    UserRules,
};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::source::{Source, Span};

const KEYS: [&str; 12] = [
    "half_life_s",
    "weight",
    "order",
    "preemption_requirements",
    "preempt_for_rank",
    "restarts_max",
    "jobs_running_max",
    "limit_default",
    "user",
    "users",
    "groups",
    "limits",
];
const USER_KEYS: [&str; 2] = ["factor", "jobs_running_max"];
const GROUP_KEYS: [&str; 3] = ["quota", "share", "surplus"];
/// Terms of `order`.
const ORDER_MAX: usize = 32;

type Table<'t> = DeTable<'t>;
type Item<'t> = Spanned<DeValue<'t>>;

/// See [`Rules::parse`].
pub(super) fn rules(file: &str, text: &str) -> Result<Rules, Diagnostics> {
    let mut reader = Reader {
        source: Source::new(file, String::new()),
        diagnostics: Diagnostics::new(),
    };
    if text.len() > RULES_BYTES_MAX {
        let message = format!("a rules file has at most {RULES_BYTES_MAX} bytes");
        return Err(Diagnostic::of_file(Code::RulesSyntax, file, message).into());
    }
    reader.source.text = text.to_owned();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        reader.report(Code::RulesSyntax, span, error.message().to_owned());
    }
    if reader.diagnostics.has_errors() {
        return Err(reader.diagnostics);
    }
    let mut rules = reader.whole(table.get_ref());
    text.clone_into(&mut rules.text);
    match reader.diagnostics.has_errors() {
        true => Err(reader.diagnostics),
        false => Ok(rules),
    }
}

struct Reader {
    source: Source,
    diagnostics: Diagnostics,
}

impl Reader {
    fn whole(&mut self, table: &Table<'_>) -> Rules {
        self.unknown_keys(table, &KEYS, "the pool's rules");
        let mut rules = Rules::default();
        if let Some(seconds) = self.number(table, "half_life_s", 1.0) {
            rules.half_life_s = seconds;
        }
        if let Some(weight) = self.expression(table, "weight") {
            rules.weight = weight;
        }
        if let Some(item) = table.get("order") {
            self.order(item, &mut rules);
        }
        if let Some(when) = self.expression(table, "preemption_requirements") {
            rules.preemption_requirements = when;
        }
        if self.flag(table, "preempt_for_rank") == Some(true) {
            rules.rank_preempts = RankPreempts::Yes;
        }
        rules.restarts_max = self.count(table, "restarts_max");
        rules.jobs_running_max = self.count(table, "jobs_running_max");
        rules.limit_default = self.number(table, "limit_default", 0.0);
        if let Some(user) = self.table(table, "user") {
            rules.user = self.user_rules(user, rules.user, "[user]");
        }
        for (name, item) in self.named(table, "users") {
            let what = format!("[users.{name}]");
            if let Some(of) = self.as_table(item, &what) {
                let user = self.user_rules(of, rules.user, &what);
                rules.users.insert(name, user);
            }
        }
        for (name, item) in self.named(table, "groups") {
            let what = format!("[groups.{name:?}]");
            if let Some(of) = self.as_table(item, &what)
                && let Some(group) = self.group(of, item.span(), &what)
            {
                rules.groups.insert(name.to_ascii_lowercase(), group);
            }
        }
        self.groups_fit(table, &rules.groups);
        for (name, item) in self.named(table, "limits") {
            if let Some(amount) = self.at_least(item, &name, 0.0) {
                rules.limits.insert(name.to_ascii_lowercase(), amount);
            }
        }
        rules
    }

    fn order(&mut self, item: &Item<'_>, rules: &mut Rules) {
        let Some(list) = item.get_ref().as_array() else {
            let message = "`order` is a list of expressions".to_owned();
            self.report(Code::RulesBadValue, item.span(), message);
            return;
        };
        if list.len() > ORDER_MAX {
            let message = format!("`order` has {} terms, more than {ORDER_MAX}", list.len());
            self.report(Code::RulesBadValue, item.span(), message);
            return;
        }
        let terms: Vec<Expr> = list
            .iter()
            .filter_map(|item| self.parsed(item, "order"))
            .collect();
        rules.order = terms;
    }

    fn user_rules(&mut self, table: &Table<'_>, base: UserRules, what: &str) -> UserRules {
        self.unknown_keys(table, &USER_KEYS, what);
        let max = self.count(table, "jobs_running_max");
        UserRules {
            factor: self.number(table, "factor", 1.0).unwrap_or(base.factor),
            jobs_running_max: max.or(base.jobs_running_max),
        }
    }

    fn group(&mut self, table: &Table<'_>, place: Range<usize>, what: &str) -> Option<GroupRules> {
        self.unknown_keys(table, &GROUP_KEYS, what);
        let weight = self.number(table, "quota", 0.0);
        let share = self.number(table, "share", 0.0);
        let quota = match (weight, share) {
            (Some(weight), None) => Quota::Weight(weight),
            (None, Some(share)) if share <= 1.0 => Quota::Share(share),
            (None, Some(_)) => {
                let message = format!("`share` of {what} is more than the whole, 1.0");
                self.report(Code::RulesBadValue, place, message);
                return None;
            }
            (_, _) => {
                let message = format!("{what} needs one of `quota` and `share`");
                self.report(Code::RulesBadValue, place, message);
                return None;
            }
        };
        let surplus = match self.flag(table, "surplus") {
            Some(true) => Surplus::Accept,
            Some(false) | None => Surplus::Refuse,
        };
        Some(GroupRules { quota, surplus })
    }

    /// Each group's parents are groups, too, and not too many.
    fn groups_fit(&mut self, table: &Table<'_>, groups: &BTreeMap<String, GroupRules>) {
        let Some(written) = table
            .get("groups")
            .and_then(|item| item.get_ref().as_table())
        else {
            return;
        };
        for key in written.keys() {
            let name = key.get_ref().to_ascii_lowercase();
            let whole = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
            if !name.split('.').all(whole) {
                let message = format!("`{name}` is no name of a group");
                self.report(Code::RulesBadValue, key.span(), message);
            } else if name.split('.').count() > GROUP_DEPTH_MAX {
                let message = format!("`{name}` is more than {GROUP_DEPTH_MAX} groups deep");
                self.report(Code::RulesBadValue, key.span(), message);
            } else if let Some((above, _)) = name.rsplit_once('.')
                && !groups.contains_key(above)
            {
                let message = format!("`{name}` is within `{above}`, which is no group");
                self.report(Code::RulesBadValue, key.span(), message);
            }
        }
    }
}

// === values ===

impl Reader {
    /// The entries of a table of names, in the order of the names.
    fn named<'t, 'd>(&mut self, table: &'t Table<'d>, key: &str) -> Vec<(String, &'t Item<'d>)> {
        let Some(of) = self.table(table, key) else {
            return Vec::new();
        };
        if of.len() > NAMES_MAX {
            let place = table.get(key).map_or(0..0, Spanned::span);
            let message = format!("`{key}` has {} names, more than {NAMES_MAX}", of.len());
            self.report(Code::RulesBadValue, place, message);
            return Vec::new();
        }
        let entries = of.iter();
        entries
            .map(|(name, item)| (name.get_ref().to_string(), item))
            .collect()
    }

    fn table<'t, 'd>(&mut self, table: &'t Table<'d>, key: &str) -> Option<&'t Table<'d>> {
        let item = table.get(key)?;
        self.as_table(item, &format!("`{key}`"))
    }

    fn as_table<'t, 'd>(&mut self, item: &'t Item<'d>, what: &str) -> Option<&'t Table<'d>> {
        let table = item.get_ref().as_table();
        if table.is_none() {
            let message = format!("{what} is a table");
            self.report(Code::RulesBadValue, item.span(), message);
        }
        table
    }

    fn number(&mut self, table: &Table<'_>, key: &str, least: f64) -> Option<f64> {
        let item = table.get(key)?;
        self.at_least(item, key, least)
    }

    fn at_least(&mut self, item: &Item<'_>, key: &str, least: f64) -> Option<f64> {
        let text = match item.get_ref() {
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        let number = text.and_then(|text| text.replace('_', "").parse::<f64>().ok());
        let number = number.filter(|number| number.is_finite() && *number >= least);
        if number.is_none() {
            let message = format!("`{key}` is a number of at least {least}");
            self.report(Code::RulesBadValue, item.span(), message);
        }
        number
    }

    fn count(&mut self, table: &Table<'_>, key: &str) -> Option<u32> {
        let number = self.number(table, key, 0.0)?;
        if number.fract() != 0.0 || number > f64::from(u32::MAX) {
            let place = table.get(key).map_or(0..0, Spanned::span);
            let message = format!("`{key}` is a whole number");
            self.report(Code::RulesBadValue, place, message);
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is a whole number in the range of a u32"
        )]
        Some(number as u32)
    }

    fn flag(&mut self, table: &Table<'_>, key: &str) -> Option<bool> {
        let item = table.get(key)?;
        let flag = item.get_ref().as_bool();
        if flag.is_none() {
            let message = format!("`{key}` is true or false");
            self.report(Code::RulesBadValue, item.span(), message);
        }
        flag
    }

    fn expression(&mut self, table: &Table<'_>, key: &str) -> Option<Expr> {
        let item = table.get(key)?;
        self.parsed(item, key)
    }

    fn parsed(&mut self, item: &Item<'_>, key: &str) -> Option<Expr> {
        let parsed = match item.get_ref() {
            DeValue::String(text) => Expr::parse(text).map_err(|error| error.to_string()),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => Err("it is no text in quotes".to_owned()),
        };
        match parsed {
            Ok(expr) => Some(expr),
            Err(error) => {
                let message = format!("`{key}` is no expression: {error}");
                self.report(Code::RulesBadValue, item.span(), message);
                None
            }
        }
    }

    fn unknown_keys(&mut self, table: &Table<'_>, known: &[&'static str], what: &str) {
        let mut keys: Vec<_> = table.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        for key in keys {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let message = format!("`{name}` means nothing in {what}");
            let diagnostic = self
                .at(Code::RulesUnknownKey, key.span(), message)
                .expected(known.join(", "))
                .suggest(did_you_mean(name, known.iter().copied()));
            self.diagnostics.push(diagnostic);
        }
    }

    fn at(&self, code: Code, place: Range<usize>, message: String) -> Diagnostic {
        let span = Span::new(place.start, place.end);
        self.source.error(code, span, message)
    }

    fn report(&mut self, code: Code, place: Range<usize>, message: String) {
        let diagnostic = self.at(code, place, message);
        self.diagnostics.push(diagnostic);
    }
}
