//! Events as JSON lines.
//!
//! It must never hold one back: a line is out before the call returns.

use std::io::{self, Write};
use std::time::SystemTime;

use serde_json::Value;

use crate::Place;

pub(crate) fn tell(by: &str, what: &str, mut more: Value) {
    let since = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
    more["ms"] = serde_json::json!(u64::try_from(since).unwrap_or(u64::MAX));
    more["by"] = by.into();
    more["is"] = what.into();
    let mut out = io::stdout().lock();
    // Nobody reads any more when this fails.
    let _ = writeln!(out, "{more}");
    let _ = out.flush();
}

pub(crate) fn note(by: &str, error: &dyn std::fmt::Display) {
    tell(by, "noted", serde_json::json!({"text": error.to_string()}));
}

pub(crate) fn name((topic, partition): &Place) -> String {
    format!("{topic}-{partition}")
}
