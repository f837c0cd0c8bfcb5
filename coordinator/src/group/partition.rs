//! Which partition of the internal topic a group belongs to.
//!
//! Must never change: clients and a directory that Kafka wrote rely on the same answer.

/// Java's `String.hashCode` of the id, made non-negative as Kafka's `Utils.abs` does, modulo the partition count; `None` without
/// partitions, when nobody can know where the id belongs.
#[must_use]
pub fn partition_for(group_id: &str, partitions: i32) -> Option<i32> {
    let hash =
        group_id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Utils.abs: the minimum has no positive counterpart and becomes 0.
    let positive = hash.checked_abs().unwrap_or(0);
    (partitions > 0).then(|| positive % partitions)
}

#[cfg(test)]
mod tests {
    use super::partition_for;

    // Expected values: "…".hashCode() of a Java runtime.
    #[test]
    fn partitions_follow_javas_string_hash() {
        assert_eq!(partition_for("", 50), Some(0));
        assert_eq!(partition_for("abc", i32::MAX), Some(96_354));
        assert_eq!(partition_for("hello", 50), Some(99_162_322 % 50));
    }

    #[test]
    fn the_hash_is_over_utf16_units() {
        // U+1F600 is the pair D83D DE00: 0xD83D * 31 + 0xDE00.
        assert_eq!(partition_for("\u{1F600}", i32::MAX), Some(0xD83D * 31 + 0xDE00));
    }

    #[test]
    fn an_id_has_no_place_while_there_are_no_partitions() {
        assert_eq!(partition_for("hello", 0), None);
    }

    #[test]
    fn the_minimum_hash_becomes_zero() {
        // A well-known string whose hash is i32::MIN.
        assert_eq!(partition_for("polygenelubricants", 50), Some(0));
    }
}
