//! Kafka's command-line tools by their own names: the binary, linked as `kafka-storage`, behaves as that tool.
//!
//! Must never do a broker's work: a tool reads files, or asks a broker as any client would.

mod storage;
mod zookeeper_stub;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// One of Kafka's commands.
pub(crate) struct Tool {
    name: &'static str,
    pub run: fn(&[OsString]) -> ExitCode,
}

/// Each also with `.sh` at its end, as Kafka's own package has them.
const TOOLS: &[Tool] = &[
    Tool { name: "kafka-storage", run: storage::run },
    Tool { name: "zookeeper-server-start", run: zookeeper_stub::run },
];

/// The tool that this name of the program asks for.
pub(crate) fn named(program: &OsString) -> Option<&'static Tool> {
    let name = Path::new(program).file_name()?.to_str()?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    TOOLS.iter().find(|tool| tool.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_found_by_the_programs_name() {
        let name = |program: &str| named(&OsString::from(program)).map(|tool| tool.name);
        assert_eq!(name("/opt/kafka/bin/kafka-storage.sh"), Some("kafka-storage"));
        assert_eq!(name("kafka-storage"), Some("kafka-storage"));
        assert_eq!(name("/usr/bin/milena"), None);
        assert_eq!(name("kafka-server-start.sh"), None, "that is what the program does anyway");
    }
}
