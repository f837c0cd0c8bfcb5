//! Text into typed values and back, and the checks on them, with the messages of Kafka's `ConfigDef`.
//!
//! Must never be more lenient than Kafka: clients compare these answers. Leniency belongs to `source/`.

use std::fmt;

use super::row::{Check, Kind};

/// A parsed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Boolean(bool),
    Text(String),
    Int(i32),
    Short(i16),
    Long(i64),
    Double(f64),
    List(Vec<String>),
}

/// Parses `text` as `kind` (`ConfigDef.parseType`).
pub fn parse(name: &str, kind: Kind, text: &str) -> Result<Value, String> {
    let trimmed = trim(text);
    let not_a_number = || invalid(name, text, &format!("Not a number of type {}", kind.name()));
    match kind {
        Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        Kind::Boolean => Err(invalid(name, text, "Expected value to be either true or false")),
        Kind::String | Kind::Password | Kind::Class => Ok(Value::Text(trimmed.to_owned())),
        Kind::Int => trimmed.parse().map(Value::Int).map_err(|_| not_a_number()),
        Kind::Short => trimmed.parse().map(Value::Short).map_err(|_| not_a_number()),
        Kind::Long => trimmed.parse().map(Value::Long).map_err(|_| not_a_number()),
        Kind::Double => trimmed
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .map(Value::Double)
            .ok_or_else(not_a_number),
        Kind::List if trimmed.is_empty() => Ok(Value::List(Vec::new())),
        Kind::List => Ok(Value::List(trimmed.split(',').map(|item| trim(item).to_owned()).collect())),
    }
}

/// Checks a parsed value (the validators of `ConfigDef`, `LogConfig` and `GroupConfig`).
pub fn check(name: &str, check: &Check, value: &Value) -> Result<(), String> {
    match check {
        Check::Any => Ok(()),
        Check::Range { min, max } => check_range(name, value, *min, *max),
        Check::OneOf(allowed) => match value {
            Value::Text(text) if allowed.contains(&text.as_str()) => Ok(()),
            _ => Err(invalid(name, value, &format!("String must be one of: {}", allowed.join(", ")))),
        },
        Check::OneOfIgnoringCase(allowed) => match value {
            Value::Text(text) if allowed.iter().any(|one| one.eq_ignore_ascii_case(text)) => Ok(()),
            _ => {
                let message = format!("String must be one of (case insensitive): {}", allowed.join(", "));
                Err(invalid(name, value, &message))
            }
        },
        Check::Items { values, may_be_empty } => check_items(name, value, values, *may_be_empty),
        Check::NonEmptyText => match value {
            Value::Text(text) if text.is_empty() => Err(invalid(name, value, "String must be non-empty")),
            _ => Ok(()),
        },
        Check::NonEmptyList => Ok(()),
        Check::LevelOrDefault { min, max } => check_level(name, value, *min, *max),
        Check::ThrottledReplicas => check_throttled(name, value),
        Check::ShareOffsetReset => check_share_reset(name, value),
    }
}

/// Kafka's form of a refused value (`ConfigException`).
pub fn invalid(name: &str, value: impl fmt::Display, why: &str) -> String {
    format!("Invalid value {value} for configuration {name}: {why}")
}

impl Value {
    /// The text that a client sees (`ConfigDef.convertToString`): lists joined by bare commas.
    pub fn to_text(&self) -> String {
        match self {
            Self::List(items) => items.join(","),
            other => other.to_string(),
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(f64::from(*number)),
            Self::Short(number) => Some(f64::from(*number)),
            // Kafka compares as double too, so that the rounding above 2^53 is the same.
            #[expect(clippy::cast_precision_loss)]
            Self::Long(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            Self::Boolean(_) | Self::Text(_) | Self::List(_) => None,
        }
    }
}

/// As Java prints it in messages: lists in brackets, doubles with a point or an exponent.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Short(value) => value.fmt(f),
            Self::Long(value) => value.fmt(f),
            Self::Double(value) => java_double(*value, f),
            Self::List(items) => write!(f, "[{}]", items.join(", ")),
        }
    }
}

/// Java's `String.trim`: every control character and the space.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// `Double.toString`: plain between 10^-3 and 10^7, else one digit, a point and an exponent.
fn java_double(value: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return write!(f, "{value:?}");
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("the e format has an exponent");
    let point = if digits.contains('.') { "" } else { ".0" };
    write!(f, "{digits}{point}E{exponent}")
}

fn check_range(name: &str, value: &Value, min: f64, max: Option<f64>) -> Result<(), String> {
    let Some(number) = value.as_f64() else {
        return Err(invalid(name, value, "Value must be a number"));
    };
    if number < min {
        return Err(invalid(name, value, &format!("Value must be at least {min}")));
    }
    match max {
        Some(max) if number > max => Err(invalid(name, value, &format!("Value must be no more than {max}"))),
        _ => Ok(()),
    }
}

fn check_items(name: &str, value: &Value, allowed: &[&str], may_be_empty: bool) -> Result<(), String> {
    let Value::List(items) = value else {
        return Err(invalid(name, value, "Expected a comma separated list."));
    };
    if items.is_empty() && !may_be_empty {
        let valid = if allowed.is_empty() {
            "any non-empty value".to_owned()
        } else {
            format!("[{}]", allowed.join(", "))
        };
        return Err(format!("Configuration '{name}' must not be empty. Valid values include: {valid}"));
    }
    for item in items {
        if item.is_empty() {
            return Err(format!("Configuration '{name}' values must not be empty."));
        }
        if !allowed.is_empty() && !allowed.contains(&item.as_str()) {
            return Err(invalid(name, item, &format!("String must be one of: {}", allowed.join(", "))));
        }
    }
    Ok(())
}

fn check_level(name: &str, value: &Value, min: i32, max: i32) -> Result<(), String> {
    match value {
        Value::Int(level) if *level == -1 || (min..=max).contains(level) => Ok(()),
        _ => {
            let message = format!("Value must be between {min} and {max} or equal to -1");
            Err(invalid(name, value, &message))
        }
    }
}

fn check_throttled(name: &str, value: &Value) -> Result<(), String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_pair = |item: &String| {
        item.is_empty()
            || item
                .split_once(':')
                .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    match value {
        Value::List(items) if items.iter().all(is_pair) || items.concat() == "*" => Ok(()),
        _ => {
            let message = format!(
                "{name} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            );
            Err(invalid(name, value, &message))
        }
    }
}

fn check_share_reset(name: &str, value: &Value) -> Result<(), String> {
    let text = value.to_text();
    let valid = matches!(text.as_str(), "latest" | "earliest")
        || text.strip_prefix("by_duration:").is_some_and(is_duration);
    if valid {
        return Ok(());
    }
    // Kafka wraps its own form of the message into the common one.
    let why = format!(
        "Invalid value `{text}` for configuration {name}. The value must be either 'earliest', 'latest' or of \
         the format 'by_duration:<PnDTnHnMn.nS>'."
    );
    Err(invalid(name, text, &why))
}

/// `PnDTnHnMn.nS` with at least one part, each part once and in this order.
fn is_duration(text: &str) -> bool {
    let Some(mut rest) = text.strip_prefix(['P', 'p']) else { return false };
    let (mut parts, mut in_time, mut units) = (0, false, "D");
    while !rest.is_empty() {
        if !in_time && let Some(time) = rest.strip_prefix(['T', 't']) {
            (rest, in_time, units) = (time, true, "HMS");
            if rest.is_empty() {
                return false;
            }
            continue;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let Some(unit) = tail.chars().next().map(|unit| unit.to_ascii_uppercase()) else { return false };
        let Some(place) = units.find(unit) else { return false };
        let fraction_allowed = unit == 'S';
        if number.is_empty() || number.starts_with('.') || (number.contains('.') && !fraction_allowed) {
            return false;
        }
        units = &units[place + 1..];
        rest = &tail[1..];
        parts += 1;
    }
    parts > 0
}
