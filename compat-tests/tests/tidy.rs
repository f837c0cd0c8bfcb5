//! The style rules that neither the compiler nor clippy holds: sizes, heads, names, edges between crates, waiting.
//!
//! Must stay plain reading of files, so that it runs in a blink and never needs a build.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Code lines of a file without its tests.
const FILE_LINES_MAX: usize = 500;
/// A table and a list of cases are longer: they are read row by row.
const TABLE_LINES_MAX: usize = 800;
/// Tests at the end of a file; longer ones have a file of their own.
const INLINE_TEST_LINES_MAX: usize = 200;
/// Anything larger is data, and data is made or fetched.
const FILE_BYTES_MAX: u64 = 100 * 1024;
const LINE_CHARS_MAX: usize = 160;

/// Files that are tables from their first row to their last.
const TABLES: &[&str] =
    &["broker/src/settings/rows/", "broker/src/net/guard/table", "broker/src/net/guard/shapes"];

const BANNED_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc"];

/// Where a test may wait: in a loop that asks, under a deadline.
const WAITING: &[&str] = &["compat-tests/src/wait.rs", "compat-tests/clients/rdkafka/src/check.rs"];

/// Where `std`'s clocks may be read. The tests' own programs are no broker.
const CLOCKS: &[&str] = &["broker/src/clock.rs", "compat-tests/", "coordinator/tests/groups/assigning.rs"];

/// Files in `broker/src/api` that serve no API key of their own.
const API_SUPPORT: &[&str] =
    &["context", "counts", "dispatch", "message", "mod", "operations", "partition_view", "testing"];

/// One Rust file, cut where its tests begin.
struct Source {
    path: String,
    text: String,
    code_lines: usize,
    is_test: bool,
}

impl Source {
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = if self.is_test { 0 } else { self.code_lines };
        self.text.lines().take(lines).enumerate().map(|(index, line)| (index + 1, line))
    }

    fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = if self.is_test { 0 } else { self.code_lines };
        self.text.lines().enumerate().skip(lines).map(|(index, line)| (index + 1, line))
    }

    fn stem(&self) -> &str {
        Path::new(&self.path).file_stem().and_then(|stem| stem.to_str()).expect("names are UTF-8")
    }
}

/// Breaches of one rule, shown together.
#[derive(Default)]
struct Breaches(Vec<String>);

impl Breaches {
    fn add(&mut self, path: &str, line: usize, what: &str) {
        self.0.push(format!("{path}:{line}: {what}"));
    }

    fn assert_none(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Every file of the tree, relative to its root; what is built or fetched is left out.
fn files() -> Vec<String> {
    const SKIPPED: &[&str] = &["target", "milena-data", "node_modules", "__pycache__", "corpus", "artifacts"];
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("names are UTF-8");
            if name == ".git" || SKIPPED.contains(&name) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(&root).expect("found below the root");
                found.push(relative.to_str().expect("names are UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| {
        let text = fs::read_to_string(root().join(&path)).expect("a readable file");
        let is_test = path.contains("/tests/")
            || path.ends_with("/tests.rs")
            || path.ends_with("/testing.rs")
            || path.starts_with("compat-tests/")
            || path.contains("/benches/");
        Source { code_lines: code_lines(&text), path, text, is_test }
    })
    .collect()
}

/// Lines before the module of tests at the end.
fn code_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let is_start = |index: usize| {
        lines[index].trim() == "#[cfg(test)]"
            && lines.get(index + 1).is_some_and(|next| next.starts_with("mod ") && next.contains('{'))
    };
    (0..lines.len()).find(|&index| is_start(index)).unwrap_or(lines.len())
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let mut breaches = Breaches::default();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            breaches.add(&source.path, 1, "begins without //!");
        }
    }
    breaches.assert_none();
}

#[test]
fn files_stay_short_enough_to_be_read() {
    let mut breaches = Breaches::default();
    for source in sources() {
        let is_table = TABLES.iter().any(|table| source.path.starts_with(table));
        let is_list = is_table || source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
        let limit = if is_list { TABLE_LINES_MAX } else { FILE_LINES_MAX };
        if source.code_lines > limit {
            breaches.add(&source.path, limit, &format!("{} lines, at most {limit}", source.code_lines));
        }
        let tests = source.tests().count();
        if !source.is_test && tests > INLINE_TEST_LINES_MAX {
            let what = format!("{tests} lines of tests belong into a file of their own");
            breaches.add(&source.path, source.code_lines, &what);
        }
        if is_table {
            continue;
        }
        for (number, line) in source.text.lines().enumerate() {
            // A text in quotes and a row of a table in a comment cannot be wrapped.
            let wraps = !line.contains('"') && !line.starts_with("//! |");
            if wraps && line.chars().count() > LINE_CHARS_MAX {
                breaches.add(&source.path, number + 1, "the line is too long");
            }
        }
    }
    breaches.assert_none();
}

#[test]
fn names_say_what_a_thing_does() {
    let mut breaches = Breaches::default();
    for source in sources() {
        let folders = Path::new(&source.path).with_extension("");
        if folders.iter().any(|part| BANNED_NAMES.iter().any(|banned| part == *banned)) {
            breaches.add(&source.path, 1, "the name says nothing");
        }
        for (number, line) in source.text.lines().enumerate() {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let defined = words.windows(2).find(|pair| {
                ["struct", "enum", "trait", "type", "mod"].contains(&pair[0])
                    && (pair[1].ends_with("Manager") || BANNED_NAMES.contains(&pair[1]))
            });
            let is_code = !line.trim_start().starts_with("//") && !line.contains('"');
            if let (Some(pair), true) = (defined, is_code) {
                breaches.add(&source.path, number + 1, &format!("{} says nothing", pair[1]));
            }
        }
    }
    breaches.assert_none();
}

#[test]
fn crates_know_only_the_crates_below_them() {
    let depends = |krate: &str| {
        let text = fs::read_to_string(root().join(krate).join("Cargo.toml")).expect("a manifest");
        let keys = text.lines().filter_map(|line| line.split(['.', '=', ' ']).next());
        keys.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    for (krate, forbidden) in [
        ("storage", &["milena", "milena-coordinator", "tokio", "openraft", "socket2", "kafka-protocol"][..]),
        ("coordinator", &["milena", "socket2"][..]),
        ("compat-tests", &["milena", "milena-coordinator", "milena-storage"][..]),
    ] {
        let depends = depends(krate);
        for name in forbidden {
            // The package's own name is the value of `name`, not a key.
            assert!(!depends.contains(*name), "{krate} must not depend on {name}");
        }
    }
}

#[test]
fn storage_and_the_state_machines_wait_for_nobody() {
    let mut breaches = Breaches::default();
    for source in sources() {
        let is_pure = source.path.starts_with("storage/src/")
            || (source.path.starts_with("coordinator/src/")
                && !source.path.starts_with("coordinator/src/ensemble"));
        if !is_pure {
            continue;
        }
        for (number, line) in source.code().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let banned = [
                "async fn",
                ".await;",
                ".await?",
                ".await.",
                "tokio::",
                "std::net::",
                "thread::spawn",
                "rand::",
            ];
            for what in banned.iter().filter(|what| line.contains(**what)) {
                breaches.add(&source.path, number, &format!("{what} has no place here"));
            }
            if source.path.starts_with("coordinator/")
                && (line.contains("HashMap") || line.contains("HashSet"))
            {
                breaches.add(&source.path, number, "an unordered map makes two runs differ");
            }
        }
    }
    breaches.assert_none();
}

#[test]
fn time_is_read_in_one_place() {
    let mut breaches = Breaches::default();
    for source in sources() {
        // An example that measures stands outside the broker, with a stopwatch of its own.
        let is_example = source.path.contains("/examples/");
        if is_example || CLOCKS.iter().any(|clock| source.path.starts_with(clock)) {
            continue;
        }
        // tokio's clock stands still in tests that ask for it; the timers of runtimes run by it.
        let imports_tokio =
            source.text.lines().any(|line| line.starts_with("use tokio::time") && line.contains("Instant"));
        for (number, line) in source.text.lines().enumerate() {
            let plain = line.replace("tokio::time::Instant::now", "");
            let reads =
                plain.contains("SystemTime::now") || (plain.contains("Instant::now") && !imports_tokio);
            if reads && !line.trim_start().starts_with("//") {
                breaches.add(&source.path, number + 1, "reads a clock");
            }
        }
    }
    breaches.assert_none();
}

#[test]
fn tests_wait_for_conditions_and_none_is_skipped() {
    let mut breaches = Breaches::default();
    for source in sources() {
        if source.path == "compat-tests/tests/tidy.rs" || WAITING.contains(&source.path.as_str()) {
            continue;
        }
        for (number, line) in source.tests().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if line.contains("#[ignore") {
                breaches.add(&source.path, number, "a test is skipped");
            }
            // A simulated clock moves when a paused runtime sleeps; that is no waiting.
            if line.contains("sleep(") && !source.text.contains("start_paused") {
                breaches.add(&source.path, number, "sleeps and hopes");
            }
        }
    }
    breaches.assert_none();
}

#[test]
fn nothing_is_unwrapped_or_left_undone_outside_tests() {
    let mut breaches = Breaches::default();
    for source in sources() {
        for (number, line) in source.code().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for what in [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "println!("] {
                if line.contains(what) && !line.contains(&format!("e{what}")) {
                    breaches.add(&source.path, number, what);
                }
            }
            if line.contains("#[allow(") && !line.contains("unsafe_code") {
                breaches.add(
                    &source.path,
                    number,
                    "#[allow]: use #[expect] with its reason, or change the code",
                );
            }
        }
        for (number, line) in source.text.lines().enumerate() {
            if line.contains(concat!("FIX", "ME")) || line.contains(concat!("X", "XX:")) {
                breaches.add(&source.path, number + 1, "is left undone");
            }
        }
    }
    breaches.assert_none();
}

#[test]
fn every_api_has_its_parts() {
    let mut breaches = Breaches::default();
    for source in sources() {
        let Some(rest) = source.path.strip_prefix("broker/src/api/") else { continue };
        if rest.contains('/') || API_SUPPORT.contains(&source.stem()) {
            continue;
        }
        for part in ["VERSIONS: RangeInclusive<i16>", "fn handle("] {
            if !source.text.contains(part) {
                breaches.add(&source.path, 1, &format!("has no {part}"));
            }
        }
    }
    breaches.assert_none();
}

#[test]
fn paths_in_the_documents_exist() {
    let mut breaches = Breaches::default();
    for document in ["ARCHITECTURE.md", "README.md", "docs/REPLICATION.md"] {
        let Ok(text) = fs::read_to_string(root().join(document)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for quoted in line.split('`').skip(1).step_by(2) {
                if is_path_of_the_tree(quoted) && !root().join(quoted).exists() {
                    breaches.add(document, number + 1, &format!("{quoted} does not exist"));
                }
            }
        }
    }
    breaches.assert_none();
}

/// Each rule of replication names tests that fail without it; so they have to be there.
#[test]
fn every_rule_of_replication_has_its_tests() {
    const DOCUMENT: &str = "docs/REPLICATION.md";
    const RULES: usize = 26;
    let mut breaches = Breaches::default();
    let text = fs::read_to_string(root().join(DOCUMENT)).expect("the document is there");
    let rows =
        text.lines().enumerate().filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| Rule"));
    let mut rules = 0;
    for (number, row) in rows {
        rules += 1;
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let is_whole = matches!(cells.as_slice(), [rule, _, _] if *rule == rules.to_string());
        let mut named = 0;
        for of_file in cells.last().into_iter().flat_map(|tests| tests.split(';')) {
            let mut quoted = of_file.split('`').skip(1).step_by(2);
            let source = quoted.next().and_then(|path| fs::read_to_string(root().join(path)).ok());
            for test in quoted {
                named += 1;
                if !source.as_ref().is_some_and(|source| source.contains(&format!("fn {test}("))) {
                    breaches.add(DOCUMENT, number + 1, &format!("{test} is not there"));
                }
            }
        }
        if !is_whole || named == 0 {
            breaches.add(DOCUMENT, number + 1, "is not the row of the next rule, with its tests");
        }
    }
    assert_eq!(rules, RULES);
    breaches.assert_none();
}

/// Whether a quoted text names something in this tree rather than a command, a pattern or what a run makes.
fn is_path_of_the_tree(quoted: &str) -> bool {
    let folders = ["broker/", "storage/", "coordinator/", "compat-tests/", "config/", "docs/"];
    let is_plain = quoted.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    is_plain && folders.iter().any(|folder| quoted.starts_with(folder))
}

#[test]
fn no_file_is_data() {
    let mut breaches = Breaches::default();
    for path in files() {
        let bytes = fs::metadata(root().join(&path)).expect("a file that was just listed").len();
        if bytes > FILE_BYTES_MAX {
            breaches.add(&path, 0, &format!("{bytes} bytes, at most {FILE_BYTES_MAX}"));
        }
    }
    breaches.assert_none();
}
