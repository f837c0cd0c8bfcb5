//! Real text through the console tools, byte for byte, in every codec, and past a kill.
//!
//! The text is what the machine has: the documentation of the crates that this workspace builds, and the copyright files
//! of its packages. None of it may be put into the tree.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use milena_compat_tests::{Server, Tool};

/// As many lines as the tests want, at least.
const LINES: usize = 100_000;

/// A console tool needs seconds for the text; this is for a machine that has other work.
const PATIENCE: Duration = Duration::from_secs(180);

/// The codecs of the protocol.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Lines of prose, the same on every call.
fn prose() -> &'static str {
    static PROSE: OnceLock<String> = OnceLock::new();
    PROSE.get_or_init(|| {
        let cargo = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
        let mut text = String::new();
        let crates = cargo.map(|cargo| cargo.join("registry/src")).unwrap_or_default();
        gather(&crates, 3, &|path| path.extension().is_some_and(|extension| extension == "md"), &mut text);
        let copyright = |path: &Path| path.file_name().is_some_and(|name| name == "copyright");
        gather(Path::new("/usr/share/doc"), 2, &copyright, &mut text);
        let lines = text.lines().count();
        assert!(lines >= LINES, "this machine has only {lines} lines of text");
        text
    })
}

/// Adds the files below `folder` that are wanted, in order, until there is enough.
fn gather(folder: &Path, depth: usize, wanted: &dyn Fn(&Path) -> bool, text: &mut String) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if text.lines().count() >= LINES {
            return;
        }
        if path.is_dir() && depth > 1 {
            gather(&path, depth - 1, wanted, text);
        } else if wanted(&path)
            && let Ok(more) = fs::read_to_string(&path)
            // The tool takes a carriage return for the end of a line, and does not give it back.
            && more.ends_with('\n')
            && !more.contains('\r')
        {
            text.push_str(&more);
        }
    }
}

fn produce(server: &Server, topic: &str, codec: &str) {
    let tool = server.tool("kafka-console-producer").args(["--topic", topic, "--compression-codec", codec]);
    tool.input(prose()).patience(PATIENCE).ok();
}

fn assert_comes_back(server: &Server, topic: &str) {
    let count = prose().lines().count().to_string();
    let tool = server.tool("kafka-console-consumer").args(["--topic", topic, "--from-beginning"]);
    let read = tool.args(["--max-messages", &count]).patience(PATIENCE).run();
    assert_eq!(read.status, 0, "{}", String::from_utf8_lossy(&read.stderr));
    if read.stdout == prose().as_bytes() {
        return;
    }
    let text = read.text();
    let differs = text.lines().zip(prose().lines()).position(|(got, sent)| got != sent);
    panic!(
        "{topic}: {} lines of {count} came back; the first difference is at line {differs:?}",
        text.lines().count()
    );
}

/// What kafka-dump-log says of the codecs of a partition's batches.
fn codecs_on_disk(server: &Server, topic: &str) -> Vec<String> {
    let logs = server.partition_files(topic, 0, ".log");
    let list: Vec<String> = logs.iter().map(|path| path.display().to_string()).collect();
    let told = Tool::new("kafka-dump-log").args(["--files", &list.join(",")]).patience(PATIENCE).ok();
    let words = told.split("compresscodec: ").skip(1);
    let mut codecs: Vec<String> =
        words.map(|rest| rest.split_whitespace().next().unwrap_or_default().to_owned()).collect();
    codecs.sort();
    codecs.dedup();
    codecs
}

#[test]
fn text_comes_back_byte_for_byte_in_every_codec() {
    let server = Server::shared();
    for codec in CODECS {
        let topic = format!("text-{codec}");
        server.tool("kafka-topics").args(["--create", "--topic", &topic, "--partitions", "1"]).ok();
        produce(server, &topic, codec);
        assert_comes_back(server, &topic);
        assert_eq!(codecs_on_disk(server, &topic), [codec]);
    }
}

#[test]
fn text_comes_back_byte_for_byte_when_the_broker_compresses() {
    let server = Server::shared();
    for (codec, sent) in
        [("gzip", "none"), ("snappy", "lz4"), ("lz4", "zstd"), ("zstd", "none"), ("uncompressed", "gzip")]
    {
        let topic = format!("text-to-{codec}");
        let create = server.tool("kafka-topics").args(["--create", "--topic", &topic, "--partitions", "1"]);
        create.args(["--config", &format!("compression.type={codec}")]).ok();
        produce(server, &topic, sent);
        assert_comes_back(server, &topic);
        let expected = if codec == "uncompressed" { "none" } else { codec };
        assert_eq!(codecs_on_disk(server, &topic), [expected]);
    }
}

#[test]
fn text_comes_back_byte_for_byte_after_kill_and_restart() {
    let mut server = Server::start_default();
    server
        .tool("kafka-topics")
        .line("--create --topic text-killed --partitions 1 --config segment.bytes=1048576")
        .ok();
    produce(&server, "text-killed", "none");
    server.kill();
    server.start();
    assert_comes_back(&server, "text-killed");
    server.stop();
    server.start();
    assert_comes_back(&server, "text-killed");
}
