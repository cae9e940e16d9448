//! Tables that fit the terminal. Identifiers and numbers keep their width, so that they can be
//! copied; texts give way.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, presets};

use crate::output::{one_line, width};

/// What a column holds.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Never wrapped.
    Id(&'static str),
    /// Never wrapped, to the right.
    Number(&'static str),
    /// Wrapped where the terminal is too narrow.
    Text(&'static str),
}

/// A table in the making.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// Where a column that is empty in every row is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    Some,
    None,
}

impl Table {
    pub fn new(columns: &[Column]) -> Table {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: one cell a column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.row_of(cells.to_vec());
    }

    /// The same where the number of columns is found at run time.
    pub fn row_of(&mut self, cells: Vec<String>) {
        assert_eq!(
            cells.len(),
            self.columns.len(),
            "a row has one cell a column"
        );
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, each line ended; columns without any content are left out.
    pub fn render(&self) -> String {
        self.render_in(width())
    }

    fn render_in(&self, width: Option<usize>) -> String {
        let shown: Vec<usize> = (0..self.columns.len())
            .filter(|at| self.filled(*at) == Filled::Some)
            .collect();
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(shown.iter().map(|at| self.columns[*at].header()));
        for row in &self.rows {
            table.add_row(shown.iter().map(|at| self.columns[*at].cell(&row[*at])));
        }
        for (column, at) in table.column_iter_mut().zip(&shown) {
            column.set_padding((0, 2));
            if let Column::Id(_) | Column::Number(_) = self.columns[*at] {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn filled(&self, at: usize) -> Filled {
        let empty = self.rows.iter().all(|row| row[at].is_empty());
        if empty && !self.rows.is_empty() {
            Filled::None
        } else {
            Filled::Some
        }
    }
}

impl Column {
    fn header(self) -> Cell {
        match self {
            Column::Id(name) | Column::Text(name) => Cell::new(name),
            Column::Number(name) => Cell::new(name).set_alignment(CellAlignment::Right),
        }
    }

    fn cell(self, text: &str) -> Cell {
        let text = one_line(text);
        match self {
            Column::Id(_) | Column::Text(_) => Cell::new(text),
            Column::Number(_) => Cell::new(text).set_alignment(CellAlignment::Right),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[
            Column::Id("ID"),
            Column::Number("N"),
            Column::Text("E"),
            Column::Text("WHY"),
        ]);
        let why = "because nothing that anybody could think of was there in time";
        table.row(["123456.78".into(), "5".into(), String::new(), why.into()]);
        table.row(["1.0".into(), "50".into(), String::new(), "x\ny".into()]);
        table
    }

    #[test]
    fn ids_stay_whole_in_a_narrow_terminal() {
        let text = sample().render_in(Some(30));
        assert!(
            text.lines().all(|line| line.chars().count() <= 30),
            "{text}"
        );
        assert!(text.contains("123456.78"), "{text}");
        assert!(text.lines().count() > 3, "{text}");
    }

    #[test]
    fn without_a_terminal_each_row_is_a_line() {
        let text = sample().render_in(None);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.ends_with("1.0        50  x y\n"), "{text}");
        assert!(
            !text.contains('E'),
            "a column without content is left out: {text}"
        );
    }
}
