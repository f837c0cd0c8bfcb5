//! Requests that change the tree: from the wire to the tree's operations, and their outcomes back to the wire.
//!
//! Must never judge a request by the tree: that is done where it is applied. What the wire itself gets wrong is found
//! here and becomes an operation that refuses, so that codes come out in order.

use bytes::Bytes;
use milena_coordinator::tree::{Acls, ClientKind, Code, Mode, Op, OpResult, Outcome, Zxid};

use super::jute::{Garbled, Input, Output};
use super::kafka_nodes::is_kafkas;
use super::op_code::{
    CHECK, CREATE, CREATE_CONTAINER, CREATE_TTL, CREATE2, DELETE, ERROR, MULTI, SET_ACL, SET_DATA,
};

/// What a request has to be answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One operation of this number.
    One(i32),
    /// The operations of a multi.
    Multi(Vec<i32>),
    Sync(String),
    Close,
}

/// A change that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) kind: ClientKind,
    pub(super) shape: Shape,
}

/// Whether a type of request is read by [`change`].
pub(super) fn is_change(op: i32) -> bool {
    matches!(
        op,
        CREATE | CREATE2 | CREATE_CONTAINER | CREATE_TTL | DELETE | SET_DATA | SET_ACL | CHECK | MULTI
    )
}

/// Reads a change. Somebody who is not the super user may not touch what is Kafka's. One that cannot be read has its
/// place in the order too, where it fails.
pub(super) fn change(op: i32, input: Input<'_>, is_super: bool) -> Change {
    let refuse = Op::Refuse { path: String::new(), code: Code::MarshallingError };
    read(op, input, is_super)
        .unwrap_or_else(|Garbled| Change { kind: ClientKind::Multi(vec![refuse]), shape: Shape::One(op) })
}

fn read(op: i32, mut input: Input<'_>, is_super: bool) -> Result<Change, Garbled> {
    let (ops, shape) = if op == MULTI {
        multi(&mut input, is_super)?
    } else {
        (vec![guarded(operation(op, &mut input, true)?, is_super)], Shape::One(op))
    };
    Ok(Change { kind: ClientKind::Multi(ops), shape })
}

fn multi(input: &mut Input<'_>, is_super: bool) -> Result<(Vec<Op>, Shape), Garbled> {
    let (mut ops, mut types) = (Vec::new(), Vec::new());
    loop {
        let (op, done, _code) = (input.int()?, input.boolean()?, input.int()?);
        if done {
            return Ok((ops, Shape::Multi(types)));
        }
        if op == SET_ACL || op == MULTI {
            return Err(Garbled);
        }
        let asked = operation(op, input, false)?;
        match type_in_multi(op, &asked) {
            Some(told) => {
                types.push(told);
                ops.push(guarded(asked, is_super));
            }
            None => {
                types.push(op);
                ops.push(Op::Refuse { path: asked.path().to_owned(), code: Code::MarshallingError });
            }
        }
    }
}

/// Inside a multi ZooKeeper takes the type of a create from its flags (`Op.Create.getOpcode`): every plain one is
/// answered without a Stat. None if the flags ask for a time to live in a request that has none: once ZooKeeper comes to
/// it, the whole multi is garbled.
fn type_in_multi(op: i32, asked: &Op) -> Option<i32> {
    Some(match asked {
        Op::Create { mode: Mode::Container, .. } => CREATE_CONTAINER,
        Op::Create { mode: Mode::Ttl { .. } | Mode::TtlSequential { .. }, .. } => {
            if op != CREATE_TTL {
                return None;
            }
            CREATE_TTL
        }
        Op::Create { .. } => CREATE,
        _ => op,
    })
}

fn operation(op: i32, input: &mut Input<'_>, alone: bool) -> Result<Op, Garbled> {
    let path = input.string()?.into_owned();
    Ok(match op {
        CREATE | CREATE2 | CREATE_CONTAINER | CREATE_TTL => {
            let data = data(input)?;
            let acl = Acls::from(input.acls()?);
            let flags = input.int()?;
            let ttl = if op == CREATE_TTL { input.long()? } else { -1 };
            match mode(flags, ttl) {
                // In a multi the time to live of a node that has none is not looked at.
                Some(mode) if !alone || takes_ttl(mode) || ttl < 0 => Op::Create { path, data, acl, mode },
                _ => Op::Refuse { path, code: Code::BadArguments },
            }
        }
        DELETE => Op::Delete { path, version: input.int()? },
        SET_DATA => {
            let data = data(input)?;
            Op::SetData { path, data, version: input.int()? }
        }
        SET_ACL => {
            let acl = Acls::from(input.acls()?);
            Op::SetAcl { path, acl, version: input.int()? }
        }
        CHECK => Op::Check { path, version: input.int()? },
        _ => return Err(Garbled),
    })
}

/// A copy: the frame is a part of a larger buffer, which a node must not keep.
fn data(input: &mut Input<'_>) -> Result<Option<Bytes>, Garbled> {
    Ok(input.buffer()?.map(Bytes::copy_from_slice))
}

/// `CreateMode.fromFlag`.
fn mode(flags: i32, ttl: i64) -> Option<Mode> {
    let mode = match flags {
        0 => Mode::Persistent,
        1 => Mode::Ephemeral,
        2 => Mode::PersistentSequential,
        3 => Mode::EphemeralSequential,
        4 => Mode::Container,
        5 => Mode::Ttl { millis: ttl },
        6 => Mode::TtlSequential { millis: ttl },
        _ => return None,
    };
    Some(mode)
}

/// `EphemeralType.validateTTL`; whether the time to live is one is seen where it is applied.
fn takes_ttl(mode: Mode) -> bool {
    matches!(mode, Mode::Ttl { .. } | Mode::TtlSequential { .. })
}

fn guarded(op: Op, is_super: bool) -> Op {
    let reads = matches!(op, Op::Check { .. });
    if is_super || reads || !is_kafkas(op.path()) {
        return op;
    }
    Op::Refuse { path: op.path().to_owned(), code: Code::NoAuth }
}

/// Answers a change that was applied. `false`: the session is gone or served elsewhere, so nothing may be answered.
pub(super) fn answer(out: &mut Output<'_>, xid: i32, zxid: Zxid, shape: &Shape, outcome: &Outcome) -> bool {
    match (shape, outcome) {
        (_, Outcome::Refused(Code::SessionMoved)) => return false,
        (_, Outcome::Refused(code)) => out.frame(|out| out.header(xid, zxid.0, code.number())),
        (Shape::One(op), Outcome::Multi(Ok(results))) => out.frame(|out| {
            out.header(xid, zxid.0, 0);
            if let Some(result) = results.first() {
                put_result(out, *op, result, true);
            }
        }),
        (Shape::One(_), Outcome::Multi(Err(error))) => {
            out.frame(|out| out.header(xid, zxid.0, error.code.number()));
        }
        (Shape::Multi(_), Outcome::Multi(Err(error))) if error.code == Code::MarshallingError => {
            out.frame(|out| out.header(xid, zxid.0, error.code.number()));
        }
        (Shape::Multi(types), Outcome::Multi(result)) => out.frame(|out| {
            out.header(xid, zxid.0, 0);
            match result {
                Ok(results) => {
                    for (op, result) in types.iter().zip(results) {
                        // ZooKeeper knows one type for every create that is answered with a Stat.
                        let told = if matches!(*op, CREATE_TTL | CREATE_CONTAINER) { CREATE2 } else { *op };
                        multi_header(out, told, false, 0);
                        put_result(out, told, result, false);
                    }
                }
                Err(error) => {
                    for code in error.codes(types.len()) {
                        multi_header(out, ERROR, false, code.number());
                        out.int(code.number());
                    }
                }
            }
            multi_header(out, -1, true, -1);
        }),
        (Shape::Sync(path), _) => out.frame(|out| {
            out.header(xid, zxid.0, 0);
            out.string(path);
        }),
        (Shape::Close, _) => out.frame(|out| out.header(xid, zxid.0, 0)),
        (Shape::One(_) | Shape::Multi(_), _) => return false,
    }
    true
}

pub(super) fn multi_header(out: &mut Output<'_>, op: i32, done: bool, code: i32) {
    out.int(op);
    out.boolean(done);
    out.int(code);
}

fn put_result(out: &mut Output<'_>, op: i32, result: &OpResult, alone: bool) {
    match result {
        OpResult::Created { path, stat } => {
            out.string(path);
            if op != CREATE {
                out.stat(stat);
            }
        }
        OpResult::DataSet(stat) | OpResult::AclSet(stat) => out.stat(stat),
        // A check by itself is answered with the type of setData; there is nothing to say in it.
        OpResult::Checked if alone => out.stat(&milena_coordinator::tree::Stat::default()),
        OpResult::Deleted | OpResult::Checked => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(op: i32, path: &str, flags: i32, ttl: Option<i64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Output(&mut bytes);
        out.string(path);
        out.buffer(Some(b"x"));
        out.acls(&milena_coordinator::tree::open_acl());
        out.int(flags);
        if let Some(ttl) = ttl {
            assert_eq!(op, CREATE_TTL);
            out.long(ttl);
        }
        bytes
    }

    fn first(op: i32, bytes: &[u8], is_super: bool) -> Op {
        let ClientKind::Multi(mut ops) = change(op, Input(bytes), is_super).kind else { panic!() };
        ops.remove(0)
    }

    #[test]
    fn flags_and_times_to_live_must_fit() {
        let refused =
            |op, flags, ttl| matches!(first(op, &create(op, "/a", flags, ttl), false), Op::Refuse { .. });
        for flags in 0..5 {
            assert!(!refused(CREATE, flags, None), "{flags}");
        }
        assert!(refused(CREATE, 7, None));
        assert!(refused(CREATE_TTL, 0, Some(5)), "a time to live for a node that has none");
        assert!(!refused(CREATE_TTL, 5, Some(5)));
        assert!(!refused(CREATE_TTL, 0, Some(-1)));
    }

    #[test]
    fn what_is_kafkas_is_refused_unless_the_super_user_asks() {
        let bytes = create(CREATE, "/brokers/topics/t", 0, None);
        assert_eq!(
            first(CREATE, &bytes, false),
            Op::Refuse { path: "/brokers/topics/t".into(), code: Code::NoAuth }
        );
        assert!(matches!(first(CREATE, &bytes, true), Op::Create { .. }));
    }

    #[test]
    fn every_cut_is_refused_without_a_panic() {
        let bytes = create(CREATE_TTL, "/a", 5, Some(7));
        for cut in 0..bytes.len() {
            assert_eq!(read(CREATE_TTL, Input(&bytes[..cut]), false), Err(Garbled), "cut at {cut}");
        }
        let mut multi = Vec::new();
        multi_header(&mut Output(&mut multi), CREATE_TTL, false, -1);
        multi.extend_from_slice(&bytes);
        for cut in 0..multi.len() {
            assert_eq!(read(MULTI, Input(&multi[..cut]), false), Err(Garbled), "cut at {cut}");
        }
        assert_eq!(read(MULTI, Input(&multi), false), Err(Garbled), "without its end");
        multi_header(&mut Output(&mut multi), -1, true, -1);
        assert_eq!(read(MULTI, Input(&multi), false).unwrap().shape, Shape::Multi(vec![CREATE_TTL]));
    }
}
