//! The first frame of a connection and its answer.
//!
//! Must never decide whether a session is valid.

use milena_coordinator::tree::{PASSWORD_BYTES, SessionId};

use super::jute::{Garbled, Input, Output};

/// What a client says first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConnectRequest<'a> {
    /// The newest change that the client was shown, by any server.
    pub(super) last_zxid_seen: i64,
    pub(super) timeout_millis: i32,
    /// 0 asks for a new session.
    pub(super) session: i64,
    pub(super) password: &'a [u8],
    /// Clients before 3.4 leave out whether they are content with reading; the answer leaves it out then too.
    pub(super) has_flag: bool,
}

impl<'a> ConnectRequest<'a> {
    pub(super) fn read(mut input: Input<'a>) -> Result<Self, Garbled> {
        let _protocol_version = input.int()?;
        Ok(Self {
            last_zxid_seen: input.long()?,
            timeout_millis: input.int()?,
            session: input.long()?,
            password: input.buffer()?.unwrap_or_default(),
            has_flag: input.boolean().is_ok(),
        })
    }
}

/// A time-out of 0 says that there is no such session.
pub(super) fn put_connect_response(
    out: &mut Vec<u8>,
    timeout_millis: i32,
    session: SessionId,
    password: [u8; PASSWORD_BYTES],
    has_flag: bool,
) {
    Output(out).frame(|out| {
        out.int(0);
        out.int(timeout_millis);
        out.long(session.0);
        out.buffer(Some(&password));
        if has_flag {
            out.boolean(false);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that kazoo 2.11 sends to open a session, without their length.
    const KAZOO: &[u8] = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x27\x10\0\0\0\0\0\0\0\0\0\0\0\x10\
        \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn a_connect_request_is_read_with_and_without_its_last_byte() {
        assert_eq!(KAZOO.len(), 45);
        let read = ConnectRequest::read(Input(KAZOO)).unwrap();
        assert_eq!((read.timeout_millis, read.session, read.has_flag), (10_000, 0, true));
        assert_eq!(read.password, [0; 16]);
        assert!(!ConnectRequest::read(Input(&KAZOO[..44])).unwrap().has_flag);
        for cut in 0..44 {
            assert_eq!(ConnectRequest::read(Input(&KAZOO[..cut])), Err(Garbled), "cut at {cut}");
        }
    }
}
