//! The order in which a Java `HashMap` goes through its strings.
//!
//! Kafka's assignors deal partitions out in that order, so that a test which compares both needs it. Must never decide
//! anything but who is first among equals.

/// Sorts names as the keys of a `HashMap` that they were put into one by one; those of one bucket by name, which Java
/// leaves to the order of insertion.
pub(in crate::group::consumer) fn sort_as_java<T>(items: &mut [T], name: impl Fn(&T) -> &str) {
    let buckets = bucket_count(items.len());
    items.sort_by(|a, b| {
        let (a, b) = (name(a), name(b));
        (bucket(a, buckets), a).cmp(&(bucket(b, buckets), b))
    });
}

/// A table of 16 that doubles whenever it is more than three quarters full.
fn bucket_count(items: usize) -> u32 {
    let mut buckets = 16_u32;
    while items as u64 * 4 > u64::from(buckets) * 3 {
        buckets *= 2;
    }
    buckets
}

fn bucket(name: &str, buckets: u32) -> u32 {
    let hash = name.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    (hash ^ (hash >> 16)) & (buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::sort_as_java;

    // Expected: the key set of a HashMap in a Java runtime, filled in the order of the names.
    #[test]
    fn names_come_as_from_a_hash_map() {
        let mut names = ["range", "uniform", "member-1", "member-2", "a", "zebra"];
        sort_as_java(&mut names, |name| name);
        assert_eq!(names, ["zebra", "a", "uniform", "member-1", "member-2", "range"]);
        let mut many: Vec<String> = (0..20).map(|number| format!("consumer-{}", number * 7919)).collect();
        sort_as_java(&mut many, |name| name);
        let firsts = ["consumer-102947", "consumer-118785", "consumer-126704", "consumer-142542"];
        assert_eq!(many[..4], firsts);
        assert_eq!(many[19], "consumer-95028");
    }
}
