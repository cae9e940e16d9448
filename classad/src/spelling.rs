//! How alike two words are, and the name most like a misspelled one.

use crate::name::AttrName;

/// The longest name that is compared, in bytes; longer ones are not what anybody mistyped.
const NAME_BYTES_MAX: usize = 64;

/// The candidate with the least distance, the first of equals; `None` if none is alike enough: at
/// most a third of the letters different.
pub(crate) fn nearest<'n>(
    name: &AttrName,
    candidates: impl Iterator<Item = &'n AttrName>,
) -> Option<&'n AttrName> {
    let wanted = name.folded();
    let wanted = wanted.as_bytes();
    if wanted.len() > NAME_BYTES_MAX {
        return None;
    }
    let limit = (wanted.len() / 3).max(1);
    candidates
        .filter(|candidate| candidate.as_str().len().abs_diff(wanted.len()) <= limit)
        .map(|candidate| (distance(wanted, candidate.folded().as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and exchanges of neighbours that make one word the other
/// (optimal string alignment). The cost is the product of the lengths: callers bound them.
pub fn distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut before = vec![0; b.len() + 1];
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
