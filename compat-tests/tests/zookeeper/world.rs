//! One server with its clients: does what a step says and tells what came back, in words that can be compared.
//!
//! Zxids become the number of the step that took them, session ids the client that had them, times whether they are
//! there. All else is told as it came. Must never know which server it is.

use std::collections::BTreeMap;

use milena_compat_tests::zoo::client::{
    ADD_WATCH, Body, CLOSE_SESSION, CREATE, CREATE_CONTAINER, CREATE_TTL, CREATE2, EXISTS, Fields, GET_ACL,
    GET_ALL_CHILDREN_NUMBER, GET_CHILDREN, GET_CHILDREN2, GET_DATA, GET_EPHEMERALS, MULTI, MULTI_READ,
    SET_ACL, SET_DATA, SYNC, WHO_AM_I,
};
use milena_compat_tests::zoo::{Client, Reply, Zoo};

use crate::steps::{CLIENTS, ROOT, Step};

pub(crate) struct World {
    zoo: Zoo,
    clients: Vec<Client>,
    /// Which step a zxid belongs to.
    zxids: BTreeMap<i64, usize>,
    /// Zxids of answers, by client, for setWatches.
    seen: Vec<Vec<i64>>,
    sessions: BTreeMap<i64, String>,
    number: usize,
    /// The step of the newest zxid.
    latest: usize,
}

impl World {
    pub(crate) fn new(zoo: Zoo) -> Self {
        let clients: Vec<Client> = (0..CLIENTS).map(|_| zoo.client()).collect();
        let mut sessions = BTreeMap::new();
        for (number, client) in clients.iter().enumerate() {
            sessions.insert(client.session, format!("client {number}"));
        }
        let mut world = Self {
            zoo,
            clients,
            zxids: BTreeMap::new(),
            seen: vec![Vec::new(); CLIENTS],
            sessions,
            number: 0,
            latest: 0,
        };
        let reply = world.clients[0].ask(CREATE, &Body::create(ROOT, b"", 0));
        assert_eq!(reply.code, 0);
        world.note(0, &reply);
        world
    }

    /// Does a step and tells the answer, then the events of each client.
    pub(crate) fn run(&mut self, step: &Step) -> String {
        self.number += 1;
        let client = step.client();
        let told = match step {
            Step::Ask { op, body, .. } => self.ask(client, *op, body),
            Step::SetWatches { op, behind, lists, .. } => {
                let seen = self.seen[client].iter().rev().nth(*behind).copied().unwrap_or(0);
                let body = lists.iter().fold(Body::default().long(seen), |body, list| body.strings(list));
                self.ask(client, *op, &body)
            }
            Step::Reconnect { .. } => {
                let again = self.clients[client].again(0).unwrap();
                let same = again.session == self.clients[client].session;
                self.clients[client] = again;
                // Milena's takes a zxid, which changes nothing: it counts as a part of the last one that did.
                self.settle_sessions(client, self.latest);
                format!("taken up: {same}")
            }
            Step::Reopen { .. } => {
                let reply = self.clients[client].ask(CLOSE_SESSION, &Body::default());
                self.note(client, &reply);
                self.clients[client] = self.zoo.client();
                self.sessions.insert(self.clients[client].session, format!("client {client}"));
                self.settle_sessions(client, self.number);
                format!("closed: {}", reply.code)
            }
        };
        let mut out = told;
        // A read on each connection: what it has to hear of the step comes before the answer.
        for number in 0..CLIENTS {
            self.clients[number].ask(EXISTS, &Body::path("/none", false));
            let mut events = self.clients[number].take_events();
            if matches!(step, Step::Reopen { .. }) {
                // The order in which a session's nodes go is that of a hash set.
                events.sort();
            }
            for (kind, path) in events {
                out.push_str(&format!("\n  client {number} hears {kind} {path:?}"));
            }
        }
        out
    }

    /// A session that was opened or taken up took zxids of its own, and how many is not a client's business.
    fn settle_sessions(&mut self, client: usize, step: usize) {
        let reply = self.clients[client].ask(SYNC, &Body::default().string("/"));
        self.zxids.entry(reply.zxid).or_insert(step);
        self.latest = step;
    }

    fn note(&mut self, client: usize, reply: &Reply) {
        if !self.zxids.contains_key(&reply.zxid) {
            self.zxids.insert(reply.zxid, self.number);
            self.latest = self.number;
        }
        self.seen[client].push(reply.zxid);
    }

    fn ask(&mut self, client: usize, op: i32, body: &Body) -> String {
        let reply = self.clients[client].ask(op, body);
        if reply.xid >= 0 {
            self.note(client, &reply);
        }
        let mut out = format!("code {} zxid {}", reply.code, self.zxid(reply.zxid));
        if reply.code == 0 {
            let mut fields = Fields(&reply.body);
            self.body(op, &mut fields, &mut out);
            assert!(fields.0.is_empty(), "{} bytes too many in an answer to {op}", fields.0.len());
        } else {
            assert!(reply.body.is_empty(), "a refusal has no body");
        }
        out
    }

    fn zxid(&self, zxid: i64) -> String {
        match (zxid, self.zxids.get(&zxid)) {
            (0, _) => "none".to_owned(),
            (_, Some(step)) => format!("step {step}"),
            // Older than the first step: only the order against others could be told.
            (_, None) => "before".to_owned(),
        }
    }

    fn body(&self, op: i32, fields: &mut Fields<'_>, out: &mut String) {
        match op {
            CREATE => out.push_str(&format!(" {:?}", fields.string())),
            CREATE2 | CREATE_CONTAINER | CREATE_TTL => {
                out.push_str(&format!(" {:?}", fields.string()));
                self.stat(fields, out);
            }
            SET_DATA | SET_ACL | EXISTS => self.stat(fields, out),
            GET_DATA => {
                out.push_str(&format!(" {:?}", fields.buffer()));
                self.stat(fields, out);
            }
            GET_CHILDREN | GET_EPHEMERALS => {
                let mut names = fields.strings();
                names.sort();
                out.push_str(&format!(" {names:?}"));
            }
            GET_CHILDREN2 => {
                let mut names = fields.strings();
                names.sort();
                out.push_str(&format!(" {names:?}"));
                self.stat(fields, out);
            }
            GET_ACL => {
                for _ in 0..fields.int() {
                    out.push_str(&format!(" {}:{}:{}", fields.int(), fields.string(), fields.string()));
                }
                self.stat(fields, out);
            }
            GET_ALL_CHILDREN_NUMBER | ADD_WATCH => out.push_str(&format!(" {}", fields.int())),
            SYNC => out.push_str(&format!(" {:?}", fields.string())),
            WHO_AM_I => {
                let count = fields.int();
                let mut ids: Vec<String> =
                    (0..count).map(|_| format!("{}:{}", fields.string(), fields.string())).collect();
                ids.sort();
                out.push_str(&format!(" {ids:?}"));
            }
            MULTI | MULTI_READ => loop {
                let (op, done, code) = (fields.int(), fields.boolean(), fields.int());
                out.push_str(&format!("\n    {op} {done} {code}"));
                if done {
                    break;
                }
                match op {
                    -1 => out.push_str(&format!(" {}", fields.int())),
                    op => self.body(op, fields, out),
                }
            },
            _ => {}
        }
    }

    fn stat(&self, fields: &mut Fields<'_>, out: &mut String) {
        let (created, modified) = (fields.long(), fields.long());
        let (ctime, mtime) = (fields.long(), fields.long());
        let versions = [fields.int(), fields.int(), fields.int()];
        let owner = fields.long();
        let owner = self.sessions.get(&owner).cloned().unwrap_or_else(|| format!("{owner:#x}"));
        let (length, children, pzxid) = (fields.int(), fields.int(), fields.long());
        out.push_str(&format!(
            " [c {} m {} p {} times {} versions {versions:?} owner {owner} length {length} children {children}]",
            self.zxid(created),
            self.zxid(modified),
            self.zxid(pzxid),
            ctime > 0 && mtime >= ctime,
        ));
    }
}
