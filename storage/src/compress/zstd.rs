//! Zstd, unpacked with contexts that threads keep: to make one takes as long as to unpack a batch of 16 KB.
//!
//! Must never keep a context that a large window has grown.

use std::cell::Cell;
use std::io::{self, BufRead, Read, Write};

use zstd::zstd_safe::{DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::READ_BUFFER_LEN;

/// The decoder's window may take 2^27 bytes, as with Java's default; the pages are taken only as data come.
const WINDOW_LOG_MAX: u32 = 27;
/// Enough for the windows of the levels that clients use (2 MiB at the default), and little for each of a few threads.
const KEPT_MAX: usize = 4 << 20;

const DEFAULT_LEVEL: i32 = 3;

thread_local! {
    static IDLE: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

/// Appends `input` as one frame.
pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(out, level.unwrap_or(DEFAULT_LEVEL))?;
    encoder.write_all(input)?;
    encoder.finish().map(drop)
}

/// Unpacks one frame after the other.
pub(super) struct Decoder<'a> {
    context: Option<DCtx<'static>>,
    input: InBuffer<'a>,
    unpacked: Vec<u8>,
    at: usize,
    in_frame: bool,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> io::Result<Self> {
        Ok(Self {
            context: Some(context()?),
            input: InBuffer::around(input),
            unpacked: Vec::with_capacity(READ_BUFFER_LEN),
            at: 0,
            in_frame: false,
        })
    }

    /// Unpacks until something is there, or nothing is left.
    fn more(&mut self) -> io::Result<()> {
        self.unpacked.clear();
        self.at = 0;
        let Some(context) = &mut self.context else { return Ok(()) };
        while self.unpacked.is_empty() {
            let is_at_end = self.input.pos() == self.input.src.len();
            if is_at_end && !self.in_frame {
                return Ok(());
            }
            let mut out = OutBuffer::around(&mut self.unpacked);
            let wanted = context.decompress_stream(&mut out, &mut self.input).map_err(failed)?;
            self.in_frame = wanted != 0;
            if is_at_end && self.in_frame && self.unpacked.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"));
            }
        }
        Ok(())
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take().filter(|context| context.sizeof() <= KEPT_MAX) {
            // While its thread ends, there is nowhere to keep it.
            let _ = IDLE.try_with(|idle| idle.set(Some(context)));
        }
    }
}

impl BufRead for Decoder<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.unpacked.len() {
            self.more()?;
        }
        Ok(&self.unpacked[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        super::read_from_buffer(self, buf)
    }
}

/// The one that the thread keeps, as good as new, or a new one.
fn context() -> io::Result<DCtx<'static>> {
    let idle = IDLE.try_with(Cell::take).ok().flatten();
    if let Some(mut context) = idle {
        context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        return Ok(context);
    }
    let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(failed)?;
    Ok(context)
}

fn failed(code: ErrorCode) -> io::Error {
    io::Error::other(get_error_name(code))
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, compress};
    use super::*;

    fn unpacked(input: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decoder::new(input)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn kept() -> Option<usize> {
        let kept = IDLE.take();
        let size = kept.as_ref().map(DCtx::sizeof);
        IDLE.set(kept);
        size
    }

    fn packed(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress(Codec::Zstd, None, input, &mut out);
        out
    }

    #[test]
    fn a_context_is_as_good_as_new_after_what_was_damaged() {
        let (one, other) = (packed(&[1; 100_000]), packed(b"another"));
        for cut in [1, 5, one.len() / 2, one.len() - 1] {
            assert_eq!(unpacked(&one[..cut]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{cut}");
            assert!(kept().is_some());
            assert_eq!(unpacked(&other).unwrap(), b"another");
        }
        let mut damaged = one.clone();
        damaged[6] ^= 0xff;
        assert!(unpacked(&damaged).is_err());
        assert_eq!(unpacked(&one).unwrap(), [1; 100_000]);
    }

    #[test]
    fn frames_follow_each_other_and_may_be_empty() {
        let all = [packed(b"a"), packed(b""), packed(&[2; 50_000]), packed(b"")].concat();
        assert_eq!(unpacked(&all).unwrap(), [&b"a"[..], &[2; 50_000]].concat());
        assert!(unpacked(b"").unwrap().is_empty());
    }

    #[test]
    fn one_that_a_large_window_grew_is_not_kept() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(25).unwrap();
        let input = vec![3; 1 << 20];
        encoder.write_all(&input).unwrap();
        let large = encoder.finish().unwrap();
        assert_eq!(unpacked(&large).unwrap(), input);
        assert_eq!(kept(), None);
        unpacked(&packed(&input)).unwrap();
        assert!(kept().is_some_and(|size| size <= KEPT_MAX));
    }
}
