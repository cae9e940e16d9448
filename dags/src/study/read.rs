//! From TOML to a [`StudySpec`], collecting everything that is wrong on the way.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    CHOICES_MAX, Goal, PARAMS_MAX, Param, ParamKind, ParamValue, STUDY_BYTES_MAX, Scale, Space,
    StudySpec, TRIALS_MAX,
};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::source::{Source, Span};
use crate::submit::is_command;

const KEYS: [&str; 9] = [
    "metric",
    "goal",
    "trials",
    "parallel",
    "seed",
    "family",
    "failures_max",
    "startup",
    "space",
];
/// Keys that will mean something and do not yet.
const RESERVED: [&str; 3] = ["early_stop", "constraints", "conditions"];
const RANGE_KEYS: [&str; 5] = ["type", "low", "high", "log", "default"];
const CHOICE_KEYS: [&str; 3] = ["type", "choices", "default"];
const RESERVED_PARAM: [&str; 2] = ["conditions", "when"];
const TYPES: [&str; 3] = ["float", "int", "categorical"];
const GOALS: [&str; 2] = ["minimize", "maximize"];
/// Names that mean something else in a trial's job.
const TAKEN: [&str; 3] = ["trial", "study", "seed"];

/// A table with the place it stands at.
type Table<'t> = DeTable<'t>;
type Item<'t> = Spanned<DeValue<'t>>;

/// See [`StudySpec::parse`].
pub(super) fn study(file: &str, text: &str) -> Result<StudySpec, Diagnostics> {
    let mut reader = Reader {
        source: Source::new(file, String::new()),
        diagnostics: Diagnostics::new(),
    };
    if text.len() > STUDY_BYTES_MAX {
        let message = format!("a study file has at most {STUDY_BYTES_MAX} bytes");
        return Err(Diagnostic::of_file(Code::StudySyntax, file, message).into());
    }
    reader.source.text = text.to_owned();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        reader.report(Code::StudySyntax, span, error.message().to_owned());
    }
    if reader.diagnostics.has_errors() {
        return Err(reader.diagnostics);
    }
    let spec = reader.spec(file, table.get_ref());
    match spec {
        Some(spec) if !reader.diagnostics.has_errors() => Ok(spec),
        Some(_) | None => Err(reader.diagnostics),
    }
}

struct Reader {
    source: Source,
    diagnostics: Diagnostics,
}

impl Reader {
    fn spec(&mut self, file: &str, table: &Table<'_>) -> Option<StudySpec> {
        self.unknown_keys(table, &KEYS, &RESERVED, "a study file");
        let metric = self
            .required(table, "metric", "the number that trials report")
            .and_then(|item| self.text(item, "metric"));
        let goal = self
            .required(table, "goal", "`minimize` or `maximize`")
            .and_then(|item| self.goal(item));
        let trials = self
            .required(table, "trials", "how many trials to run")
            .and_then(|item| self.count(item, "trials", 1, TRIALS_MAX));
        let trials_max = trials.unwrap_or(TRIALS_MAX);
        let parallel = match table.get("parallel") {
            Some(item) => self.count(item, "parallel", 1, trials_max),
            None => Some(1),
        };
        let seed = match table.get("seed") {
            Some(item) => self.seed(item),
            None => Some(0),
        };
        let family = table
            .get("family")
            .and_then(|item| self.text(item, "family"));
        let failures_max = table
            .get("failures_max")
            .and_then(|item| self.count(item, "failures_max", 0, TRIALS_MAX));
        let startup = table
            .get("startup")
            .and_then(|item| self.count(item, "startup", 1, trials_max));
        let space = self
            .required(table, "space", "the parameters, as `[space.name]` tables")
            .and_then(|item| self.space(item));
        Some(StudySpec {
            file: file.to_owned(),
            metric: metric?,
            goal: goal?,
            trials: trials?,
            parallel: parallel?,
            seed: seed?,
            family,
            failures_max,
            startup,
            space: space?,
        })
    }

    fn space(&mut self, item: &Item<'_>) -> Option<Space> {
        let Some(table) = item.get_ref().as_table() else {
            self.report(
                Code::StudyBadValue,
                item.span(),
                "`space` is a table of parameters".into(),
            );
            return None;
        };
        if table.is_empty() || table.len() > PARAMS_MAX {
            let message = format!(
                "a space has 1 to {PARAMS_MAX} parameters, this one {}",
                table.len()
            );
            self.report(Code::StudySpace, item.span(), message);
            return None;
        }
        // The TOML table is sorted by name; the order of a space is that of the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut params: Vec<Param> = Vec::new();
        for (key, item) in entries {
            let name: &str = key.get_ref();
            if !self.is_param_name(name, key.span()) {
                continue;
            }
            if params
                .iter()
                .any(|param| param.name.eq_ignore_ascii_case(name))
            {
                let message =
                    format!("two parameters are named `{name}`; names compare without case");
                self.report(Code::StudySpace, key.span(), message);
            }
            let Some(table) = item.get_ref().as_table() else {
                let message = format!("the parameter `{name}` is not a table");
                self.report_expecting(
                    Code::StudyBadValue,
                    item.span(),
                    message,
                    "`[space.name]` with `type = …`",
                );
                continue;
            };
            if let Some((kind, default)) = self.param(name, table, key.span()) {
                params.push(Param {
                    name: name.to_owned(),
                    kind,
                    default,
                });
            }
        }
        self.defaults_agree(table, &params);
        Some(Space { params })
    }

    /// Defaults for all parameters, or for none.
    fn defaults_agree(&mut self, table: &Table<'_>, params: &[Param]) {
        let with = params
            .iter()
            .filter(|param| param.default.is_some())
            .count();
        if with == 0 || with == params.len() {
            return;
        }
        for param in params.iter().filter(|param| param.default.is_none()) {
            if let Some((key, item)) = table.get_key_value(param.name.as_str())
                && item
                    .get_ref()
                    .as_table()
                    .is_some_and(|table| !table.contains_key("default"))
            {
                let message = format!(
                    "`{}` has no default, while other parameters have one",
                    param.name
                );
                let help = "give a default to all parameters, which makes the first trial of them, or to none";
                let diagnostic = self.at(Code::StudySpace, key.span(), message).help(help);
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn param(
        &mut self,
        name: &str,
        table: &Table<'_>,
        place: Range<usize>,
    ) -> Option<(ParamKind, Option<ParamValue>)> {
        let Some(item) = table.get("type") else {
            let message = format!("the parameter `{name}` has no `type`");
            self.report_expecting(
                Code::StudyMissingKey,
                place,
                message,
                "`float`, `int` or `categorical`",
            );
            return None;
        };
        let errors_before = self.diagnostics.len();
        let what = format!("the parameter `{name}`");
        let kind = match item.get_ref().as_str() {
            Some("float") => {
                self.unknown_keys(table, &RANGE_KEYS, &RESERVED_PARAM, &what);
                self.float_range(table, name, place)
            }
            Some("int") => {
                self.unknown_keys(table, &RANGE_KEYS, &RESERVED_PARAM, &what);
                self.int_range(table, name, place)
            }
            Some("categorical") => {
                self.unknown_keys(table, &CHOICE_KEYS, &RESERVED_PARAM, &what);
                self.choices(table, name, place)
            }
            other => {
                let message = "no such type of parameter".to_owned();
                let diagnostic = self
                    .at(Code::StudyBadValue, item.span(), message)
                    .expected("`float`, `int` or `categorical`")
                    .suggest(other.and_then(|word| did_you_mean(word, TYPES)));
                self.diagnostics.push(diagnostic);
                None
            }
        }?;
        let default = match table.get("default") {
            None => None,
            Some(item) => self.default(item, &kind),
        };
        (self.diagnostics.len() == errors_before).then_some((kind, default))
    }

    fn default(&mut self, item: &Item<'_>, kind: &ParamKind) -> Option<ParamValue> {
        let value = self.value(item)?;
        if !kind.contains(&value) {
            let message = match kind {
                ParamKind::Float { low, high, .. } => {
                    format!("the default {value} is not in {low:?} to {high:?}")
                }
                ParamKind::Int { low, high, .. } => {
                    format!("the default {value} is not a whole number in {low} to {high}")
                }
                ParamKind::Categorical { .. } => {
                    format!("the default `{value}` is not one of the choices")
                }
            };
            self.report(Code::StudySpace, item.span(), message);
            return None;
        }
        Some(match (kind, value.as_f64()) {
            (ParamKind::Float { .. }, Some(number)) => ParamValue::Float(number),
            (
                ParamKind::Float { .. } | ParamKind::Int { .. } | ParamKind::Categorical { .. },
                _,
            ) => value,
        })
    }

    fn float_range(
        &mut self,
        table: &Table<'_>,
        name: &str,
        place: Range<usize>,
    ) -> Option<ParamKind> {
        let low = self
            .bound(table, name, "low", place.clone())
            .and_then(|item| self.float(item));
        let high = self
            .bound(table, name, "high", place)
            .and_then(|item| self.float(item));
        let scale = self.scale(table);
        let (low, high) = (low?, high?);
        if low >= high {
            self.bad_range(
                table,
                format!("`low` is {low:?} and `high` {high:?}: nothing lies between"),
            );
            return None;
        }
        if scale == Scale::Log && low <= 0.0 {
            self.bad_range(
                table,
                format!("a log scale begins above 0, `low` is {low:?}"),
            );
            return None;
        }
        Some(ParamKind::Float { low, high, scale })
    }

    fn int_range(
        &mut self,
        table: &Table<'_>,
        name: &str,
        place: Range<usize>,
    ) -> Option<ParamKind> {
        let low = self
            .bound(table, name, "low", place.clone())
            .and_then(|item| self.int(item));
        let high = self
            .bound(table, name, "high", place)
            .and_then(|item| self.int(item));
        let scale = self.scale(table);
        let (low, high) = (low?, high?);
        if low >= high {
            self.bad_range(
                table,
                format!("`low` is {low} and `high` {high}: nothing lies between"),
            );
            return None;
        }
        if scale == Scale::Log && low <= 0 {
            self.bad_range(table, format!("a log scale begins above 0, `low` is {low}"));
            return None;
        }
        Some(ParamKind::Int { low, high, scale })
    }

    fn choices(&mut self, table: &Table<'_>, name: &str, place: Range<usize>) -> Option<ParamKind> {
        let item = self.bound(table, name, "choices", place)?;
        let array = match item.get_ref().as_array() {
            Some(array) if (1..=CHOICES_MAX).contains(&array.len()) => array,
            Some(_) | None => {
                let message = format!("`choices` is a list of 1 to {CHOICES_MAX} values");
                self.report(Code::StudyBadValue, item.span(), message);
                return None;
            }
        };
        let mut choices: Vec<ParamValue> = Vec::with_capacity(array.len());
        for item in array {
            let value = self.value(item)?;
            // What a job sees is the printed value: it has to tell choices apart.
            let printed = value.to_string();
            if choices.iter().any(|choice| choice.to_string() == printed) {
                self.report(
                    Code::StudySpace,
                    item.span(),
                    format!("the choice `{printed}` is there twice"),
                );
            }
            choices.push(value);
        }
        Some(ParamKind::Categorical { choices })
    }

    fn scale(&mut self, table: &Table<'_>) -> Scale {
        match table
            .get("log")
            .map(|item| (item, item.get_ref().as_bool()))
        {
            Some((_, Some(true))) => Scale::Log,
            Some((_, Some(false))) | None => Scale::Linear,
            Some((item, None)) => {
                self.report(
                    Code::StudyBadValue,
                    item.span(),
                    "`log` is true or false".into(),
                );
                Scale::Linear
            }
        }
    }

    fn is_param_name(&mut self, name: &str, place: Range<usize>) -> bool {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let message =
            if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                format!("`{name}` is no name of a parameter: letters, digits and `_`")
            } else if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
                format!("`{name}` means something else in a trial's job")
            } else if is_command(name) {
                format!("`{name}` is a submit command: as a macro it would change the trial's job")
            } else {
                return true;
            };
        self.report(Code::StudySpace, place, message);
        false
    }

    fn unknown_keys(
        &mut self,
        table: &Table<'_>,
        known: &[&'static str],
        reserved: &[&str],
        what: &str,
    ) {
        let mut keys: Vec<_> = table.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        for key in keys {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let diagnostic = if reserved.contains(&name) {
                let message = format!("`{name}` is reserved and not supported yet");
                self.at(Code::StudyReservedKey, key.span(), message)
            } else {
                let message = format!("`{name}` means nothing in {what}");
                self.at(Code::StudyUnknownKey, key.span(), message)
                    .expected(known.join(", "))
                    .suggest(did_you_mean(name, known.iter().copied()))
            };
            self.diagnostics.push(diagnostic);
        }
    }

    fn required<'t>(
        &mut self,
        table: &'t Table<'_>,
        key: &str,
        what: &str,
    ) -> Option<&'t Item<'t>> {
        let found = table.get(key);
        if found.is_none() {
            let message = format!("the study file has no `{key}`");
            let file = self.source.file.clone();
            self.diagnostics
                .push(Diagnostic::of_file(Code::StudyMissingKey, &file, message).expected(what));
        }
        found
    }

    fn bound<'t>(
        &mut self,
        table: &'t Table<'_>,
        name: &str,
        key: &str,
        place: Range<usize>,
    ) -> Option<&'t Item<'t>> {
        let found = table.get(key);
        if found.is_none() {
            self.report(
                Code::StudyMissingKey,
                place,
                format!("the parameter `{name}` has no `{key}`"),
            );
        }
        found
    }

    fn bad_range(&mut self, table: &Table<'_>, message: String) {
        let span = table.get("low").map_or(0..0, Spanned::span);
        self.report(Code::StudySpace, span, message);
    }

    fn text(&mut self, item: &Item<'_>, key: &str) -> Option<String> {
        let found = item
            .get_ref()
            .as_str()
            .filter(|text| !text.trim().is_empty())
            .map(str::to_owned);
        if found.is_none() {
            self.report(
                Code::StudyBadValue,
                item.span(),
                format!("`{key}` is a text"),
            );
        }
        found
    }

    fn goal(&mut self, item: &Item<'_>) -> Option<Goal> {
        match item.get_ref().as_str() {
            Some("minimize") => Some(Goal::Minimize),
            Some("maximize") => Some(Goal::Maximize),
            other => {
                let diagnostic = self
                    .at(Code::StudyBadValue, item.span(), "no such goal".to_owned())
                    .expected("`minimize` or `maximize`")
                    .suggest(other.and_then(|word| did_you_mean(word, GOALS)));
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    fn count(&mut self, item: &Item<'_>, key: &str, min: u32, max: u32) -> Option<u32> {
        let found = integer(item.get_ref())
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (min..=max).contains(number));
        if found.is_none() {
            let message = format!("`{key}` is a whole number from {min} to {max}");
            self.report(Code::StudyBadValue, item.span(), message);
        }
        found
    }

    fn seed(&mut self, item: &Item<'_>) -> Option<u64> {
        let found = integer(item.get_ref()).and_then(|number| u64::try_from(number).ok());
        if found.is_none() {
            let message = format!("`seed` is a whole number from 0 to {}", i64::MAX);
            self.report(Code::StudyBadValue, item.span(), message);
        }
        found
    }

    fn value(&mut self, item: &Item<'_>) -> Option<ParamValue> {
        match item.get_ref() {
            DeValue::Boolean(value) => Some(ParamValue::Bool(*value)),
            DeValue::String(text) => Some(ParamValue::Text(text.to_string())),
            DeValue::Integer(_) => self.int(item).map(ParamValue::Int),
            DeValue::Float(_) => self.float(item).map(ParamValue::Float),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                let message = "a value is a number, a text, true or false".to_owned();
                self.report(Code::StudyBadValue, item.span(), message);
                None
            }
        }
    }

    fn float(&mut self, item: &Item<'_>) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a bound written as an integer")]
        let found = match item.get_ref() {
            DeValue::Float(number) => number
                .as_str()
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite()),
            value => integer(value).map(|number| number as f64),
        };
        if found.is_none() {
            self.report(
                Code::StudyBadValue,
                item.span(),
                "not a finite number".into(),
            );
        }
        found
    }

    fn int(&mut self, item: &Item<'_>) -> Option<i64> {
        let found = integer(item.get_ref());
        if found.is_none() {
            self.report(
                Code::StudyBadValue,
                item.span(),
                "not a whole number of 64 bits".into(),
            );
        }
        found
    }

    fn report_expecting(
        &mut self,
        code: Code,
        place: Range<usize>,
        message: String,
        expected: &str,
    ) {
        let diagnostic = self.at(code, place, message).expected(expected);
        self.diagnostics.push(diagnostic);
    }

    fn report(&mut self, code: Code, place: Range<usize>, message: String) {
        let diagnostic = self.at(code, place, message);
        self.diagnostics.push(diagnostic);
    }

    fn at(&self, code: Code, place: Range<usize>, message: String) -> Diagnostic {
        self.source
            .error(code, Span::new(place.start, place.end), message)
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
