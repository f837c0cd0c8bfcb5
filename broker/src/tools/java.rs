//! Orders that Java gives to what a tool prints: some tools walk a `HashMap`.
//!
//! Must never be used for anything but the order of lines.

/// `String.hashCode`.
pub(super) fn hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The hash of a `TopicPartition`.
pub(super) fn partition_hash(topic: &str, partition: i32) -> i32 {
    (31 + partition).wrapping_mul(31).wrapping_add(hash_code(topic))
}

/// The order in which a `HashMap` is walked that was made for `capacity` entries (16 where nobody said) and filled in
/// the order of `items`. Chains that Java turns into trees keep it, too.
pub(super) fn in_map_order<T>(items: Vec<T>, capacity: usize, hash: impl Fn(&T) -> i32) -> Vec<T> {
    let mut buckets = capacity.max(1).next_power_of_two();
    // It doubles when it is filled by more than three quarters.
    while items.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    let bucket = |item: &T| {
        let hash = hash(item).cast_unsigned();
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    };
    let mut ordered = items;
    ordered.sort_by_key(bucket);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_the_hashes_of_java() {
        assert_eq!(hash_code(""), 0);
        assert_eq!(hash_code("retention.ms"), hash_code("retention.ms"));
        assert_eq!(hash_code("hello"), 99_162_322);
        assert_eq!(hash_code("polygenelubricants"), i32::MIN);
        assert_eq!(partition_hash("hello", 3), (31 + 3) * 31 + 99_162_322);
    }

    #[test]
    fn a_map_is_walked_by_buckets() {
        let walked = in_map_order(vec!["b", "a", "q"], 16, |text| hash_code(text));
        // "a" is 97, "q" is 113: the same bucket of 16, in the order of their arrival; "b" is 98.
        assert_eq!(walked, ["a", "q", "b"]);
    }
}
