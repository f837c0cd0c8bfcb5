//! Frames: length, kind, number, checksum, body.
//!
//! Must never allocate before the length is checked.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::super::MAX_COMMAND_BYTES;

/// The largest command, or a run of smaller ones, and what stands around it.
pub(in super::super) const MAX_BODY_BYTES: usize = MAX_COMMAND_BYTES + (1 << 20);
/// Length of the body, kind, number, checksum of all that.
const HEAD_BYTES: usize = 4 + 1 + 8 + 4;

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Frame {
    pub(in super::super) kind: u8,
    /// Chosen by whoever asks; the answer has the same.
    pub(in super::super) number: u64,
    pub(in super::super) body: Bytes,
}

impl Frame {
    pub(super) fn put(&self, out: &mut BytesMut) {
        assert!(self.body.len() <= MAX_BODY_BYTES, "a body of {} bytes", self.body.len());
        let start = out.len();
        out.reserve(HEAD_BYTES + self.body.len());
        out.put_u32(u32::try_from(self.body.len()).expect("checked above"));
        out.put_u8(self.kind);
        out.put_u64(self.number);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), &self.body);
        out.put_u32(crc);
        out.put_slice(&self.body);
    }
}

/// Reads one frame; an end between two frames is an `UnexpectedEof` as well.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    let mut fields = &head[..];
    let (length, kind, number, stored) =
        (fields.get_u32() as usize, fields.get_u8(), fields.get_u64(), fields.get_u32());
    if length > MAX_BODY_BYTES {
        return Err(bad(format!("a frame of {length} bytes is larger than {MAX_BODY_BYTES}")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let computed = crc32c::crc32c_append(crc32c::crc32c(&head[..HEAD_BYTES - 4]), &body);
    if stored != computed {
        return Err(bad(format!("stored checksum {stored:08x}, computed {computed:08x}")));
    }
    Ok(Frame { kind, number, body: body.into() })
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> Vec<u8> {
        let mut out = BytesMut::new();
        Frame { kind: 7, number: 1 << 40, body: Bytes::from_static(b"body") }.put(&mut out);
        out.to_vec()
    }

    #[tokio::test]
    async fn a_frame_survives_its_bytes_and_any_altered_byte_is_noticed() {
        let frame = read(&mut &bytes()[..]).await.unwrap();
        assert_eq!((frame.kind, frame.number, &frame.body[..]), (7, 1 << 40, &b"body"[..]));
        for at in 0..bytes().len() {
            let mut altered = bytes();
            altered[at] ^= 1;
            read(&mut &altered[..]).await.unwrap_err();
            read(&mut &bytes()[..at]).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_is_refused_before_anything_is_allocated() {
        let mut head = bytes();
        head[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        let error = read(&mut &head[..]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("larger than"), "{error}");
    }
}
