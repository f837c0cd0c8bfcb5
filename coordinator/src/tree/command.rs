//! What may be asked of the tree: operations, commands, and ZooKeeper's codes for their answers.
//!
//! Values only. Must never look at a tree: whether an operation succeeds is decided in `apply`.

use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use milena_storage::ids::Timestamp;

use super::client::{ClientRequest, Secret};
use super::stat::{SessionId, Stat, Zxid};

/// As an expected version: "whatever it is".
pub const ANY_VERSION: i32 = -1;

/// One entry of a node's access list; `acl` says how it is judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// READ 1, WRITE 2, CREATE 4, DELETE 8, ADMIN 16.
    pub perms: u32,
    pub scheme: String,
    pub id: String,
}

/// A shared access list; most nodes of a tree have the same one.
pub type Acls = Arc<[Acl]>;

static OPEN: LazyLock<Acls> =
    LazyLock::new(|| Arc::from([Acl { perms: 31, scheme: "world".into(), id: "anyone".into() }]));

/// ZooKeeper's `OPEN_ACL_UNSAFE`: everybody may do everything.
#[must_use]
pub fn open_acl() -> Acls {
    Arc::clone(&OPEN)
}

/// How a node lives and is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Persistent,
    Ephemeral,
    PersistentSequential,
    EphemeralSequential,
    Container,
    Ttl { millis: i64 },
    TtlSequential { millis: i64 },
}

impl Mode {
    #[must_use]
    pub fn is_sequential(self) -> bool {
        matches!(self, Self::PersistentSequential | Self::EphemeralSequential | Self::TtlSequential { .. })
    }

    #[must_use]
    pub fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }
}

/// One step of a multi. Data may be missing altogether, which ZooKeeper's clients tell from empty data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Create {
        path: String,
        data: Option<Bytes>,
        acl: Acls,
        mode: Mode,
    },
    Delete {
        path: String,
        version: i32,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    SetAcl {
        path: String,
        acl: Acls,
        version: i32,
    },
    Check {
        path: String,
        version: i32,
    },
    /// Removes an empty container, or an empty TTL node whose time has passed; both re-checked when applied.
    DeleteContainer {
        path: String,
    },
    /// Fails the multi with this code: whoever proposed it found out before the tree could.
    Refuse {
        path: String,
        code: Code,
    },
}

impl Op {
    /// Creates a persistent node that everybody may use.
    pub fn create(path: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self::create_as(path, data, Mode::Persistent)
    }

    /// Creates a node that everybody may use, in the given mode.
    pub fn create_as(path: impl Into<String>, data: impl Into<Bytes>, mode: Mode) -> Self {
        Self::Create { path: path.into(), data: Some(data.into()), acl: open_acl(), mode }
    }

    /// Replaces a node's data if its version is the given one ([`ANY_VERSION`]: in any case).
    pub fn set(path: impl Into<String>, data: impl Into<Bytes>, version: i32) -> Self {
        Self::SetData { path: path.into(), data: Some(data.into()), version }
    }

    /// Deletes a childless node if its version is the given one ([`ANY_VERSION`]: in any case).
    pub fn delete(path: impl Into<String>, version: i32) -> Self {
        Self::Delete { path: path.into(), version }
    }

    /// Fails the multi unless the node exists and has the given version.
    pub fn check(path: impl Into<String>, version: i32) -> Self {
        Self::Check { path: path.into(), version }
    }

    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Delete { path, .. }
            | Self::SetData { path, .. }
            | Self::SetAcl { path, .. }
            | Self::Check { path, .. }
            | Self::DeleteContainer { path }
            | Self::Refuse { path, .. } => path,
        }
    }
}

/// One entry of the total order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// On whose behalf; [`SessionId::NONE`] for the controller's own writes, which may not create ephemerals.
    pub session: SessionId,
    /// The proposer's clock: becomes ctime and mtime, and decides whether a TTL has passed.
    pub time: Timestamp,
    pub kind: CommandKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// All or nothing, one zxid for all.
    Multi(Vec<Op>),
    /// The new session's id is the zxid of this command.
    OpenSession { timeout_millis: i32 },
    /// Ends a session, by its own wish or by expiry, and removes its ephemeral nodes in the same step.
    CloseSession { id: SessionId },
    /// What clients of the ZooKeeper protocol asked for; each request has a zxid and an outcome of its own, in order.
    Clients(Vec<ClientRequest>),
    /// The secret that session passwords are made with. The first one stays; later ones change nothing.
    Secret(Secret),
    /// All of a new leader's first steps, or none: opens a session as [`CommandKind::OpenSession`] does, runs a multi on its
    /// behalf, and keeps the secret if there is none yet.
    Begin { timeout_millis: i32, secret: Secret, ops: Vec<Op> },
}

impl Command {
    /// A multi on behalf of no session.
    #[must_use]
    pub fn multi(time: Timestamp, ops: Vec<Op>) -> Self {
        Self { session: SessionId::NONE, time, kind: CommandKind::Multi(ops) }
    }
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Multi(Result<Vec<OpResult>, MultiError>),
    SessionOpened(SessionId),
    /// A new session has begun with its multi done.
    Begun(SessionId),
    /// The ephemeral nodes that went with it.
    SessionClosed(Vec<Arc<str>>),
    /// A session is served by another connection from now on.
    SessionAttached,
    /// Nothing was asked for but a place in the order.
    Synced,
    /// One per request of a batch, with the zxid that it took.
    Clients(Vec<(Zxid, Outcome)>),
    SecretKept,
    /// The command as a whole was refused, for instance because its session has expired.
    Refused(Code),
}

/// What one step of a multi did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// The path is the asked one, plus the suffix of a sequential node.
    Created {
        path: Arc<str>,
        stat: Stat,
    },
    Deleted,
    DataSet(Stat),
    AclSet(Stat),
    Checked,
}

/// Why a multi changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {index} on {path}: {code}")]
pub struct MultiError {
    /// Which of the operations failed, counted from 0.
    pub index: usize,
    pub code: Code,
    pub path: String,
}

impl MultiError {
    /// ZooKeeper's answer per operation: 0 for those before, the code, −2 for those after.
    pub fn codes(&self, count: usize) -> impl Iterator<Item = Code> {
        let (index, code) = (self.index, self.code);
        (0..count).map(move |at| match at.cmp(&index) {
            std::cmp::Ordering::Less => Code::Ok,
            std::cmp::Ordering::Equal => code,
            std::cmp::Ordering::Greater => Code::RuntimeInconsistency,
        })
    }
}

/// ZooKeeper's codes (`KeeperException.Code`), those that a tree can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Code {
    Ok = 0,
    RuntimeInconsistency = -2,
    MarshallingError = -5,
    Unimplemented = -6,
    BadArguments = -8,
    UnknownSession = -12,
    NoNode = -101,
    NoAuth = -102,
    BadVersion = -103,
    NoChildrenForEphemerals = -108,
    NodeExists = -110,
    NotEmpty = -111,
    SessionExpired = -112,
    InvalidAcl = -114,
    SessionMoved = -118,
}

impl Code {
    const ALL: [Self; 15] = [
        Self::Ok,
        Self::RuntimeInconsistency,
        Self::MarshallingError,
        Self::Unimplemented,
        Self::BadArguments,
        Self::UnknownSession,
        Self::NoNode,
        Self::NoAuth,
        Self::BadVersion,
        Self::NoChildrenForEphemerals,
        Self::NodeExists,
        Self::NotEmpty,
        Self::SessionExpired,
        Self::InvalidAcl,
        Self::SessionMoved,
    ];

    /// The code with this number, if a tree can answer it.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// The number on ZooKeeper's wire.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::RuntimeInconsistency => "runtime inconsistency",
            Self::MarshallingError => "marshalling error",
            Self::Unimplemented => "unimplemented",
            Self::BadArguments => "bad arguments",
            Self::UnknownSession => "unknown session",
            Self::NoNode => "no node",
            Self::NoAuth => "not authenticated",
            Self::BadVersion => "bad version",
            Self::NoChildrenForEphemerals => "no children for ephemerals",
            Self::NodeExists => "node exists",
            Self::NotEmpty => "not empty",
            Self::SessionExpired => "session expired",
            Self::InvalidAcl => "invalid acl",
            Self::SessionMoved => "session moved",
        })
    }
}
