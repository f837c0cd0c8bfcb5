//! How a record is printed (`DefaultMessageFormatter` and its siblings of Kafka 4.3.1).
//!
//! Must never change a byte of a key or a value that no deserializer was named for.

use milena_storage::batch::TimestampType;

use super::fetch::Fetched;
use super::{json, records};
use crate::tools::client::{Properties, Refused};
use crate::tools::console::Console;

const PACKAGE: &str = "org.apache.kafka.tools.consumer.";
const DESERIALIZERS: &str = "org.apache.kafka.common.serialization.";

pub(super) enum Formatter {
    Default(Box<Columns>),
    Nothing,
    /// Those records of an internal topic that are of these kinds, as JSON.
    Records(&'static [records::Record]),
}

#[derive(Clone, Copy)]
enum Deserializer {
    Text,
    Integer,
    Long,
    Short,
    Boolean,
    Uuid,
}

/// What is printed of a record.
pub(super) struct Columns {
    timestamp: bool,
    key: bool,
    value: bool,
    partition: bool,
    offset: bool,
    delivery: bool,
    epoch: bool,
    headers: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
    of_key: Option<Deserializer>,
    of_value: Option<Deserializer>,
    of_headers: Option<Deserializer>,
    /// Also to the log, which goes to stderr.
    logs: bool,
}

impl Formatter {
    pub(super) fn new(
        class: Option<&str>,
        properties: &Properties,
        console: &mut Console,
    ) -> Result<Self, Refused> {
        let default = format!("{PACKAGE}DefaultMessageFormatter");
        let class = class.unwrap_or(&default);
        let logs = match class.strip_prefix(PACKAGE) {
            Some("NoOpMessageFormatter") => return Ok(Self::Nothing),
            Some("OffsetsMessageFormatter") => return Ok(Self::Records(records::OFFSETS)),
            Some("GroupMetadataMessageFormatter") => return Ok(Self::Records(records::GROUPS)),
            Some("ShareGroupMessageFormatter") => return Ok(Self::Records(records::SHARE_GROUPS)),
            Some("TransactionLogMessageFormatter") => return Ok(Self::Records(records::TRANSACTIONS)),
            Some("group.share.ShareGroupStateMessageFormatter") => {
                return Ok(Self::Records(records::SHARE_STATE));
            }
            Some("DefaultMessageFormatter") => false,
            Some("LoggingMessageFormatter") => true,
            _ => return Err(Refused::own("java.lang.ClassNotFoundException", class)),
        };
        let flag = |name: &str, default: bool| {
            properties.get(name).map_or(default, |text| text.trim().eq_ignore_ascii_case("true"))
        };
        let text = |name: &str, default: &str| properties.get(name).unwrap_or(default).to_owned();
        let mut deserializer = |name: &str| {
            let class = properties.get(name)?;
            let known = class.strip_prefix(DESERIALIZERS).unwrap_or_default();
            Some(match known {
                "StringDeserializer" => Deserializer::Text,
                "IntegerDeserializer" => Deserializer::Integer,
                "LongDeserializer" => Deserializer::Long,
                "ShortDeserializer" => Deserializer::Short,
                "BooleanDeserializer" => Deserializer::Boolean,
                "UUIDDeserializer" => Deserializer::Uuid,
                _ => {
                    console.complain(format_args!("ERROR Unable to instantiate a deserializer from {class}"));
                    return None;
                }
            })
        };
        let columns = Columns {
            timestamp: flag("print.timestamp", false),
            key: flag("print.key", false),
            value: flag("print.value", true),
            partition: flag("print.partition", false),
            offset: flag("print.offset", false),
            delivery: flag("print.delivery", false),
            epoch: flag("print.epoch", false),
            headers: flag("print.headers", false),
            key_separator: text("key.separator", "\t"),
            line_separator: text("line.separator", "\n"),
            headers_separator: text("headers.separator", ","),
            null_literal: text("null.literal", "null"),
            of_key: deserializer("key.deserializer"),
            of_value: deserializer("value.deserializer"),
            of_headers: deserializer("headers.deserializer"),
            logs,
        };
        Ok(Self::Default(Box::new(columns)))
    }

    pub(super) fn write(&self, record: &Fetched, console: &mut Console) -> Result<(), Refused> {
        match self {
            Self::Nothing => Ok(()),
            Self::Default(columns) => columns.write(record, console),
            Self::Records(kinds) => {
                let Some(key) = &record.key else { return Ok(()) };
                let shown = json::record(kinds, key, record.value.as_deref()).map_err(|what| {
                    let message = format!("Could not read record at offset {} due to: {what}", record.offset);
                    Refused::own("java.lang.RuntimeException", message)
                })?;
                if let Some(line) = shown {
                    console.put(line.as_bytes());
                }
                Ok(())
            }
        }
    }
}

impl Columns {
    fn write(&self, record: &Fetched, console: &mut Console) -> Result<(), Refused> {
        let mut columns: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            let kind = match record.timestamp_type {
                TimestampType::LogAppendTime => "LogAppendTime",
                TimestampType::CreateTime => "CreateTime",
            };
            let none = record.timestamp < 0;
            let text = if none { "NO_TIMESTAMP".to_owned() } else { format!("{kind}:{}", record.timestamp) };
            columns.push(text.into_bytes());
        }
        let mut plain = |wanted: bool, text: String| {
            if wanted {
                columns.push(text.into_bytes());
            }
        };
        plain(self.partition, format!("Partition:{}", record.partition.1));
        plain(self.offset, format!("Offset:{}", record.offset));
        // The tool hands records on without these two.
        plain(self.delivery, "Delivery:NOT_PRESENT".to_owned());
        plain(self.epoch, "Epoch:NOT_PRESENT".to_owned());
        if self.headers {
            columns.push(self.headers_of(record)?);
        }
        if self.key {
            columns.push(self.shown(record.key.as_deref(), self.of_key)?);
        }
        if self.value {
            columns.push(self.shown(record.value.as_deref(), self.of_value)?);
        }
        if columns.is_empty() {
            return Ok(());
        }
        let mut line = columns.join(self.key_separator.as_bytes());
        line.extend_from_slice(self.line_separator.as_bytes());
        console.put(&line);
        if self.logs {
            let key = record.key.as_deref().map_or("null".into(), String::from_utf8_lossy);
            let value = record.value.as_deref().map_or("null".into(), String::from_utf8_lossy);
            console.complain(format_args!("CreateTime:{}, key:{key}, value:{value}", record.timestamp));
        }
        Ok(())
    }

    fn headers_of(&self, record: &Fetched) -> Result<Vec<u8>, Refused> {
        if record.headers.is_empty() {
            return Ok(b"NO_HEADERS".to_vec());
        }
        let header = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| -> Result<Vec<u8>, Refused> {
            let mut text = key.clone();
            text.push(b':');
            text.extend(self.shown(value.as_deref(), self.of_headers)?);
            Ok(text)
        };
        let headers: Vec<Vec<u8>> = record.headers.iter().map(header).collect::<Result<_, Refused>>()?;
        Ok(headers.join(self.headers_separator.as_bytes()))
    }

    fn shown(&self, bytes: Option<&[u8]>, deserializer: Option<Deserializer>) -> Result<Vec<u8>, Refused> {
        let bytes = bytes.unwrap_or(self.null_literal.as_bytes());
        let Some(deserializer) = deserializer else { return Ok(bytes.to_vec()) };
        let of_size = |name: &str, size: usize| {
            let message = format!("Size of data received by {name}Deserializer is not {size}");
            Refused::own("org.apache.kafka.common.errors.SerializationException", message)
        };
        let text = match deserializer {
            Deserializer::Text => String::from_utf8_lossy(bytes).into_owned(),
            Deserializer::Integer => {
                i32::from_be_bytes(bytes.try_into().map_err(|_| of_size("Integer", 4))?).to_string()
            }
            Deserializer::Long => {
                i64::from_be_bytes(bytes.try_into().map_err(|_| of_size("Long", 8))?).to_string()
            }
            Deserializer::Short => {
                i16::from_be_bytes(bytes.try_into().map_err(|_| of_size("Short", 2))?).to_string()
            }
            Deserializer::Boolean => match bytes {
                [0] => "false".to_owned(),
                [1] => "true".to_owned(),
                _ => return Err(of_size("Boolean", 1)),
            },
            Deserializer::Uuid => {
                let text = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<uuid::Uuid>().ok());
                let wrong = "Error parsing data into UUID";
                let class = "org.apache.kafka.common.errors.SerializationException";
                text.ok_or_else(|| Refused::own(class, wrong))?.to_string()
            }
        };
        Ok(text.into_bytes())
    }
}
