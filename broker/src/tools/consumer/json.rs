//! Records of internal topics as JSON (`CoordinatorRecordMessageFormatter` of Kafka 4.3.1).
//!
//! Must never show a record of which it did not read every byte that its version names.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;

use super::records::{Field, Kind, Record};
use crate::api::MessageError;
use crate::codec::read::Reader;

/// The line of one record; `None` for one that is of no kind among these.
pub(super) fn record(kinds: &[Record], key: &[u8], value: Option<&[u8]>) -> Result<Option<String>, String> {
    let Some((number, key)) = key.split_first_chunk::<2>() else {
        return Err("Could not read version from key's buffer.".to_owned());
    };
    let number = i16::from_be_bytes(*number);
    let Some(kind) = kinds.iter().find(|kind| kind.number == number) else { return Ok(None) };
    let unread = |version: i16, which: &str, error: &MessageError| {
        format!("Could not read record with version {version} from {which}'s buffer due to: {}.", error.0)
    };
    let key = message(kind.key, key, 0, false).map_err(|error| unread(number, "key", &error))?;
    let mut line = format!("{{\"key\":{{\"type\":{number},\"data\":{key}}},\"value\":");
    match value {
        None => line.push_str("null"),
        Some(value) => {
            let Some((version, value)) = value.split_first_chunk::<2>() else {
                return Err("Could not read version from value's buffer.".to_owned());
            };
            let version = i16::from_be_bytes(*version);
            if !(0..=kind.newest).contains(&version) {
                return Err(format!("Found an unknown record version {version} for {number} type."));
            }
            let data = message(kind.value, value, version, version >= kind.flexible)
                .map_err(|error| unread(version, "value", &error))?;
            let _ = write!(line, "{{\"version\":{version},\"data\":{data}}}");
        }
    }
    line.push('}');
    Ok(Some(line))
}

fn message(fields: &[Field], bytes: &[u8], version: i16, flexible: bool) -> Result<String, MessageError> {
    structure(fields, &mut Reader::new(Bytes::copy_from_slice(bytes), flexible), version)
}

/// Tagged fields come last in the bytes, and where they were declared in JSON.
fn structure(fields: &[Field], reader: &mut Reader, version: i16) -> Result<String, MessageError> {
    let mut shown: Vec<Option<String>> = Vec::new();
    for field in fields {
        let is_there = (field.since..=field.until).contains(&version) && field.tag.is_none();
        shown.push(if is_there { Some(value(&field.kind, field.nullable, reader, version)?) } else { None });
    }
    reader.tags(|tag, reader| {
        let found = fields.iter().zip(&mut shown).find_map(|(field, shown)| {
            let (own, default) = field.tag?;
            (own == tag && version >= field.since).then_some((field, default, shown))
        });
        let Some((field, default, shown)) = found else { return Ok(false) };
        let text = value(&field.kind, field.nullable, reader, version)?;
        *shown = Some(text).filter(|text| text != default);
        Ok(true)
    })?;
    let named = fields.iter().zip(shown).filter_map(|(field, shown)| {
        let shown = shown?;
        Some(format!("\"{}\":{shown}", field.name))
    });
    Ok(format!("{{{}}}", named.collect::<Vec<_>>().join(",")))
}

fn value(kind: &Kind, nullable: bool, reader: &mut Reader, version: i16) -> Result<String, MessageError> {
    let there = |text: Option<String>| match text {
        Some(text) => Ok(text),
        None if nullable => Ok("null".to_owned()),
        None => Err(MessageError("non-nullable field was serialized as null".to_owned())),
    };
    match kind {
        Kind::Int8 => Ok(reader.int8()?.to_string()),
        Kind::Int16 => Ok(reader.int16()?.to_string()),
        Kind::Int32 => Ok(reader.int32()?.to_string()),
        Kind::Int64 => Ok(reader.int64()?.to_string()),
        Kind::Text => there(reader.nullable_string()?.map(|text| quoted(text.as_str()))),
        Kind::Bytes => there(reader.nullable_bytes()?.map(|bytes| format!("\"{}\"", STANDARD.encode(bytes)))),
        Kind::Id => Ok(format!("\"{}\"", URL_SAFE_NO_PAD.encode(reader.uuid()?.as_bytes()))),
        Kind::List(element) => {
            let elements = reader.nullable_array(|reader| value(element, false, reader, version))?;
            there(elements.map(|elements| format!("[{}]", elements.join(","))))
        }
        Kind::Struct(fields) => structure(fields, reader, version),
    }
}

/// As Jackson writes a text.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::records::{OFFSETS, TRANSACTIONS};
    use super::*;

    const KEY: &[u8] = b"\0\x01\0\x01g\0\x02t\"\0\0\0\x05";
    const SHOWN_KEY: &str = r#"{"key":{"type":1,"data":{"group":"g","topic":"t\"","partition":5}},"value":"#;

    #[test]
    fn an_offset_is_shown_with_what_its_version_has() {
        let shown = |value: Option<&[u8]>| record(OFFSETS, KEY, value);
        assert_eq!(shown(None), Ok(Some(format!("{SHOWN_KEY}null}}"))));
        let third = b"\0\x03\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\x09";
        let data = r#"{"version":3,"data":{"offset":7,"leaderEpoch":-1,"metadata":"","commitTimestamp":9}}"#;
        assert_eq!(shown(Some(third)), Ok(Some(format!("{SHOWN_KEY}{data}}}"))));
        let fourth = b"\0\x04\0\0\0\0\0\0\0\x07\0\0\0\x02\x02m\0\0\0\0\0\0\0\x09\x01\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";
        let data = r#"{"version":4,"data":{"offset":7,"leaderEpoch":2,"metadata":"m","commitTimestamp":9,"topicId":"AAAAAAAAAAAAAAAAAAAAAQ"}}"#;
        assert_eq!(shown(Some(fourth)), Ok(Some(format!("{SHOWN_KEY}{data}}}"))));
    }

    #[test]
    fn what_is_broken_is_refused_and_what_is_foreign_left_out() {
        assert_eq!(record(OFFSETS, b"\0\x02\0\x01g", None), Ok(None));
        assert!(record(OFFSETS, b"\0", None).is_err());
        assert!(record(OFFSETS, b"\0\x01\0\x05g", None).is_err());
        assert!(record(OFFSETS, KEY, Some(b"\0\x05")).is_err(), "a version that nobody knows");
        assert!(record(TRANSACTIONS, b"\0\0\0\x01t", Some(b"\0\x01\0")).is_err());
    }
}
