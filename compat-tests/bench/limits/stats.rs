//! Middles and tails of what was measured.
//!
//! It must never guess a value between two that were measured.

/// The value that this part of all does not exceed, 0.5 for the median, by the nearest rank; sorts them.
///
/// # Panics
/// When there are none.
pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * part).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// The middle of several runs, of an even number the better known lower one.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(&mut values.to_vec(), 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=10_000).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), 5_000.0);
        assert_eq!(percentile(&mut values, 0.99), 9_900.0);
        assert_eq!(percentile(&mut values, 0.999), 9_990.0);
        assert_eq!(percentile(&mut values, 0.9999), 9_999.0);
        assert_eq!(percentile(&mut values, 1.0), 10_000.0);
        assert_eq!(percentile(&mut [3.0], 0.9999), 3.0);
    }

    #[test]
    fn a_median_is_not_moved_by_one_that_is_far_off() {
        assert_eq!(median(&[900.0, 2.0, 1.0]), 2.0);
        assert_eq!(median(&[4.0, 2.0]), 2.0);
    }
}
