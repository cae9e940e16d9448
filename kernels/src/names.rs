//! Help with names that are almost right. Pure text; knows nothing of what is named.

/// The candidate nearest to `wanted`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = wanted.chars().count();
    // Of a single letter nothing but its case may differ.
    let limit = length.div_ceil(3).min(length.saturating_sub(1));
    candidates
        .into_iter()
        .map(|candidate| (distance(wanted, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean `x`?`, or nothing.
pub(crate) fn did_you_mean<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(wanted, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Names joined for a message, cut after `LISTED_MAX`.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const LISTED_MAX: usize = 24;
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = names[..names.len().min(LISTED_MAX)].join(", ");
    if names.len() > LISTED_MAX {
        text.push_str(&format!(", … {} more", names.len() - LISTED_MAX));
    }
    text
}

/// Edits (insert, delete, replace, swap of neighbours) between two words, without case.
fn distance(left: &str, right: &str) -> usize {
    const WORD_CHARS_MAX: usize = 128;
    let fold = |word: &str| -> Vec<char> {
        word.chars()
            .flat_map(char::to_lowercase)
            .take(WORD_CHARS_MAX)
            .collect()
    };
    let (left, right) = (fold(left), fold(right));
    let width = right.len() + 1;
    let mut table = vec![0; (left.len() + 1) * width];
    (0..width).for_each(|j| table[j] = j);
    for i in 1..=left.len() {
        table[i * width] = i;
        for j in 1..width {
            let replaced = usize::from(left[i - 1] != right[j - 1]);
            let mut best = (table[(i - 1) * width + j] + 1)
                .min(table[i * width + j - 1] + 1)
                .min(table[(i - 1) * width + j - 1] + replaced);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(table[(i - 2) * width + j - 2] + 1);
            }
            table[i * width + j] = best;
        }
    }
    table[left.len() * width + right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["rating", "age_days", "hour"];
        for (wanted, expected) in [
            ("ratng", Some("rating")),
            ("Rating", Some("rating")),
            ("artng", Some("rating")),
            ("huor", Some("hour")),
            ("plan", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, names), expected, "{wanted}");
        }
    }
}
