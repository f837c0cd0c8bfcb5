//! The known name that an unknown one was probably meant to be.
//!
//! Must never decide anything: it only fills a message.

/// Farther than this share of the name's length, a suggestion would mislead.
const FAR: usize = 3;

/// The nearest of `names`, if any is near.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = name.len() / FAR;
    names
        .filter(|known| known.len().abs_diff(name.len()) <= limit)
        .map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

/// Insertions, deletions and replacements of characters between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::*;

    #[test]
    fn a_slip_finds_the_name_and_nonsense_finds_none() {
        let names = || rows::broker_rows().map(|row| row.name);
        assert_eq!(nearest("log.retention.hour", names()), Some("log.retention.hours"));
        assert_eq!(nearest("listners", names()), Some("listeners"));
        assert_eq!(nearest("num.partition", names()), Some("num.partitions"));
        assert_eq!(nearest("frobnicate", names()), None);
    }
}
