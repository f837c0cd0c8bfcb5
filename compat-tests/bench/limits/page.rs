//! The page below `docs/benchmarks`: a section for each part, which a run of that part writes anew, and its picture beside it.
//!
//! It must never touch the section of a part that was not measured.

use std::io;
use std::process::Command;
use std::{env, fs};

use milena_compat_tests::{fetched, paths};

/// Where the page is, from the workspace on.
const FOLDER: &str = "docs/benchmarks";
const HEAD: &str = "# Next to the machine's limit, and to other brokers\n\n\
    What `compat-tests/bench/limits` printed. Each section is one run of all servers, one after the other, on one machine; compare within a\n\
    section only. The load is a program of our own that costs less processor than a broker and shares the cores with it. A bare loop does the\n\
    least that has to be done for a load, as a process of its own that is measured as a broker is. Processor times are those of the whole\n\
    server process, of all its threads; every number is the median of several runs on the same connections, after a warm-up.\n";

/// One part's section.
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
    /// What is measured, and how.
    pub(crate) text: &'a str,
    pub(crate) command: &'a str,
    pub(crate) table: &'a str,
}

impl Section<'_> {
    /// As Markdown, between two comments by which it is found again.
    pub(crate) fn markdown(&self, machine: &str) -> String {
        let Self { name, title, text, command, table } = self;
        let (begin, end) = marks(name);
        format!(
            "{begin}\n## {title}\n\n{text}\n\n`{command}`: {machine}\n\n![{title}]({name}.svg)\n\n{table}\n{end}\n"
        )
    }
}

fn marks(name: &str) -> (String, String) {
    (format!("<!-- begin {name} -->"), format!("<!-- end {name} -->"))
}

/// Writes a section into the page, and its picture beside the page.
pub(crate) fn write(name: &str, section: &str, picture: &str) -> io::Result<()> {
    let folder = paths::workspace().join(FOLDER);
    fs::create_dir_all(&folder)?;
    let page = folder.join("README.md");
    let before = fs::read_to_string(&page).unwrap_or_else(|_| HEAD.to_owned());
    fs::write(page, placed(&before, name, section))?;
    fs::write(folder.join(format!("{name}.svg")), picture)
}

/// The page with this section instead of the one that it had, or behind all others.
fn placed(page: &str, name: &str, section: &str) -> String {
    let (begin, end) = marks(name);
    let old =
        page.find(&begin).and_then(|from| Some((from, from + page[from..].find(&end)? + end.len() + 1)));
    match old {
        Some((from, to)) => format!("{}{section}{}", &page[..from], page.get(to..).unwrap_or_default()),
        None => format!("{page}\n{section}"),
    }
}

/// What was measured on, and the versions of all that was.
pub(crate) fn machine() -> io::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let model = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        model.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let kernel: String = kernel.chars().take_while(|each| each.is_ascii_digit() || *each == '.').collect();
    Ok(format!(
        "{cores} cores ({}, {}), {} GiB, Linux {kernel}; Milena {}, Apache Kafka 4.3.1 on {} with a heap of 1 GiB, kfake {}, {}.",
        model.unwrap_or("unknown"),
        env::consts::ARCH,
        (kib + (1 << 19)) >> 20,
        env!("CARGO_PKG_VERSION"),
        first_line(Command::new("java").arg("-version")).replace('"', ""),
        kfake_version(),
        tansu_version(),
    ))
}

fn kfake_version() -> String {
    let modules = fs::read_to_string(fetched::clients().join("go/go.mod")).unwrap_or_default();
    let line = modules.lines().find(|line| line.contains("franz-go/pkg/kfake "));
    line.and_then(|line| line.split_whitespace().find(|word| word.starts_with('v')))
        .unwrap_or("unknown")
        .to_owned()
}

fn tansu_version() -> String {
    let told = crate::peers::tansu().ok().map(|binary| first_line(Command::new(binary).arg("--version")));
    told.unwrap_or_else(|| "no Tansu".to_owned())
}

fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "unknown".to_owned() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(name: &str, table: &str) -> String {
        Section { name, title: "T", text: "x", command: "c", table }.markdown("m")
    }

    #[test]
    fn a_section_is_replaced_where_it_stands() {
        let page = placed("# Head\n", "fetch", &section("fetch", "old"));
        let page = placed(&page, "small", &section("small", "other"));
        let again = placed(&page, "fetch", &section("fetch", "new"));
        assert!(again.contains("new") && again.contains("other") && !again.contains("old"));
        assert_eq!(again.len(), page.len());
        assert!(again.find("begin fetch").expect("it is there") < again.find("begin small").expect("too"));
        assert_eq!(placed(&again, "fetch", &section("fetch", "new")), again);
    }

    #[test]
    fn a_section_names_its_picture_and_command() {
        let text = section("tls", "| table |\n");
        let expected =
            "<!-- begin tls -->\n## T\n\nx\n\n`c`: m\n\n![T](tls.svg)\n\n| table |\n\n<!-- end tls -->\n";
        assert_eq!(text, expected);
    }
}
