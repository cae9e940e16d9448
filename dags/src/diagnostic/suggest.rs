//! The nearest known word to a mistyped one.

use classad::spelling;

/// Words longer than this are not compared: nobody mistypes them by two letters.
const WORD_CHARS_MAX: usize = 64;

/// The known word that `word` was probably meant to be: case, `-` and `_` aside, within a third of
/// its length in edits (insertions, deletions, replacements, swapped neighbours). The first of
/// equals wins; a single letter is no mistyped other one.
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
        let edits = spelling::distance(&word, &folded_candidate);
        // Words that have no letter in common are not alike.
        let alike = edits <= edits_max && edits < word.len();
        if alike && best.is_none_or(|(least, _)| edits < least) {
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
