//! ZooKeeper's serialization: big-endian numbers, lengths of four bytes, −1 for what is missing.
//!
//! Reading borrows from the frame and fails at its end. Must never allocate by a length or count from the wire.

use std::borrow::Cow;

use milena_coordinator::tree::{Acl, Owner, Stat};

/// A frame that is not what its type says (ZooKeeper's −5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be read")]
pub(super) struct Garbled;

/// Reads from the front of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Garbled> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Garbled)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Garbled)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn int(&mut self) -> Result<i32, Garbled> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Result<i64, Garbled> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Garbled> {
        Ok(self.take(1)? != [0])
    }

    /// Bytes, or none if their length is −1. Other negative lengths are refused.
    pub(super) fn buffer(&mut self) -> Result<Option<&'a [u8]>, Garbled> {
        match self.int()? {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_| Garbled)?).map(Some),
        }
    }

    /// A text; what is no UTF-8 is replaced, as Java does.
    pub(super) fn text(&mut self) -> Result<Option<Cow<'a, str>>, Garbled> {
        Ok(self.buffer()?.map(String::from_utf8_lossy))
    }

    /// A text that may not be missing.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Garbled> {
        self.text()?.ok_or(Garbled)
    }

    /// How many elements follow; a missing vector has none.
    pub(super) fn count(&mut self) -> Result<usize, Garbled> {
        match self.int()? {
            -1 => Ok(0),
            count => usize::try_from(count).map_err(|_| Garbled),
        }
    }

    /// The elements are read one by one, so a count that the frame does not hold ends in an error and not in memory.
    pub(super) fn strings(&mut self) -> Result<Vec<Cow<'a, str>>, Garbled> {
        let count = self.count()?;
        let mut strings = Vec::new();
        for _ in 0..count {
            strings.push(self.string()?);
        }
        Ok(strings)
    }

    pub(super) fn acls(&mut self) -> Result<Vec<Acl>, Garbled> {
        let count = self.count()?;
        let mut acls = Vec::new();
        for _ in 0..count {
            let perms = self.int()?.cast_unsigned();
            let scheme = self.string()?.into_owned();
            acls.push(Acl { perms, scheme, id: self.string()?.into_owned() });
        }
        Ok(acls)
    }
}

/// Appends to a buffer of answers.
pub(super) struct Output<'a>(pub(super) &'a mut Vec<u8>);

impl Output<'_> {
    pub(super) fn int(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn long(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub(super) fn length(&mut self, length: usize) {
        self.int(i32::try_from(length).expect("nothing in a tree has two billion parts"));
    }

    pub(super) fn buffer(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.length(bytes.len());
                self.0.extend_from_slice(bytes);
            }
            None => self.int(-1),
        }
    }

    pub(super) fn string(&mut self, text: &str) {
        self.buffer(Some(text.as_bytes()));
    }

    pub(super) fn strings<'s>(&mut self, strings: impl Iterator<Item = &'s str>) {
        let at = self.0.len();
        self.int(0);
        let mut count = 0;
        for string in strings {
            self.string(string);
            count += 1;
        }
        self.0[at..at + 4].copy_from_slice(&i32::to_be_bytes(count));
    }

    pub(super) fn acls(&mut self, acls: &[Acl]) {
        self.length(acls.len());
        for acl in acls {
            self.int(acl.perms.cast_signed());
            self.string(&acl.scheme);
            self.string(&acl.id);
        }
    }

    pub(super) fn stat(&mut self, stat: &Stat) {
        for long in [stat.czxid.0, stat.mzxid.0, stat.ctime.0, stat.mtime.0] {
            self.long(long);
        }
        for int in [stat.version, stat.cversion, stat.aversion] {
            self.int(int);
        }
        // Clients are told of sessions only (`DataNode.getClientEphemeralOwner`).
        self.long(match Owner::from_field(stat.ephemeral_owner) {
            Owner::Session(id) => id.0,
            Owner::Nobody | Owner::Container | Owner::Ttl { .. } => 0,
        });
        self.int(stat.data_length);
        self.int(stat.num_children);
        self.long(stat.pzxid.0);
    }

    /// One frame: its length goes before what `write` appends.
    pub(super) fn frame(&mut self, write: impl FnOnce(&mut Self)) {
        let at = self.0.len();
        self.int(0);
        write(self);
        let length = i32::try_from(self.0.len() - at - 4).expect("an answer is smaller than two gibibytes");
        self.0[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// A frame that answers a request, without a body.
    pub(super) fn header(&mut self, xid: i32, zxid: i64, code: i32) {
        self.int(xid);
        self.long(zxid);
        self.int(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let acl = Acl { perms: 31, scheme: "world".into(), id: "anyone".into() };
        let mut bytes = Vec::new();
        Output(&mut bytes).frame(|out| {
            out.string("/é");
            out.buffer(None);
            out.strings(["a", ""].into_iter());
            out.acls(std::slice::from_ref(&acl));
            out.boolean(true);
        });
        let mut input = Input(&bytes);
        assert_eq!(input.int(), Ok(i32::try_from(bytes.len() - 4).unwrap()));
        assert_eq!(input.string().unwrap(), "/é");
        assert_eq!(input.buffer(), Ok(None));
        assert_eq!(input.strings().unwrap(), ["a", ""]);
        assert_eq!(input.acls(), Ok(vec![acl]));
        assert_eq!(input.boolean(), Ok(true));
        assert_eq!(input.int(), Err(Garbled));
    }

    #[test]
    fn counts_and_lengths_that_the_frame_does_not_hold_are_refused() {
        for bad in [i32::MAX, i32::MIN, -2, 5] {
            let bytes = bad.to_be_bytes();
            assert_eq!(Input(&bytes).buffer(), Err(Garbled), "{bad}");
            assert_eq!(Input(&bytes).strings(), Err(Garbled), "{bad}");
            assert_eq!(Input(&bytes).acls(), Err(Garbled), "{bad}");
        }
    }
}
