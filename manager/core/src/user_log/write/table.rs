//! The table of what a job used, asked for and was given. Only the writing; the columns are read
//! in `read`.

use crate::user_log::event::{Amount, Resource};

/// A resource's name ends after as many bytes: a row stays short enough for a reader that looks for
/// the end of an event piece by piece.
const NAME_BYTES_MAX: usize = 64;
/// And what is assigned after as many.
const ASSIGNED_BYTES_MAX: usize = 256;
/// Least widths of the columns.
const NAME_WIDTH: usize = 12;
const AMOUNT_WIDTH: usize = 8;
const ALLOCATED_WIDTH: usize = 9;

/// Adds the table, by resource; nothing where there is none.
///
/// The columns are as wide as their widest text, and whole numbers stand left of where others have
/// a point: a reader finds the columns by the right edges of their heads.
pub(super) fn write(out: &mut String, resources: &[Resource]) {
    let mut rows: Vec<[String; 5]> = resources.iter().filter_map(row).collect();
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|row| row[0].to_ascii_lowercase());
    rows.dedup_by_key(|row| row[0].to_ascii_lowercase());
    for column in 1..=3 {
        if rows.iter().any(|row| row[column].contains('.')) {
            for row in &mut rows {
                if !row[column].is_empty() && !row[column].contains('.') {
                    row[column].push_str("   ");
                }
            }
        }
    }
    let width = |column: usize, least: usize| {
        let widest = rows.iter().map(|row| row[column].len()).max();
        widest.unwrap_or(0).max(least)
    };
    let name = width(0, NAME_WIDTH) + 8;
    let used = width(1, AMOUNT_WIDTH);
    let requested = width(2, AMOUNT_WIDTH);
    let allocated = width(3, ALLOCATED_WIDTH);
    // A reader looks for what is assigned behind what is allocated.
    let head = |columns: &[usize], text: &'static str| {
        let filled = columns.iter().any(|column| width(*column, 0) > 0);
        if filled { text } else { "" }
    };
    out.push_str(&format!(
        "\tPartitionable Resources : {:>used$} {:>requested$} {:>allocated$} {}\n",
        "Usage",
        "Request",
        head(&[3, 4], "Allocated"),
        head(&[4], "Assigned"),
    ));
    for row in &rows {
        let label = format!("{}{}", row[0], unit(&row[0]));
        out.push_str(&format!(
            "\t   {label:<name$} : {:>used$} {:>requested$} {:>allocated$} {}\n",
            row[1], row[2], row[3], row[4],
        ));
    }
}

/// Name, three amounts, and what is assigned, as a string of the ad language.
fn row(resource: &Resource) -> Option<[String; 5]> {
    let name: String = resource
        .name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(NAME_BYTES_MAX)
        .collect();
    let assigned = resource.assigned.as_ref().map(|text| {
        let plain = text
            .chars()
            .filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\'));
        let plain: String = plain.take(ASSIGNED_BYTES_MAX).collect();
        format!("\"{plain}\"")
    });
    (!name.is_empty()).then(|| {
        [
            name,
            amount(resource.used),
            amount(resource.requested),
            amount(resource.allocated),
            assigned.unwrap_or_default(),
        ]
    })
}

fn amount(amount: Option<Amount>) -> String {
    match amount {
        None => String::new(),
        Some(Amount::Whole(n)) => n.to_string(),
        Some(Amount::Part(x)) if !x.is_finite() => String::new(),
        // A number without a fraction may be too large for any column.
        Some(Amount::Part(x)) if x.fract() == 0.0 => (x as i64).to_string(),
        Some(Amount::Part(x)) => format!("{x:.2}"),
    }
}

fn unit(name: &str) -> &'static str {
    match name {
        "Memory" | "GpusMemory" => " (MB)",
        "Disk" => " (KB)",
        "Gpus" => " (Average)",
        "TimeExecute" | "TimeSlotBusy" => " (s)",
        _ => "",
    }
}
