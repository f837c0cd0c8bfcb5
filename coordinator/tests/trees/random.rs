//! Random commands: whatever they are, these must hold.

use std::collections::BTreeMap;

use bytes::Bytes;
use milena_coordinator::tree::{
    Change, ClientKind, ClientRequest, Code, Command, CommandKind, Id, Ids, Mode, Op, Outcome, Owner, Secret,
    SessionId, Tree, Zxid, parent,
};
use milena_storage::ids::Timestamp;
use proptest::prelude::*;

/// Few names, so that operations meet.
fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("a-b"), Just("b"), Just("..")];
    prop::collection::vec(name, 0..4).prop_map(|names| format!("/{}", names.join("/")))
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        4 => Just(Mode::Persistent),
        2 => Just(Mode::Ephemeral),
        1 => Just(Mode::PersistentSequential),
        1 => Just(Mode::EphemeralSequential),
        1 => Just(Mode::Container),
        1 => (-1i64..50).prop_map(|millis| Mode::Ttl { millis }),
        1 => (1i64..50).prop_map(|millis| Mode::TtlSequential { millis }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let data = || prop::collection::vec(any::<u8>(), 0..4);
    prop_oneof![
        4 => (path(), data(), mode()).prop_map(|(path, data, mode)| Op::create_as(path, data, mode)),
        2 => (path(), -1i32..3).prop_map(|(path, version)| Op::delete(path, version)),
        2 => (path(), data(), -1i32..3).prop_map(|(path, data, version)| Op::set(path, data, version)),
        1 => (path(), -1i32..3).prop_map(|(path, version)| Op::check(path, version)),
        1 => path().prop_map(|path| Op::DeleteContainer { path }),
    ]
}

/// What happens, with the term's growth and the number of the session it is about.
fn step() -> impl Strategy<Value = (u64, usize, Kind)> {
    let kind = prop_oneof![
        6 => (any::<bool>(), prop::collection::vec(op(), 1..5)).prop_map(|(mine, ops)| Kind::Multi(mine, ops)),
        1 => Just(Kind::Open),
        1 => Just(Kind::Close),
        3 => prop::collection::vec(asked(), 1..4).prop_map(Kind::Clients),
    ];
    (0u64..2, 0usize..4, kind)
}

/// What a client asks; its session is put in when the sessions are known.
fn asked() -> impl Strategy<Value = ClientKind> {
    prop_oneof![
        4 => prop::collection::vec(op(), 1..4).prop_map(ClientKind::Multi),
        1 => Just(ClientKind::Open { timeout_millis: 4000 }),
        1 => Just(ClientKind::Attach { id: SessionId::NONE, timeout_millis: 5000 }),
        1 => Just(ClientKind::Close),
        1 => Just(ClientKind::Expire { id: SessionId::NONE, attached: Zxid::default() }),
        1 => Just(ClientKind::Sync),
    ]
}

#[derive(Clone, Debug)]
enum Kind {
    Clients(Vec<ClientKind>),
    Multi(bool, Vec<Op>),
    Open,
    Close,
}

fn commands(steps: &[(u64, usize, Kind)]) -> Vec<(Zxid, Command)> {
    let (mut term, mut last, mut sessions) = (1, Zxid::default(), vec![SessionId(77)]);
    let mut zxid;
    let mut commands = Vec::new();
    for (time, (grow, number, kind)) in (0i64..).zip(steps) {
        term += grow;
        zxid = last.next(term);
        last = zxid;
        let known = sessions[number % sessions.len()];
        let (session, kind) = match kind {
            Kind::Multi(mine, ops) => {
                (if *mine { known } else { SessionId::NONE }, CommandKind::Multi(ops.clone()))
            }
            Kind::Open => {
                sessions.push(SessionId(zxid.0));
                let timeout_millis = 6000;
                let opens = match number % 2 {
                    0 => CommandKind::OpenSession { timeout_millis },
                    _ => CommandKind::Begin {
                        timeout_millis,
                        secret: Secret([9; 32]),
                        ops: vec![Op::create_as("/begun", "", Mode::Ephemeral)],
                    },
                };
                (SessionId::NONE, opens)
            }
            Kind::Close => (SessionId::NONE, CommandKind::CloseSession { id: known }),
            Kind::Clients(asked) => {
                let requests = clients(asked, *number, zxid, &mut sessions);
                let taken = requests.iter().filter(|request| request.kind != ClientKind::Sync).count();
                last = Zxid(zxid.0 + i64::try_from(taken).unwrap().max(1) - 1);
                (SessionId::NONE, CommandKind::Clients(requests))
            }
        };
        commands.push((zxid, Command { session, time: Timestamp(time * 10), kind }));
    }
    commands
}

/// Requests of a session that serves, or once did, or never was.
fn clients(
    asked: &[ClientKind],
    number: usize,
    first: Zxid,
    sessions: &mut Vec<SessionId>,
) -> Vec<ClientRequest> {
    let mut next = first.0;
    let mut requests = Vec::new();
    for kind in asked {
        let id = sessions[(number + requests.len()) % sessions.len()];
        let attached = Zxid(id.0);
        let kind = match kind {
            ClientKind::Attach { timeout_millis, .. } => {
                ClientKind::Attach { id, timeout_millis: *timeout_millis }
            }
            ClientKind::Expire { .. } => ClientKind::Expire { id, attached },
            ClientKind::Open { .. } => {
                sessions.push(SessionId(next));
                kind.clone()
            }
            other => other.clone(),
        };
        next += i64::from(kind != ClientKind::Sync);
        let who = Id { scheme: "digest".into(), id: format!("u:{number}") };
        requests.push(ClientRequest { session: id, attached, ids: Ids::from([who]), kind });
    }
    requests
}

/// What a tree must look like from outside at any moment.
fn check_invariants(tree: &Tree) {
    let mut children: BTreeMap<String, i32> = BTreeMap::new();
    for (path, data, stat) in tree.subtree("/") {
        if let Some(parent) = parent(path) {
            let above = tree.stat(parent).unwrap_or_else(|| panic!("{path} has no parent"));
            assert!(
                !matches!(Owner::from_field(above.ephemeral_owner), Owner::Session(_)),
                "{path} below an ephemeral"
            );
            assert!(above.pzxid >= stat.czxid, "{path}");
            *children.entry(parent.to_owned()).or_default() += 1;
        }
        assert_eq!(usize::try_from(stat.data_length).unwrap(), data.len());
        assert!(stat.czxid <= stat.mzxid && stat.mzxid <= tree.zxid() && stat.pzxid <= tree.zxid(), "{path}");
        if let Owner::Session(id) = Owner::from_field(stat.ephemeral_owner) {
            assert!(tree.session(id).is_some_and(|session| session.ephemerals.contains(path)), "{path}");
        }
    }
    for (path, _, stat) in tree.subtree("/") {
        let count = children.get(&**path).copied().unwrap_or(0);
        assert_eq!(stat.num_children, count, "{path}");
        assert_eq!(tree.children(path).count(), usize::try_from(count).unwrap(), "{path}");
        for name in tree.children(path) {
            let child = if &**path == "/" { format!("/{name}") } else { format!("{path}/{name}") };
            assert!(tree.stat(&child).is_some(), "{child}");
        }
    }
    let owned: usize = tree.sessions().map(|(_, session)| session.ephemerals.len()).sum();
    let of_sessions = tree
        .subtree("/")
        .filter(|(.., stat)| matches!(Owner::from_field(stat.ephemeral_owner), Owner::Session(_)));
    assert_eq!(owned, of_sessions.count());
    assert_eq!(tree.len(), tree.subtree("/").count());
}

/// A tree without its zxid: what a refused command must leave alone.
fn content(tree: &Tree) -> Vec<u8> {
    let bytes = tree.encode();
    // Behind the magic, the version, the checksum and the zxid.
    bytes[20..].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_same_commands_make_the_same_bytes_over_snapshots_at_any_moment(
        steps in prop::collection::vec(step(), 1..60), restart in 0usize..60,
    ) {
        let (mut straight, mut restarted) = (Tree::new(), Tree::new());
        for (number, (zxid, command)) in commands(&steps).into_iter().enumerate() {
            if number == restart {
                restarted = Tree::decode(Bytes::from(restarted.encode())).unwrap();
            }
            let decoded = Command::decode(Bytes::from(command.encode())).unwrap();
            prop_assert_eq!(&decoded, &command);
            prop_assert_eq!(straight.apply(zxid, &command), restarted.apply(zxid, &decoded));
        }
        prop_assert_eq!(straight.encode(), restarted.encode());
        prop_assert!(straight == restarted, "an index differs from what its snapshot gives");
    }

    #[test]
    fn the_tree_is_whole_after_every_command_and_a_refusal_changes_nothing(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut tree = Tree::new();
        for (zxid, command) in commands(&steps) {
            let before = content(&tree);
            let (outcome, changes) = tree.apply(zxid, &command);
            let batch = matches!(command.kind, CommandKind::Clients(_));
            prop_assert!(batch || tree.zxid() == zxid);
            if matches!(outcome, Outcome::Multi(Err(_)) | Outcome::Refused(_)) {
                prop_assert_eq!(before, content(&tree), "{:?} was refused", command);
                prop_assert!(changes.is_empty());
            }
            if let (Outcome::Refused(code), CommandKind::Multi(_)) = (&outcome, &command.kind) {
                prop_assert_eq!(*code, Code::SessionExpired);
            }
            check_invariants(&tree);
        }
    }

    #[test]
    fn changes_tell_every_node_that_came_and_went(steps in prop::collection::vec(step(), 1..60)) {
        let mut tree = Tree::new();
        let mut known: Vec<String> = tree.subtree("/").map(|(path, ..)| path.to_string()).collect();
        for (zxid, command) in commands(&steps) {
            for change in tree.apply(zxid, &command).1 {
                match change {
                    Change::Created(path, _) => known.push(path.to_string()),
                    Change::Deleted(path, _) => known.retain(|other| **other != *path),
                    _ => {}
                }
            }
            known.sort();
            let there: Vec<String> = tree.subtree("/").map(|(path, ..)| path.to_string()).collect();
            prop_assert_eq!(&known, &there);
        }
    }

    #[test]
    fn altered_snapshots_and_commands_are_refused_without_a_panic(
        steps in prop::collection::vec(step(), 1..20), at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let mut tree = Tree::new();
        for (zxid, command) in commands(&steps) {
            let mut bytes = command.encode();
            let place = at.index(bytes.len());
            bytes[place] ^= flip;
            let _ = Command::decode(Bytes::from(bytes.clone()));
            bytes.truncate(place);
            prop_assert!(Command::decode(Bytes::from(bytes)).is_err());
            tree.apply(zxid, &command);
        }
        let mut bytes = tree.encode();
        let place = at.index(bytes.len());
        bytes[place] ^= flip;
        prop_assert!(Tree::decode(Bytes::from(bytes.clone())).is_err());
        bytes.truncate(place);
        prop_assert!(Tree::decode(Bytes::from(bytes)).is_err());
    }
}
