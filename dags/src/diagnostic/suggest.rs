//! The nearest known word to a mistyped one.

/// Words longer than this are not compared: nobody mistypes them by two letters.
const WORD_CHARS_MAX: usize = 64;

/// The known word that `word` was probably meant to be: case, `-` and `_` aside, within a third of
/// its length in edits (insertions, deletions, replacements, swapped neighbours). The first of
/// equals wins.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    if word.is_empty() || word.len() > WORD_CHARS_MAX {
        return None;
    }
    let edits_max = (word.len() / 3).max(1);
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in known {
        let folded_candidate = folded(candidate);
        if folded_candidate.len().abs_diff(word.len()) > edits_max {
            continue;
        }
        let edits = distance(&word, &folded_candidate);
        if edits <= edits_max && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn folded(word: &str) -> Vec<char> {
    word.chars()
        .take(WORD_CHARS_MAX + 1)
        .map(|c| {
            if c == '-' {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Optimal string alignment distance, three rows at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}
