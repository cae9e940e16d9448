//! `queue … matching`: which names a pattern means, told from listings of directories.
//!
//! Knows `*`, `?`, `[…]` and `\`, part by part of a path; a name that begins with a dot is matched
//! only by a pattern that begins with one. Reads nothing: listings are handed in.

use super::ROWS_MAX;

/// What of the found names counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Kinds {
    All,
    Files,
    Directories,
}

/// The names that the patterns mean, in order of pattern and name, each once; directories end in
/// `/`. `listing` gives the text of a directory, by a path that ends in `/`.
pub(super) fn glob(
    patterns: &[String],
    kinds: Kinds,
    listing: &mut dyn FnMut(&str) -> Option<String>,
) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let mut found = Vec::new();
    for pattern in patterns {
        for path in expand(pattern, listing) {
            let counts = match kinds {
                Kinds::All => true,
                Kinds::Files => !path.ends_with('/'),
                Kinds::Directories => path.ends_with('/'),
            };
            if counts && found.len() <= ROWS_MAX && seen.insert(path.clone()) {
                found.push(path);
            }
        }
    }
    found
}

/// The paths of one pattern, part by part.
fn expand(pattern: &str, listing: &mut dyn FnMut(&str) -> Option<String>) -> Vec<String> {
    let wants_directory = pattern.ends_with('/');
    let root = if pattern.starts_with('/') { "/" } else { "" };
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let mut paths = vec![root.to_owned()];
    for (at, part) in parts.iter().enumerate() {
        let last = at + 1 == parts.len();
        let mut next = Vec::new();
        for base in &paths {
            if matches!(*part, "." | "..") {
                next.push(format!("{base}{part}/"));
                continue;
            }
            let dir = if base.is_empty() { "./" } else { base };
            let Some(names) = listing(dir) else { continue };
            for name in names.lines() {
                let plain = name.strip_suffix('/').unwrap_or(name);
                let is_dir = name.ends_with('/');
                let fits = is_dir || (last && !wants_directory);
                if fits && next.len() <= ROWS_MAX && matches(part, plain) {
                    next.push(format!("{base}{name}"));
                }
            }
        }
        paths = next;
    }
    if parts.is_empty() { Vec::new() } else { paths }
}

/// Whether a name fits a pattern without `/`. Goes back only to the last `*`, so it is linear for
/// each of them.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
            continue;
        }
        match one(&pattern[p..], name[n]) {
            Some(taken) => {
                p += taken;
                n += 1;
            }
            None => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, n));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of a pattern one character takes; `None` where it does not fit.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '\\' if pattern.len() > 1 => (pattern[1] == c).then_some(2),
        '[' => match class(pattern, c) {
            Some((taken, fits)) => fits.then_some(taken),
            None => (c == '[').then_some(1),
        },
        plain => (*plain == c).then_some(1),
    }
}

/// The length of a `[…]` and whether a character is in it; `None` where it is not closed.
fn class(pattern: &[char], c: char) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let mut at = 1 + usize::from(negated);
    let first = at;
    let mut fits = false;
    loop {
        let low = *pattern.get(at)?;
        if low == ']' && at > first {
            return Some((at + 1, fits != negated));
        }
        let range = pattern.get(at + 1) == Some(&'-')
            && pattern.get(at + 2).is_some_and(|high| *high != ']');
        if range {
            let high = *pattern.get(at + 2)?;
            fits |= (low..=high).contains(&c);
            at += 3;
        } else {
            fits |= low == c;
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        let rows = [
            ("*.dat", "a.dat", true),
            ("*.dat", ".dat", false),
            (".*", ".dat", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[ab", "[ab", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*", "", true),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_are_found_part_by_part() {
        let mut listing = |dir: &str| match dir {
            "./" => Some("a.dat\nsub/\n".to_owned()),
            "sub/" => Some("d.dat\ne/\n".to_owned()),
            _ => None,
        };
        let mut all = |pattern: &str, kinds| glob(&[pattern.to_owned()], kinds, &mut listing);
        assert_eq!(all("*", Kinds::All), ["a.dat", "sub/"]);
        assert_eq!(all("*/*", Kinds::All), ["sub/d.dat", "sub/e/"]);
        assert_eq!(all("*/*", Kinds::Files), ["sub/d.dat"]);
        assert_eq!(all("s*/", Kinds::Directories), ["sub/"]);
        assert!(all("none/*", Kinds::All).is_empty());
    }
}
