//! What Java makes of what a tool prints and reads: orders, where it walks a `HashMap`, and numbers.
//!
//! Must never be used for anything but what is shown or was typed.

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

/// The order in which Scala walks an immutable set of texts: as they came while they are few, by their hashes after that.
pub(super) fn in_set_order(texts: Vec<String>) -> Vec<String> {
    if texts.len() <= 4 {
        return texts;
    }
    let mut hashed: Vec<(u32, String)> = texts.into_iter().map(|text| (improved(&text), text)).collect();
    let mut ordered = Vec::new();
    walk(&mut hashed, 0, &mut ordered);
    ordered
}

/// A node of the set: what is alone in its place, then the nodes of those that are not.
fn walk(hashed: &mut [(u32, String)], shift: u32, ordered: &mut Vec<String>) {
    let place = |hash: u32| hash.checked_shr(shift).unwrap_or(0) & 31;
    hashed.sort_by_key(|(hash, _)| place(*hash));
    let is_deep = shift >= u32::BITS;
    for deeper in [false, true] {
        for chunk in hashed.chunk_by_mut(|(one, _), (other, _)| place(*one) == place(*other)) {
            match chunk {
                [(_, text)] if !deeper => ordered.push(text.clone()),
                [_] => {}
                _ if !deeper => {}
                many if is_deep => ordered.extend(many.iter().map(|(_, text)| text.clone())),
                many => walk(many, shift + 5, ordered),
            }
        }
    }
}

/// `Hashing.improve` of Scala's collections.
fn improved(text: &str) -> u32 {
    let hash = hash_code(text).cast_unsigned();
    let hash = hash.wrapping_add(!(hash << 9));
    let hash = hash ^ (hash >> 14);
    let hash = hash.wrapping_add(hash << 4);
    hash ^ (hash >> 10)
}

/// `Double.toString`.
pub(super) fn double(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let fraction = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{fraction}E{exponent}")
}

/// `Double.parseDouble`, but for hexadecimal numbers.
pub(super) fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    let number = match text.strip_suffix(['d', 'D', 'f', 'F']) {
        Some(number) if number.ends_with(|c: char| c.is_ascii_digit() || c == '.') => number,
        Some(_) => return None,
        None => text,
    };
    let is_plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if number.bytes().all(is_plain) { number.parse().ok() } else { None }
}

/// `Integer.parseInt`, with the message of its exception.
pub(super) fn parse_int(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("For input string: \"{text}\""))
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
    fn a_set_is_walked_by_hashes_once_it_has_five() {
        let set = |texts: &str| in_set_order(texts.split(' ').map(str::to_owned).collect()).join(" ");
        assert_eq!(set("d c b a"), "d c b a");
        // What `kafka-configs` says of such names.
        assert_eq!(set("a b c d e f"), "e f a b c d");
    }

    #[test]
    fn numbers_are_written_and_read_as_java_does() {
        let written = [0.0, 0.5, 1024.0, 1e7, 12_345_678.5, 1e-4, -2.5e-10, f64::INFINITY, 9_999_999.0];
        let wanted =
            ["0.0", "0.5", "1024.0", "1.0E7", "1.23456785E7", "1.0E-4", "-2.5E-10", "Infinity", "9999999.0"];
        assert_eq!(written.map(double), wanted);
        let read = ["1e3", " 5 ", "1d", ".5f", "Infinity", "inf", "x", "", "0x1p3", "1ed"].map(parse_double);
        let known = [Some(1000.0), Some(5.0), Some(1.0), Some(0.5), Some(f64::INFINITY)];
        assert_eq!(read, [&known[..], &[None; 5]].concat()[..]);
        assert_eq!(parse_int("-7"), Ok(-7));
        assert_eq!(parse_int(""), Err("For input string: \"\"".to_owned()));
    }

    #[test]
    fn a_map_is_walked_by_buckets() {
        let walked = in_map_order(vec!["b", "a", "q"], 16, |text| hash_code(text));
        // "a" is 97, "q" is 113: the same bucket of 16, in the order of their arrival; "b" is 98.
        assert_eq!(walked, ["a", "q", "b"]);
    }
}
