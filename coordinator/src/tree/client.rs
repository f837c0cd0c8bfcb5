//! What clients of the ZooKeeper protocol may ask of the tree, on behalf of whom.
//!
//! Values only, like `command`. Must never hold a password, nor print the secret that passwords are made with.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::acl::Ids;
use super::command::Op;
use super::stat::{SessionId, Zxid};

/// One request of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequest {
    /// On whose behalf; [`SessionId::NONE`] while a session is being opened.
    pub session: SessionId,
    /// The attachment of the connection that asks. If the session is attached elsewhere meanwhile, the request is
    /// refused: it may arrive late, from a connection that its client has given up.
    pub attached: Zxid,
    /// What access lists are compared with.
    pub ids: Ids,
    pub kind: ClientKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// All or nothing, as [`super::CommandKind::Multi`], with access lists checked.
    Multi(Vec<Op>),
    /// The new session's id, and its attachment, is the zxid of this request.
    Open { timeout_millis: i32 },
    /// Binds an open session to another connection; its attachment is the zxid of this request.
    Attach { id: SessionId, timeout_millis: i32 },
    /// Ends the session that asks.
    Close,
    /// Ends a session of which nothing was heard for too long, unless it was attached anew meanwhile.
    Expire { id: SessionId, attached: Zxid },
    /// A place in the order, and nothing else: takes no zxid.
    Sync,
}

/// The key of session passwords: the same on every node, so that a session can be taken up on any of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

/// Length of a session's password on ZooKeeper's wire.
pub const PASSWORD_BYTES: usize = 16;

impl Secret {
    /// The password of a session. ZooKeeper's own can be computed by anybody who knows the id.
    #[must_use]
    pub fn password(&self, session: SessionId) -> [u8; PASSWORD_BYTES] {
        let code = self.code_of(session).finalize().into_bytes();
        let mut password = [0; PASSWORD_BYTES];
        password.copy_from_slice(&code[..PASSWORD_BYTES]);
        password
    }

    /// Whether this is the password of the session; takes as long for a wrong one as for the right one.
    #[must_use]
    pub fn is_password(&self, session: SessionId, password: &[u8]) -> bool {
        password.len() == PASSWORD_BYTES && self.code_of(session).verify_truncated_left(password).is_ok()
    }

    fn code_of(&self, session: SessionId) -> Hmac<Sha256> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length is good");
        code.update(&session.0.to_be_bytes());
        code
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_opens_one_session_under_one_secret() {
        let (secret, other) = (Secret([1; 32]), Secret([2; 32]));
        let password = secret.password(SessionId(7));
        assert!(secret.is_password(SessionId(7), &password));
        assert!(!secret.is_password(SessionId(8), &password));
        assert!(!other.is_password(SessionId(7), &password));
        assert!(!secret.is_password(SessionId(7), &password[..15]));
        assert!(!secret.is_password(SessionId(7), &[]));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
