//! Which topic names are allowed.
//!
//! Must keep the sentences of `Topic.validate`, which the tools print.

use kafka_protocol::error::ResponseError;

use super::Refusal;

/// Longest name: with `-<partition>` and a future suffix it still is a directory name.
const MAX_NAME_LENGTH: usize = 249;

/// Checks a topic's name as `Topic.validate` does.
pub fn check_topic_name(name: &str) -> Result<(), Refusal> {
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.encode_utf16().count() > MAX_NAME_LENGTH {
        format!("the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}")
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(Refusal::new(ResponseError::InvalidTopicException, format!("Topic name is invalid: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_kafkas_sentences() {
        let cases = [
            ("", "the empty string is not allowed"),
            (".", "'.' is not allowed"),
            ("..", "'..' is not allowed"),
            ("a/b", "'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
            ("é", "'é' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
        ];
        for (name, reason) in cases {
            let refusal = check_topic_name(name).unwrap_err();
            assert_eq!(refusal.message, format!("Topic name is invalid: {reason}"));
            assert_eq!(refusal.code, ResponseError::InvalidTopicException);
        }
        let long = "a".repeat(250);
        assert!(
            check_topic_name(&long)
                .unwrap_err()
                .message
                .ends_with("is longer than the max allowed length 249")
        );
        for name in ["a", "...", "a.b_c-D9", &long[..249]] {
            assert_eq!(check_topic_name(name), Ok(()));
        }
    }
}
