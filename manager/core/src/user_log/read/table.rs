//! The table of what a job used, asked for and was given, by the right edges of its columns' heads.

use classad::{ClassAd, Expr};

/// Where the columns end, counted from behind the colon.
pub(super) struct Columns {
    used: usize,
    requested: usize,
    allocated: Option<usize>,
    /// Where this one begins: it has the rest of the line.
    assigned: Option<usize>,
}

impl Columns {
    /// Whether a line is a table's head.
    pub(super) fn is_head(line: &str) -> bool {
        line.starts_with("\tPartitionable ") || line.starts_with("\tResources")
    }

    pub(super) fn of(head: &str) -> Columns {
        let from = head.find(':').map_or(1, |at| at + 1);
        let heads = head.get(from..).unwrap_or("");
        let word_end = |at: usize| {
            let rest = &heads[at..];
            let spaces = rest.len() - rest.trim_start_matches(' ').len();
            let word = rest[spaces..].find(' ').unwrap_or(rest.len() - spaces);
            at + spaces + word
        };
        let used = word_end(0);
        let requested = word_end(used);
        let allocated = heads[requested..]
            .find("Allocated")
            .map(|at| requested + at);
        let assigned = allocated.and_then(|from| {
            let found = heads[from..].find("Assigned");
            found.map(|at| from + at)
        });
        Columns {
            used: used + 1,
            requested: requested + 1,
            allocated: allocated.map(|at| at + "Allocated".len()),
            assigned,
        }
    }

    /// Adds what a row says; a line without a colon is none. What is no expression is left out.
    pub(super) fn row(&self, line: &str, ad: &mut ClassAd) -> Option<()> {
        let (label, row) = line.split_once(':')?;
        let label = label.trim_start_matches(['\t', ' ']);
        let name = label.split(' ').next().unwrap_or("");
        let mut cell = |name: String, from: usize, to: usize| {
            let bytes = row.as_bytes();
            let to = to.min(bytes.len());
            let cell = bytes.get(from.min(to)..to).unwrap_or(&[]);
            let cell = String::from_utf8_lossy(cell);
            if let Ok(expr) = Expr::parse_old(cell.trim()) {
                ad.insert(name, expr);
            }
        };
        cell(format!("{name}Usage"), 0, self.used);
        cell(format!("Request{name}"), self.used, self.requested);
        if let Some(allocated) = self.allocated {
            cell(name.to_owned(), self.requested, allocated);
        }
        if let Some(assigned) = self.assigned {
            cell(format!("Assigned{name}"), assigned, usize::MAX);
        }
        Some(())
    }
}
