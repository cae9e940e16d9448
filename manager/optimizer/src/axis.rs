//! One parameter as a coordinate for the model: values to numbers and back.
//!
//! A number or an integer lies on a line scaled to `0..=1` (in logarithms where declared); a choice
//! is its index. Every coordinate the model sees is that of a real value: integers and steps are
//! rounded before the kernel looks at them. Holds no names and no messages.

use crate::point::ParamValue;
use crate::space::{ParamKind, Scale};

/// A finer grid than this is a continuum for the search.
const LEVELS_MAX: f64 = 9.0e15;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Axis {
    Line(Line),
    Choice { choices: Vec<String> },
}

/// Bounds, scale and grid of a numeric parameter. `grid` is 0 for a continuum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    low: f64,
    /// The last value: the upper bound, or the last one of the grid.
    high: f64,
    /// The declared upper bound.
    limit: f64,
    scale: Scale,
    grid: f64,
    kind: LineKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineKind {
    Real,
    Whole,
}

impl Axis {
    pub(crate) fn new(kind: &ParamKind) -> Axis {
        match kind {
            ParamKind::Float {
                low,
                high,
                scale,
                step,
            } => Axis::Line(Line::new(
                *low,
                *high,
                *scale,
                step.unwrap_or(0.0),
                LineKind::Real,
            )),
            ParamKind::Int {
                low,
                high,
                scale,
                step,
            } => {
                let step = step.unwrap_or(1) as f64;
                Axis::Line(Line::new(
                    *low as f64,
                    *high as f64,
                    *scale,
                    step,
                    LineKind::Whole,
                ))
            }
            ParamKind::Categorical { choices } => Axis::Choice {
                choices: choices.clone(),
            },
        }
    }

    /// How many values there are; `None` for a continuum.
    pub(crate) fn levels(&self) -> Option<u64> {
        match self {
            Axis::Line(line) => line.levels(),
            Axis::Choice { choices } => Some(choices.len() as u64),
        }
    }

    /// The coordinate of a value; `None` if the value does not belong to the axis.
    pub(crate) fn coordinate(&self, value: &ParamValue) -> Option<f64> {
        match (self, value) {
            (Axis::Line(line), ParamValue::Float(number)) => line.coordinate(*number),
            (Axis::Line(line), ParamValue::Int(number)) => line.coordinate(*number as f64),
            (Axis::Choice { choices }, ParamValue::Text(text)) => choices
                .iter()
                .position(|choice| choice == text)
                .map(|index| index as f64),
            (Axis::Line(_), ParamValue::Text(_))
            | (Axis::Choice { .. }, ParamValue::Float(_) | ParamValue::Int(_)) => None,
        }
    }

    /// The value at a coordinate, which is clamped and rounded to the nearest value.
    pub(crate) fn value(&self, coordinate: f64) -> ParamValue {
        match self {
            Axis::Line(line) => {
                let number = line.number(coordinate);
                match line.kind {
                    LineKind::Real => ParamValue::Float(number),
                    LineKind::Whole => ParamValue::Int(number as i64),
                }
            }
            Axis::Choice { choices } => {
                let last = choices.len() - 1;
                let index = (coordinate.round().max(0.0) as usize).min(last);
                ParamValue::Text(choices[index].clone())
            }
        }
    }

    /// The nearest coordinate that belongs to a value.
    pub(crate) fn snap(&self, coordinate: f64) -> f64 {
        match self {
            Axis::Line(line) => line.snap(coordinate),
            Axis::Choice { choices } => coordinate.round().clamp(0.0, (choices.len() - 1) as f64),
        }
    }

    /// A coordinate from a uniform number in `0..1`, such that every value of a grid has its share.
    pub(crate) fn draw(&self, uniform: f64) -> f64 {
        match self {
            Axis::Line(line) => line.draw(uniform),
            Axis::Choice { choices } => {
                let count = choices.len() as f64;
                (uniform * count).floor().clamp(0.0, count - 1.0)
            }
        }
    }

    /// The coordinate of value number `level` of a grid; on a continuum, of the lower bound.
    pub(crate) fn level(&self, level: u64) -> f64 {
        match self {
            Axis::Line(line) => line.unit(line.low + level as f64 * line.grid),
            Axis::Choice { .. } => self.snap(level as f64),
        }
    }

    /// The number of the grid value at a coordinate; `None` for a continuum.
    pub(crate) fn level_at(&self, coordinate: f64) -> Option<u64> {
        self.levels()?;
        match self {
            Axis::Line(line) => {
                Some(((line.number(coordinate) - line.low) / line.grid).round() as u64)
            }
            Axis::Choice { .. } => Some(self.snap(coordinate) as u64),
        }
    }

    /// A number that differs for different values of the axis and is the same for equal ones.
    pub(crate) fn key(&self, value: &ParamValue) -> u64 {
        match value {
            // Adding zero makes -0.0 and 0.0 the same.
            ParamValue::Float(number) => (number + 0.0).to_bits(),
            ParamValue::Int(number) => (*number as f64).to_bits(),
            ParamValue::Text(_) => self
                .coordinate(value)
                .map_or(u64::MAX, |index| index as u64),
        }
    }
}

impl Line {
    fn new(low: f64, high: f64, scale: Scale, grid: f64, kind: LineKind) -> Line {
        let mut line = Line {
            low,
            high,
            limit: high,
            scale,
            grid,
            kind,
        };
        if let Some(levels) = line.levels() {
            line.high = (low + (levels - 1) as f64 * grid).min(high);
        }
        line
    }

    fn levels(&self) -> Option<u64> {
        if self.grid <= 0.0 {
            return None;
        }
        // A hair of slack: 0.0..=0.3 by 0.1 has four values, whatever the division says.
        let steps = (self.high / self.grid - self.low / self.grid) * (1.0 + 1e-12) + 1e-9;
        (steps < LEVELS_MAX).then(|| steps.floor() as u64 + 1)
    }

    fn coordinate(&self, number: f64) -> Option<f64> {
        if !number.is_finite() || number < self.low || number > self.limit {
            return None;
        }
        let coordinate = self.unit(number);
        match self.kind {
            LineKind::Whole if number.fract() != 0.0 => None,
            LineKind::Whole | LineKind::Real => Some(coordinate),
        }
    }

    fn unit(&self, number: f64) -> f64 {
        let unit = match self.scale {
            // Halves, because the whole width may overflow.
            Scale::Linear => (number / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0),
            Scale::Log => (number.ln() - self.low.ln()) / (self.high.ln() - self.low.ln()),
        };
        if unit.is_finite() {
            unit.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    fn number(&self, coordinate: f64) -> f64 {
        self.on_grid(self.between(coordinate.clamp(0.0, 1.0), self.low, self.high))
    }

    fn snap(&self, coordinate: f64) -> f64 {
        if self.grid > 0.0 {
            self.unit(self.number(coordinate))
        } else {
            coordinate.clamp(0.0, 1.0)
        }
    }

    fn draw(&self, uniform: f64) -> f64 {
        if self.levels().is_none() {
            return uniform.clamp(0.0, 1.0);
        }
        let half = self.grid / 2.0;
        let low = match self.scale {
            Scale::Linear => self.low - half,
            Scale::Log => (self.low - half).max(self.low / 2.0),
        };
        self.unit(self.on_grid(self.between(uniform, low, self.high + half)))
    }

    fn between(&self, unit: f64, low: f64, high: f64) -> f64 {
        match self.scale {
            Scale::Linear => low * (1.0 - unit) + high * unit,
            Scale::Log => (low.ln() * (1.0 - unit) + high.ln() * unit).exp(),
        }
    }

    fn on_grid(&self, number: f64) -> f64 {
        let number = number.clamp(self.low, self.high);
        if self.grid <= 0.0 {
            return number;
        }
        let steps = ((number - self.low) / self.grid).round();
        (self.low + steps * self.grid).clamp(self.low, self.high)
    }
}
