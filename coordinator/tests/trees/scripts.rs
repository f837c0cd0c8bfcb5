//! Runs `tests/scripts/tree/*.txt`: commands, each followed by the trace that it has to leave.
//!
//! Must never accept a trace that differs; `MILENA_REWRITE=1` writes the traces anew, for a human to read in the diff.
//!
//! A script is made of blocks with an empty line between them: comment lines (`#`), the command, `----`, the trace.
//! Several operations, one a line, are one multi; `as SESSION` before them says on whose behalf.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use milena_coordinator::tree::{
    Change, ClientKind, Command, CommandKind, Event, Lost, Op, OpResult, Outcome, Owner, SessionId, Stat,
    Tree, WatchKind, WatchMode, WatcherId, Watches, Zxid,
};
use milena_storage::ids::Timestamp;

use crate::command::{client_request, op, session, session_command, text};

#[test]
fn every_script_leaves_its_trace() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/tree");
    let mut scripts: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    let rewrite = std::env::var_os("MILENA_REWRITE").is_some();
    let mut failed = Vec::new();
    for path in scripts {
        let before = fs::read_to_string(&path).unwrap();
        let after = run(&before);
        if before != after && rewrite {
            fs::write(&path, after).unwrap();
        } else if before != after {
            failed.push(format!("{} leaves:\n{after}", path.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn run(script: &str) -> String {
    let mut world = World::default();
    let blocks = script.split("\n\n").filter(|block| !block.trim().is_empty()).map(|block| {
        let (head, _) = block.split_once("\n----").unwrap_or((block, ""));
        let head = head.trim();
        let lines: Vec<&str> = head.lines().filter(|line| !line.starts_with('#')).collect();
        if lines.is_empty() {
            format!("{head}\n")
        } else {
            format!("{head}\n----\n{}", world.execute(&lines))
        }
    });
    blocks.collect::<Vec<_>>().join("\n")
}

/// A tree with its watches, and the term and time of the next command.
struct World {
    tree: Tree,
    watches: Watches,
    term: u64,
    now: Timestamp,
}

impl Default for World {
    fn default() -> Self {
        Self { tree: Tree::new(), watches: Watches::default(), term: 1, now: Timestamp(1000) }
    }
}

impl World {
    fn execute(&mut self, lines: &[&str]) -> String {
        let (on_behalf, lines) = match lines[0].strip_prefix("as ") {
            Some(id) => (session(id), &lines[1..]),
            None => (SessionId::NONE, lines),
        };
        if let Some(ops) = lines.iter().map(|line| op(line)).collect::<Option<Vec<Op>>>() {
            return self.apply(on_behalf, CommandKind::Multi(ops));
        }
        if let Some(requests) = lines.iter().map(|line| client_request(line)).collect::<Option<Vec<_>>>() {
            return self.apply(on_behalf, CommandKind::Clients(requests));
        }
        if let Some(kind) = session_command(lines[0]) {
            return self.apply(on_behalf, kind);
        }
        self.look(lines[0])
    }

    /// Applies, and checks on the way that bytes and snapshots say the same.
    fn apply(&mut self, on_behalf: SessionId, kind: CommandKind) -> String {
        let command = Command { session: on_behalf, time: self.now, kind };
        let command = Command::decode(Bytes::from(command.encode())).unwrap();
        let zxid = self.tree.zxid().next(self.term);
        let mut copy = Tree::decode(Bytes::from(self.tree.encode())).unwrap();
        let (outcome, changes) = self.tree.apply(zxid, &command);
        copy.apply(zxid, &command);
        assert!(copy == self.tree, "a tree from a snapshot went another way");
        let mut out = format!("{zxid} ");
        show_outcome(&outcome, &command.kind, &mut out);
        for change in &changes {
            show_change(change, &mut out);
            for event in self.watches.fire(change) {
                show_event(&event, &mut out);
            }
        }
        out
    }

    /// Everything that changes no node.
    fn look(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let mut out = String::new();
        match words[0] {
            "term" => self.term = words[1].parse().unwrap(),
            "time" => self.now = Timestamp(words[1].parse().unwrap()),
            "stat" => match self.tree.stat(words[1]) {
                Some(stat) => show_stat(&stat, &mut out),
                None => out.push_str("none\n"),
            },
            "get" => {
                let node = self.tree.node(words[1]);
                let data = node.map(|(data, ..)| {
                    data.map_or("(missing)".into(), |data| String::from_utf8_lossy(data).into_owned())
                });
                writeln!(out, "{data:?}").unwrap();
            }
            "getacl" => {
                for acl in self.tree.acl(words[1]).unwrap().iter() {
                    writeln!(out, "{}:{}:{}", acl.scheme, acl.id, acl.perms).unwrap();
                }
            }
            "ls" => {
                self.tree.children(words[1]).for_each(|name| writeln!(out, "{name}").unwrap());
            }
            "tree" => {
                self.tree.subtree(words[1]).for_each(|(path, ..)| writeln!(out, "{path}").unwrap());
            }
            "sessions" => {
                for (id, session) in self.tree.sessions() {
                    write!(out, "{id} {}ms {:?}", session.timeout_millis, session.ephemerals).unwrap();
                    if session.attached != Zxid::default() {
                        write!(out, " attached {}", session.attached).unwrap();
                    }
                    out.push('\n');
                }
            }
            "perished" => {
                self.tree.perished(self.now).for_each(|path| writeln!(out, "{path}").unwrap());
            }
            _ => self.watch(&words, &mut out),
        }
        out
    }

    fn watch(&mut self, words: &[&str], out: &mut String) {
        let watcher = WatcherId(words[1].parse().unwrap());
        match (words[0], words.get(2).copied()) {
            ("watch", Some("data")) => self.watches.watch(watcher, &text(words[3]), WatchKind::Data),
            ("watch", Some("child")) => self.watches.watch(watcher, &text(words[3]), WatchKind::Child),
            ("watch", Some("persistent")) => self.watches.add(watcher, words[3], WatchMode::Persistent),
            ("watch", Some("recursive")) => {
                self.watches.add(watcher, words[3], WatchMode::PersistentRecursive)
            }
            ("unwatch", Some(path)) => {
                let kind = match words.get(3) {
                    Some(&"data") => WatchKind::Data,
                    Some(&"child") => WatchKind::Child,
                    _ => WatchKind::Any,
                };
                writeln!(out, "{}", self.watches.remove(watcher, path, kind)).unwrap();
            }
            ("forget", None) => self.watches.forget(watcher),
            ("again", Some(seen)) => {
                let of = |kind: &str| -> Vec<&str> {
                    words[3..].iter().filter_map(|word| word.strip_prefix(kind)?.strip_prefix('=')).collect()
                };
                let (data, exist, child) = (of("data"), of("exist"), of("child"));
                let lost = Lost { data: &data, exist: &exist, child: &child };
                let seen = Zxid(session(seen).0);
                for event in self.watches.set_again(&self.tree, watcher, seen, &lost) {
                    show_event(&event, out);
                }
            }
            _ => panic!("unknown command {words:?}"),
        }
    }
}

fn show_outcome(outcome: &Outcome, kind: &CommandKind, out: &mut String) {
    match outcome {
        Outcome::Multi(Ok(results)) => {
            let shown: Vec<String> = results.iter().map(show_result).collect();
            writeln!(out, "{}", shown.join(", ")).unwrap();
        }
        Outcome::Multi(Err(error)) => {
            let codes: Vec<i32> = error.codes(ops_of(kind)).map(|code| code.number()).collect();
            writeln!(out, "failed {codes:?}: {}", error.code).unwrap();
        }
        Outcome::SessionOpened(id) => writeln!(out, "opened {id}").unwrap(),
        Outcome::SessionClosed(gone) => writeln!(out, "closed with {}", gone.len()).unwrap(),
        Outcome::SessionAttached => out.push_str("attached\n"),
        Outcome::Synced => out.push_str("synced\n"),
        Outcome::Begun(id) => writeln!(out, "begun {id}").unwrap(),
        Outcome::SecretKept => out.push_str("secret kept\n"),
        Outcome::Clients(outcomes) => {
            let CommandKind::Clients(requests) = kind else { panic!("{kind:?} had a batch's outcome") };
            out.pop();
            out.push('\n');
            for ((zxid, outcome), request) in outcomes.iter().zip(requests) {
                write!(out, "  {zxid} ").unwrap();
                let kind = match &request.kind {
                    ClientKind::Multi(ops) => CommandKind::Multi(ops.clone()),
                    _ => CommandKind::Multi(Vec::new()),
                };
                show_outcome(outcome, &kind, out);
            }
        }
        Outcome::Refused(code) => writeln!(out, "refused {}: {code}", code.number()).unwrap(),
    }
}

fn ops_of(kind: &CommandKind) -> usize {
    let (CommandKind::Multi(ops) | CommandKind::Begin { ops, .. }) = kind else {
        panic!("{kind:?} had a multi's outcome")
    };
    ops.len()
}

fn show_result(result: &OpResult) -> String {
    match result {
        OpResult::Created { path, .. } => format!("created {path}"),
        OpResult::Deleted => "deleted".to_owned(),
        OpResult::DataSet(stat) => format!("set to version {}", stat.version),
        OpResult::AclSet(stat) => format!("acl set to version {}", stat.aversion),
        OpResult::Checked => "checked".to_owned(),
    }
}

fn show_change(change: &Change, out: &mut String) {
    match change {
        Change::Created(path, _) => writeln!(out, "  + {path}"),
        Change::Deleted(path, _) => writeln!(out, "  - {path}"),
        Change::DataChanged(path, _) => writeln!(out, "  = {path}"),
        Change::AclChanged(path) => writeln!(out, "  acl {path}"),
        Change::SessionOpened(id) => writeln!(out, "  session {id} opened"),
        Change::SessionAttached(id, zxid) => writeln!(out, "  session {id} attached {zxid}"),
        Change::SessionClosed(id) => writeln!(out, "  session {id} closed"),
    }
    .unwrap();
}

fn show_event(event: &Event, out: &mut String) {
    let Event { watcher: WatcherId(watcher), kind, path, .. } = event;
    writeln!(out, "    watcher {watcher}: {kind:?} {path}").unwrap();
}

fn show_stat(stat: &Stat, out: &mut String) {
    writeln!(out, "czxid={} mzxid={} pzxid={}", stat.czxid, stat.mzxid, stat.pzxid).unwrap();
    writeln!(out, "ctime={} mtime={}", stat.ctime, stat.mtime).unwrap();
    writeln!(out, "version={} cversion={} aversion={}", stat.version, stat.cversion, stat.aversion).unwrap();
    let owner = Owner::from_field(stat.ephemeral_owner);
    writeln!(out, "owner={owner:?} data={} children={}", stat.data_length, stat.num_children).unwrap();
}
