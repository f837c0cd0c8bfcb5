//! Random requests of a few clients in a small tree, as values: the same for both servers.
//!
//! Must never ask what ZooKeeper 3.8 is known to answer wrongly: a one-shot watch of a client on a path where it has one
//! that stays replaces the latter (ZOOKEEPER-4466, mended in 3.9), so each client has paths for the one and for the other;
//! and checkWatches there answers for any client's watch.

use milena_compat_tests::zoo::client::{
    ADD_WATCH, AUTH, Body, CHECK, CREATE, CREATE_CONTAINER, CREATE_TTL, CREATE2, DELETE, EXISTS, Entry,
    GET_ACL, GET_ALL_CHILDREN_NUMBER, GET_CHILDREN, GET_CHILDREN2, GET_DATA, GET_EPHEMERALS, MULTI,
    MULTI_READ, OPEN, PING, REMOVE_WATCHES, SET_ACL, SET_DATA, SET_WATCHES, SET_WATCHES2, SYNC, WHO_AM_I,
};

use milena_compat_tests::dice::Dice;

pub(crate) const CLIENTS: usize = 3;
/// Everything happens below it, so that what else a server holds does not matter.
pub(crate) const ROOT: &str = "/diff";

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// One request of a client.
    Ask { client: usize, op: i32, body: Body },
    /// setWatches: the zxid that the client last saw differs between servers, so it is put in there. `behind` is how many
    /// of its answers the client has forgotten.
    SetWatches { client: usize, op: i32, behind: usize, lists: Vec<Vec<String>> },
    /// The connection is closed and the session taken up on another.
    Reconnect { client: usize },
    /// The session is closed and another is opened.
    Reopen { client: usize },
}

impl Step {
    pub(crate) fn client(&self) -> usize {
        match self {
            Self::Ask { client, .. }
            | Self::SetWatches { client, .. }
            | Self::Reconnect { client }
            | Self::Reopen { client } => *client,
        }
    }
}

/// A path with few names, so that requests meet.
fn path(dice: &mut Dice) -> String {
    let mut path = ROOT.to_owned();
    for _ in 0..dice.below(4) {
        path.push('/');
        path.push_str(dice.one_of(&["a", "b", "a-b", "c"]));
    }
    if dice.chance(40) {
        path.push_str(dice.one_of(&["/", "//x", "/.", "/..", "/\u{1}", "/é", "/\u{e000}", "\0"]));
    }
    path
}

/// Whether this client keeps watches that stay on this path, or one-shot ones.
fn stays(client: usize, path: &str) -> bool {
    let sum: usize = path.bytes().map(usize::from).sum();
    (sum + client).is_multiple_of(3)
}

const ACLS: &[&[Entry<'_>]] = &[
    OPEN,
    OPEN,
    OPEN,
    OPEN,
    OPEN,
    &[(31, "auth", "")],
    &[(1, "world", "anyone"), (31, "auth", "")],
    &[(31, "digest", "u0:XvRQ6zMaxIhUmKzHuDFMtNJTULg="), (5, "world", "anyone")],
    &[(31, "ip", "127.0.0.0/8")],
    &[(15, "ip", "127.0.0.1"), (16, "world", "anyone")],
    &[(31, "ip", "10.0.0.1"), (17, "world", "anyone")],
    &[(1, "world", "anyone"), (1, "world", "anyone"), (30, "world", "anyone")],
    &[],
    &[(31, "digest", "nonsense")],
    &[(31, "world", "somebody")],
    &[(31, "nobody", "x")],
];

fn version(dice: &mut Dice) -> i32 {
    dice.one_of(&[-1, -1, -1, 0, 1, 2])
}

fn data(dice: &mut Dice) -> Option<&'static [u8]> {
    dice.one_of(&[Some(b"".as_slice()), Some(b"x"), Some(b"some more data"), None])
}

/// A request that changes something, which may also be a part of a multi.
fn change(dice: &mut Dice, in_multi: bool) -> (i32, Body) {
    let path = path(dice);
    let body = Body::default().string(&path);
    match dice.below(10) {
        0..5 => {
            let op = dice.one_of(&[CREATE, CREATE, CREATE2, CREATE2, CREATE_CONTAINER, CREATE_TTL]);
            let acls = dice.one_of(ACLS);
            // A name beside the root would count the children of a node that is not ours alone.
            let body = if path == ROOT { Body::default().string("/diff/a") } else { body };
            let flags = match op {
                CREATE_CONTAINER => 4,
                CREATE_TTL => dice.one_of(&[5, 5, 6, 0]),
                _ => dice.one_of(&[0, 0, 0, 0, 1, 1, 2, 3, 5, 9]),
            };
            let body = body.buffer(data(dice)).acls(acls).int(flags);
            let ttl = dice.one_of(&[1_000_000, 1_000_000, 0, -1, 1 << 41]);
            // ZooKeeper 3.8 dies of this one: the mode lets it pass, and DataTree.processTxn wants a positive TTL.
            let ttl = if flags == 0 { ttl.max(0) } else { ttl };
            (op, if op == CREATE_TTL { body.long(ttl) } else { body })
        }
        5 | 6 => (DELETE, body.int(version(dice))),
        7 | 8 => (SET_DATA, body.buffer(data(dice)).int(version(dice))),
        _ if in_multi => (CHECK, body.int(version(dice))),
        _ => (SET_ACL, body.acls(dice.one_of(ACLS)).int(version(dice))),
    }
}

fn read(dice: &mut Dice, client: usize) -> (i32, Body) {
    let path = path(dice);
    let watch = dice.chance(2) && !stays(client, &path);
    match dice.below(14) {
        0 | 1 => (EXISTS, Body::path(&path, watch)),
        2 | 3 => (GET_DATA, Body::path(&path, watch)),
        4 | 5 => (GET_CHILDREN, Body::path(&path, watch)),
        6 | 7 => (GET_CHILDREN2, Body::path(&path, watch)),
        8 => (GET_ACL, Body::default().string(&path)),
        9 => (GET_ALL_CHILDREN_NUMBER, Body::default().string(&path)),
        10 => (GET_EPHEMERALS, Body::default().string(dice.one_of(&["", "/", "/diff/a", "/none"]))),
        11 => {
            let mut body = Body::default();
            for _ in 0..dice.below(4) {
                let part = Body::path(&self::path(dice), false);
                body = body.part(dice.one_of(&[GET_DATA, GET_CHILDREN]), &part);
            }
            (MULTI_READ, body.end())
        }
        12 => (WHO_AM_I, Body::default()),
        _ => (SYNC, Body::default().string(&path)),
    }
}

fn watch(dice: &mut Dice, client: usize) -> (i32, Body) {
    let path = path(dice);
    let body = Body::default().string(&path);
    if stays(client, &path) && !dice.chance(3) {
        (ADD_WATCH, body.int(dice.one_of(&[0, 1, 1, 7])))
    } else {
        (REMOVE_WATCHES, body.int(dice.one_of(&[1, 2, 3, 3, 9])))
    }
}

fn set_watches(dice: &mut Dice, client: usize) -> Step {
    let op = dice.one_of(&[SET_WATCHES, SET_WATCHES2]);
    let mut list = |stay: bool| -> Vec<String> {
        let paths = (0..dice.below(3)).map(|_| path(dice)).collect::<Vec<_>>();
        paths.into_iter().filter(|path| stays(client, path) == stay).collect()
    };
    let mut lists = vec![list(false), list(false), list(false)];
    if op == SET_WATCHES2 {
        lists.extend([list(true), list(true)]);
    }
    Step::SetWatches { client, op, behind: dice.below(8), lists }
}

/// The next step.
pub(crate) fn step(dice: &mut Dice) -> Step {
    let client = dice.below(CLIENTS);
    let (op, body) = match dice.below(100) {
        0..45 => change(dice, false),
        45..55 => {
            let parts = dice.below(5);
            let body = (0..parts).fold(Body::default(), |body, _| {
                let (op, part) = change(dice, true);
                body.part(op, &part)
            });
            (MULTI, body.end())
        }
        55..80 => read(dice, client),
        80..90 => watch(dice, client),
        90..93 => return set_watches(dice, client),
        93 | 94 => return Step::Reconnect { client },
        95 => return Step::Reopen { client },
        96 => {
            let proof = format!("u{}:p", dice.below(2));
            (AUTH, Body::default().int(0).string("digest").buffer(Some(proof.as_bytes())))
        }
        97 => (PING, Body::default()),
        _ => {
            // A request that ends too early.
            let (op, mut body) = if dice.chance(2) { change(dice, false) } else { read(dice, client) };
            body.0.truncate(body.0.len() / 2);
            (op, body)
        }
    };
    Step::Ask { client, op, body }
}
