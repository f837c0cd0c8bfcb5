//! One line of a script as a command.
//!
//! Must never guess: a line that cannot be read stops the test.

use bytes::Bytes;
use milena_coordinator::tree::{
    ANY_VERSION, Acl, Acls, ClientKind, ClientRequest, Code, CommandKind, Id, Ids, MAX_NODE_BYTES, Mode, Op,
    Secret, SessionId, Zxid, open_acl,
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
            data: option("data").map_or(Some(Bytes::new()), data),
            acl: option("acl").map_or_else(open_acl, acl),
            mode: words.get(2).filter(|word| !word.contains('=')).map_or(Mode::Persistent, |word| mode(word)),
        },
        "delete" => Op::Delete { path: path(), version },
        "set" => Op::SetData { path: path(), data: data(words[2]), version },
        "acl" => Op::SetAcl { path: path(), acl: acl(words[2]), version },
        "check" => Op::Check { path: path(), version },
        "remove" => Op::DeleteContainer { path: path() },
        "refuse" => Op::Refuse { path: path(), code: Code::NoAuth },
        _ => return None,
    })
}

/// `open MILLIS`, `close SESSION`, `begin MILLIS | OPERATION | OPERATION ..`.
pub(crate) fn session_command(line: &str) -> Option<CommandKind> {
    match line.split_once(' ')? {
        ("open", millis) => Some(CommandKind::OpenSession { timeout_millis: millis.parse().unwrap() }),
        ("begin", rest) => {
            let mut parts = rest.split(" | ");
            let timeout_millis = parts.next().unwrap().parse().unwrap();
            let ops = parts.map(|line| op(line).unwrap()).collect();
            Some(CommandKind::Begin { timeout_millis, secret: Secret([7; 32]), ops })
        }
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

/// `client SESSION@ATTACHED IDENTITIES | REQUEST`: operations with ` | ` between, or one of `open MILLIS`,
/// `attach SESSION MILLIS`, `expire SESSION ATTACHED`, `close`, `sync`.
pub(crate) fn client_request(line: &str) -> Option<ClientRequest> {
    let mut parts = line.strip_prefix("client ")?.split(" | ");
    let mut head = parts.next().unwrap().split(' ');
    let (who, attached) = head.next().unwrap().split_once('@').unwrap();
    let ids = head.map(|id| {
        let (scheme, id) = id.split_once(':').unwrap();
        Id { scheme: scheme.to_owned(), id: id.to_owned() }
    });
    let ids: Ids = ids.collect();
    let asked: Vec<&str> = parts.collect();
    let words: Vec<&str> = asked[0].split(' ').collect();
    let kind = match words[0] {
        "open" => ClientKind::Open { timeout_millis: words[1].parse().unwrap() },
        "attach" => ClientKind::Attach { id: session(words[1]), timeout_millis: words[2].parse().unwrap() },
        "expire" => ClientKind::Expire { id: session(words[1]), attached: Zxid(session(words[2]).0) },
        "close" => ClientKind::Close,
        "sync" => ClientKind::Sync,
        _ => ClientKind::Multi(asked.iter().map(|line| op(line).unwrap()).collect()),
    };
    Some(ClientRequest { session: session(who), attached: Zxid(session(attached).0), ids, kind })
}

/// `none` is no data at all; `max` and `max+1` stand for the largest data of a node with a path of two bytes, and one
/// more.
fn data(word: &str) -> Option<Bytes> {
    if word == "none" {
        return None;
    }
    let weight_of_the_rest = 2 + 5 + 6 + 12;
    let bytes = match word {
        "max" => vec![b'x'; MAX_NODE_BYTES - weight_of_the_rest].into(),
        "max+1" => vec![b'x'; MAX_NODE_BYTES - weight_of_the_rest + 1].into(),
        word => Bytes::copy_from_slice(word.as_bytes()),
    };
    Some(bytes)
}

/// `scheme:id:perms`, several with commas; `none` for an empty list.
fn acl(word: &str) -> Acls {
    if word == "none" {
        return Acls::from([]);
    }
    let entry = |word: &str| {
        let (scheme, rest) = word.split_once(':').unwrap();
        let (id, perms) = rest.rsplit_once(':').unwrap();
        Acl { scheme: scheme.to_owned(), id: id.to_owned(), perms: perms.parse().unwrap() }
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
