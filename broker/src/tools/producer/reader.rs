//! Lines, and the records that they stand for (`LineMessageReader` of Kafka 4.3.1).
//!
//! Must never drop a part of a line.

use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use regex::Regex;

use crate::tools::client::{Properties, Refused};

/// Lines that are read ahead.
const AHEAD: usize = 1024;
const EXCEPTION: &str = "org.apache.kafka.common.KafkaException";

/// One record to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: Vec<(String, Option<String>)>,
}

/// Lines of stdin, read by a thread of its own: so it is seen when no more wait.
pub(super) struct Lines {
    from: Receiver<io::Result<String>>,
}

impl Lines {
    pub(super) fn start(prompts: bool) -> Self {
        let (to, from) = sync_channel(if prompts { 1 } else { AHEAD });
        thread::spawn(move || {
            let mut input = io::stdin().lock();
            let mut skip_newline = false;
            while let Some(line) = read_line(&mut input, &mut skip_newline).transpose() {
                let failed = line.is_err();
                if to.send(line).is_err() || failed {
                    return;
                }
            }
        });
        Self { from }
    }

    /// The next line. `idle` is called before there is a wait for it.
    pub(super) fn next(&mut self, idle: impl FnOnce()) -> io::Result<Option<String>> {
        match self.from.try_recv() {
            Ok(line) => return line.map(Some),
            Err(TryRecvError::Disconnected) => return Ok(None),
            Err(TryRecvError::Empty) => idle(),
        }
        self.from.recv().map_or(Ok(None), |line| line.map(Some))
    }
}

/// As Java's `BufferedReader.readLine`: ends at a line feed, a carriage return, or both.
fn read_line(input: &mut impl BufRead, skip_newline: &mut bool) -> io::Result<Option<String>> {
    let mut line: Vec<u8> = Vec::new();
    let mut any = false;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any.then(|| String::from_utf8_lossy(&line).into_owned()));
        }
        let skipped = usize::from(std::mem::take(skip_newline) && buffer[0] == b'\n');
        let buffer = &buffer[skipped..];
        let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        line.extend_from_slice(&buffer[..end.unwrap_or(buffer.len())]);
        any |= !buffer.is_empty();
        let used = end.map_or(buffer.len(), |end| end + 1) + skipped;
        *skip_newline = end.is_some_and(|end| buffer[end] == b'\r');
        input.consume(used);
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

/// What takes lines apart.
pub(super) struct LineReader {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: Regex,
    headers_key_separator: String,
    ignore_error: bool,
    null_marker: Option<String>,
    line_number: u64,
}

impl LineReader {
    pub(super) fn new(properties: &Properties) -> Result<Self, Refused> {
        let is_true =
            |name| properties.get(name).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
        let text = |name, default: &str| properties.get(name).unwrap_or(default).to_owned();
        let separator = text("headers.separator", ",");
        let reader = Self {
            parse_key: is_true("parse.key"),
            key_separator: text("key.separator", "\t"),
            parse_headers: is_true("parse.headers"),
            headers_delimiter: text("headers.delimiter", "\t"),
            headers_separator: Regex::new(&separator)
                .map_err(|error| Refused::own("java.util.regex.PatternSyntaxException", error.to_string()))?,
            headers_key_separator: text("headers.key.separator", ":"),
            ignore_error: is_true("ignore.error"),
            null_marker: properties.get("null.marker").map(str::to_owned),
            line_number: 0,
        };
        let (delimiter, of_key) = (reader.headers_delimiter.as_str(), reader.headers_key_separator.as_str());
        let differ = [
            ("headers.delimiter", delimiter, "headers.separator", separator.as_str()),
            ("headers.delimiter", delimiter, "headers.key.separator", of_key),
            ("headers.separator", separator.as_str(), "headers.key.separator", of_key),
        ];
        let marker = reader.null_marker.as_deref();
        let others = [
            ("key.separator", reader.key_separator.as_str()),
            ("headers.separator", separator.as_str()),
            ("headers.delimiter", delimiter),
            ("headers.key.separator", of_key),
        ];
        let marked = marker.and_then(|marker| others.iter().find(|(_, text)| *text == marker));
        let equal =
            differ.iter().find(|(_, one, _, other)| one == other).map(|(one, _, other, _)| (*one, *other));
        match equal.or(marked.map(|(name, _)| ("null.marker", *name))) {
            Some((one, other)) => Err(Refused::own(EXCEPTION, format!("{one} and {other} may not be equal"))),
            None => Ok(reader),
        }
    }

    /// The record of the next line.
    pub(super) fn parse(&mut self, line: &str) -> Result<Message, Refused> {
        self.line_number += 1;
        let headers = self.part(self.parse_headers, line, 0, &self.headers_delimiter, "headers delimiter")?;
        let after_headers = headers.map_or(0, |headers| headers.len() + self.headers_delimiter.len());
        let key = self.part(self.parse_key, line, after_headers, &self.key_separator, "key separator")?;
        let after_key = after_headers + key.map_or(0, |key| key.len() + self.key_separator.len());
        let present = |text: &str| (self.null_marker.as_deref() != Some(text)).then(|| text.to_owned());
        let headers = match headers.filter(|headers| self.null_marker.as_deref() != Some(headers)) {
            Some(headers) => self.headers(headers)?,
            None => Vec::new(),
        };
        Ok(Message { key: key.and_then(present), value: present(&line[after_key..]), headers })
    }

    fn part<'a>(
        &self,
        enabled: bool,
        line: &'a str,
        from: usize,
        end: &str,
        name: &str,
    ) -> Result<Option<&'a str>, Refused> {
        if !enabled {
            return Ok(None);
        }
        match line[from..].find(end) {
            Some(length) => Ok(Some(&line[from..from + length])),
            None if self.ignore_error => Ok(None),
            None => {
                let message = format!("No {name} found on line number {}: '{line}'", self.line_number);
                Err(Refused::own(EXCEPTION, message))
            }
        }
    }

    fn headers(&self, text: &str) -> Result<Vec<(String, Option<String>)>, Refused> {
        let mut pairs: Vec<&str> = self.headers_separator.split(text).collect();
        // Java's split drops empty texts at the end, but not the only one.
        while pairs.len() > 1 && pairs.last().is_some_and(|pair| pair.is_empty()) {
            pairs.pop();
        }
        let header = |pair: &str| match pair.split_once(self.headers_key_separator.as_str()) {
            Some((key, _)) if self.null_marker.as_deref() == Some(key) => {
                let told = "as they can't be null";
                let message = format!("Header keys should not be equal to the null marker '{key}' {told}");
                Err(Refused::own(EXCEPTION, message))
            }
            Some((key, value)) => {
                let value = (self.null_marker.as_deref() != Some(value)).then(|| value.to_owned());
                Ok((key.to_owned(), value))
            }
            None if self.ignore_error => Ok((pair.to_owned(), None)),
            None => {
                let line = self.line_number;
                let message = format!("No header key separator found in pair '{pair}' on line number {line}");
                Err(Refused::own(EXCEPTION, message))
            }
        };
        pairs.into_iter().map(header).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(pairs: &[&str]) -> Result<LineReader, Refused> {
        let mut properties = Properties::default();
        properties.add(pairs);
        LineReader::new(&properties)
    }

    #[test]
    fn a_line_is_taken_apart() {
        let mut all =
            reader(&["parse.key=true", "parse.headers=TRUE", "null.marker=N"]).expect("good properties");
        let message = all.parse("a:1,b:N,\tkey\tvalue\tmore").expect("a good line");
        let headers = vec![("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)];
        let (key, value) = (Some("key".to_owned()), Some("value\tmore".to_owned()));
        assert_eq!(message, Message { key, value, headers });
        let message = all.parse("N\tN\tN").expect("a good line");
        assert_eq!(message, Message { key: None, value: None, headers: Vec::new() });
        let refused = all.parse("no").expect_err("no delimiter");
        assert_eq!(refused.message, "No headers delimiter found on line number 3: 'no'");
        assert!(
            reader(&["null.marker=,"]).is_err_and(|it| it.message.starts_with("null.marker and headers.sep"))
        );
    }

    #[test]
    fn lines_end_as_in_java() {
        let mut input = io::Cursor::new("a\r\n\nb\rc");
        let mut skip = false;
        let lines: Vec<String> =
            std::iter::from_fn(|| read_line(&mut input, &mut skip).expect("memory")).collect();
        assert_eq!(lines, ["a", "", "b", "c"]);
    }
}
