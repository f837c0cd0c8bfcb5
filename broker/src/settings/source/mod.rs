//! Where settings come from: files of two kinds, the environment, the command line.
//!
//! Must never judge a value: a source yields names, texts and places, `load` does the rest.

pub mod container;
pub mod dev_security;
pub mod environment;
pub mod properties;
pub mod secrets;
pub mod toml_file;

use std::fs;
use std::io::Read;
use std::path::Path;

use super::effective::Source;
use super::problem::Problem;

/// A settings file is written by hand; one above this size is something else.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// One name and text from a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub name: String,
    pub text: String,
    pub source: Source,
}

/// A line of a file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    pub line: usize,
    pub what: String,
}

/// A line's name and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub line: usize,
    pub name: String,
    pub text: String,
}

/// Reads a settings file: TOML by its extension, else Java properties.
pub fn read_file(path: &Path) -> Result<Vec<Pair>, Vec<Problem>> {
    let of_line = |line| Source::File { path: path.to_owned(), line };
    let text = read_text(path)?;
    let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    let parsed = if is_toml { toml_file::parse(&text) } else { properties::parse(&text) };
    match parsed {
        Ok(lines) => Ok(lines
            .into_iter()
            .map(|line| Pair { name: line.name, text: line.text, source: of_line(line.line) })
            .collect()),
        Err(bad) => Err(bad
            .into_iter()
            .map(|bad| {
                Problem::of_source(of_line(bad.line), bad.what).remedy(if is_toml {
                    toml_file::REMEDY
                } else {
                    properties::REMEDY
                })
            })
            .collect()),
    }
}

/// Pairs from `--override name=value` arguments, in their order.
pub fn read_overrides(overrides: &[String]) -> Result<Vec<Pair>, Vec<Problem>> {
    let mut pairs = Vec::new();
    let mut problems = Vec::new();
    for argument in overrides {
        match argument.split_once('=') {
            Some((name, text)) if !name.trim().is_empty() => {
                let (name, text) = (name.trim().to_owned(), text.to_owned());
                pairs.push(Pair { name, text, source: Source::Override });
            }
            _ => problems.push(
                Problem::of_source(
                    Source::Override,
                    format!("--override {argument}: no name and value in it"),
                )
                .remedy("write --override name=value"),
            ),
        }
    }
    if problems.is_empty() { Ok(pairs) } else { Err(problems) }
}

fn read_text(path: &Path) -> Result<String, Vec<Problem>> {
    let source = Source::File { path: path.to_owned(), line: 0 };
    let unreadable = |what: String| {
        vec![
            Problem::of_source(source.clone(), what)
                .remedy("name a readable settings file with --config FILE"),
        ]
    };
    let file = fs::File::open(path).map_err(|error| unreadable(format!("cannot be opened: {error}")))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(format!("is larger than {MAX_FILE_BYTES} bytes, so it is no settings file")));
    }
    // Java reads properties as Latin-1; everybody writes UTF-8. What is not UTF-8 is taken as Java would.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| error.as_bytes().iter().map(|&byte| char::from(byte)).collect()))
}
