//! One line of a script as a command.
//!
//! Must never guess: a line that cannot be read stops the test.

use bytes::Bytes;
use milena_coordinator::tree::{
    ANY_VERSION, Acl, Acls, CommandKind, MAX_NODE_BYTES, Mode, Op, SessionId, open_acl,
};

/// `create PATH [MODE] [data=..] [acl=..]`, `delete|check PATH [version=..]`, `set PATH DATA [version=..]`,
/// `acl PATH ACL [version=..]`, `remove PATH`.
pub(crate) fn op(line: &str) -> Option<Op> {
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let version = option("version").map_or(ANY_VERSION, |version| version.parse().unwrap());
    let path = || text(words[1]);
    Some(match words[0] {
        "create" => Op::Create {
            path: path(),
            data: option("data").map_or(Bytes::new(), data),
            acl: option("acl").map_or_else(open_acl, acl),
            mode: words.get(2).filter(|word| !word.contains('=')).map_or(Mode::Persistent, |word| mode(word)),
        },
        "delete" => Op::Delete { path: path(), version },
        "set" => Op::SetData { path: path(), data: data(words[2]), version },
        "acl" => Op::SetAcl { path: path(), acl: acl(words[2]), version },
        "check" => Op::Check { path: path(), version },
        "remove" => Op::DeleteContainer { path: path() },
        _ => return None,
    })
}

/// `open MILLIS`, `close SESSION`.
pub(crate) fn session_command(line: &str) -> Option<CommandKind> {
    match line.split_once(' ')? {
        ("open", millis) => Some(CommandKind::OpenSession { timeout_millis: millis.parse().unwrap() }),
        ("close", id) => Some(CommandKind::CloseSession { id: session(id) }),
        _ => None,
    }
}

pub(crate) fn session(id: &str) -> SessionId {
    SessionId(i64::from_str_radix(id.trim_start_matches("0x"), 16).unwrap())
}

/// `\u{..}` stands for a character, `''` for nothing.
pub(crate) fn text(word: &str) -> String {
    if word == "''" {
        return String::new();
    }
    let mut parts = word.split("\\u{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}').unwrap();
        out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        out.push_str(rest);
    }
    out
}

/// `max` and `max+1` stand for the largest data of a node with a path of two bytes, and one more.
fn data(word: &str) -> Bytes {
    let weight_of_the_rest = 2 + 5 + 6 + 12;
    match word {
        "max" => vec![b'x'; MAX_NODE_BYTES - weight_of_the_rest].into(),
        "max+1" => vec![b'x'; MAX_NODE_BYTES - weight_of_the_rest + 1].into(),
        word => Bytes::copy_from_slice(word.as_bytes()),
    }
}

/// `scheme:id:perms`, several with commas; `none` for an empty list.
fn acl(word: &str) -> Acls {
    if word == "none" {
        return Acls::from([]);
    }
    let entry = |word: &str| {
        let parts: Vec<&str> = word.split(':').collect();
        Acl { scheme: parts[0].to_owned(), id: parts[1].to_owned(), perms: parts[2].parse().unwrap() }
    };
    word.split(',').map(entry).collect()
}

fn mode(word: &str) -> Mode {
    match word.split_once(':') {
        Some(("ttl", millis)) => Mode::Ttl { millis: millis.parse().unwrap() },
        Some(("ttl-sequential", millis)) => Mode::TtlSequential { millis: millis.parse().unwrap() },
        _ => match word {
            "persistent" => Mode::Persistent,
            "sequential" => Mode::PersistentSequential,
            "ephemeral" => Mode::Ephemeral,
            "ephemeral-sequential" => Mode::EphemeralSequential,
            "container" => Mode::Container,
            other => panic!("unknown mode {other}"),
        },
    }
}
