//! Walks a request body along its shape: every length and count must be covered by bytes that are there.
//!
//! Must never allocate, and never trust a number before the bytes behind it were seen.

use thiserror::Error;

use super::shape::{Field, Kind, Shape};

/// Longest string that Kafka accepts, compact or not.
const MAX_STRING: usize = i16::MAX as usize;
/// Memory that a decoded request may take however small its frame is: what a few thousand short names need.
const FREE_MEMORY: usize = 1 << 20;
/// Beyond that, decoded bytes per byte of the frame. Real requests stay below four; a frame of empty
/// elements reaches thirty.
const MEMORY_PER_BYTE: usize = 8;
/// A decoded structure keeps its unknown tags in a B-tree, whose first node has this size.
const FIRST_TAG: usize = 600;
/// And each further tag at most this.
const NEXT_TAG: usize = 72;

/// What is wrong with a body, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{field} at byte {at}: {flaw}")]
pub struct Malformed {
    pub field: &'static str,
    /// Position in the body.
    pub at: usize,
    pub flaw: Flaw,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Flaw {
    #[error("the frame ends too early")]
    Short,
    #[error("{0} elements do not fit into the frame")]
    Count(u64),
    #[error("length {0} does not fit into the frame")]
    Length(u64),
    #[error("negative length {0}")]
    Negative(i64),
    #[error("null where null is not allowed")]
    Null,
    #[error("a number is longer than five bytes")]
    Varint,
    #[error("tag {0} does not have the size that it claims")]
    TagSize(u32),
    #[error("a presence byte that is neither 1 nor -1")]
    Presence,
    #[error("the frame would take far more memory decoded than sent")]
    Memory,
}

/// Told of what a walk comes by, in its order.
pub trait Visit {
    /// Elements of an array begin.
    fn open(&mut self, array: &'static str);
    /// And end.
    fn close(&mut self);
    /// The content of a field: a string's or list's bytes without their length, a number's as they stand.
    fn value(&mut self, field: &'static str, bytes: &[u8]);
}

/// For walks that only check; costs nothing.
impl Visit for () {
    fn open(&mut self, _: &'static str) {}
    fn close(&mut self) {}
    fn value(&mut self, _: &'static str, _: &[u8]) {}
}

/// Checks one body; bytes after it are left alone, as Kafka leaves them.
pub(super) fn body<V: Visit>(
    shape: &Shape,
    version: i16,
    body: &[u8],
    visit: &mut V,
) -> Result<usize, Malformed> {
    let mut walk = Walk {
        visit,
        bytes: body,
        at: 0,
        version,
        flexible: shape.is_flexible(version),
        memory_left: FREE_MEMORY + body.len().saturating_mul(MEMORY_PER_BYTE),
    };
    walk.fields("body", shape.fields)?;
    Ok(walk.at)
}

/// Skips the tag section of a request header; returns what follows.
pub(super) fn tags(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let visit = &mut ();
    let mut walk = Walk { visit, bytes, at, version: 0, flexible: true, memory_left: FREE_MEMORY };
    walk.tag_section("header", &[])?;
    Ok(walk.at)
}

struct Walk<'a, V> {
    visit: &'a mut V,
    bytes: &'a [u8],
    at: usize,
    version: i16,
    flexible: bool,
    memory_left: usize,
}

impl<V: Visit> Walk<'_, V> {
    fn fields(&mut self, name: &'static str, fields: &'static [Field]) -> Result<(), Malformed> {
        for field in fields {
            if field.is_in(self.version) && field.tag.is_none() {
                self.field(field)?;
            }
        }
        if self.flexible { self.tag_section(name, fields) } else { Ok(()) }
    }

    fn field(&mut self, field: &'static Field) -> Result<(), Malformed> {
        let nullable = field.may_be_null(self.version);
        match field.kind {
            Kind::Structure(fields) if nullable => match self.take(field.name, 1)? {
                [1] => self.fields(field.name, fields),
                [0xff] => Ok(()),
                _ => Err(self.flaw(field.name, Flaw::Presence)),
            },
            kind => self.value(field.name, kind, nullable),
        }
    }

    fn value(&mut self, name: &'static str, kind: Kind, nullable: bool) -> Result<(), Malformed> {
        match kind {
            Kind::Fixed(size) => self.shown(name, size),
            Kind::String => {
                let length =
                    if self.flexible { self.compact_length(name)? } else { self.short_length(name)? };
                match length {
                    Some(length) if length > MAX_STRING => Err(self.flaw(name, Flaw::Length(length as u64))),
                    length => self.content(name, length, nullable),
                }
            }
            Kind::Bytes => {
                let length = self.length(name)?;
                self.content(name, length, nullable)
            }
            Kind::List(of) => self.list(name, *of, nullable),
            Kind::Array(of) => self.array(name, of, nullable),
            Kind::Structure(of) => self.fields(name, of),
        }
    }

    fn content(
        &mut self,
        name: &'static str,
        length: Option<usize>,
        nullable: bool,
    ) -> Result<(), Malformed> {
        match length {
            None if nullable => Ok(()),
            None => Err(self.flaw(name, Flaw::Null)),
            Some(length) if length > self.left() => Err(self.flaw(name, Flaw::Length(length as u64))),
            Some(length) => self.shown(name, length),
        }
    }

    fn shown(&mut self, name: &'static str, size: usize) -> Result<(), Malformed> {
        if size > self.left() {
            return Err(self.flaw(name, Flaw::Short));
        }
        let from = self.at;
        self.at += size;
        self.visit.value(name, &self.bytes[from..self.at]);
        Ok(())
    }

    fn list(&mut self, name: &'static str, of: Kind, nullable: bool) -> Result<(), Malformed> {
        let count = self.count(name, smallest_item(of), nullable)?;
        self.charge(name, count, memory_of(of))?;
        if let Kind::Fixed(size) = of {
            return self.shown(name, count * size);
        }
        (0..count).try_for_each(|_| self.value(name, of, false))
    }

    fn array(&mut self, name: &'static str, of: &'static [Field], nullable: bool) -> Result<(), Malformed> {
        let count = self.count(name, 1, nullable)?;
        self.charge(name, count, memory_of_structure(of))?;
        self.visit.open(name);
        (0..count).try_for_each(|_| self.fields(name, of))?;
        self.visit.close();
        Ok(())
    }

    /// An element count that the rest of the frame can hold; null counts as none.
    fn count(&mut self, name: &'static str, smallest: usize, nullable: bool) -> Result<usize, Malformed> {
        match self.length(name)? {
            None if nullable => Ok(0),
            None => Err(self.flaw(name, Flaw::Null)),
            Some(count) if count > self.left() / smallest => Err(self.flaw(name, Flaw::Count(count as u64))),
            Some(count) => Ok(count),
        }
    }

    /// Tags of a structure: known ones are walked and must fill their size, others are skipped.
    fn tag_section(&mut self, name: &'static str, fields: &'static [Field]) -> Result<(), Malformed> {
        let count = self.varint(name)?;
        if count as usize > self.left() / 2 {
            return Err(self.flaw(name, Flaw::Count(u64::from(count))));
        }
        let mut unknown = 0;
        for _ in 0..count {
            let tag = self.varint(name)?;
            let size = self.varint(name)? as usize;
            if size > self.left() {
                return Err(self.flaw(name, Flaw::Length(size as u64)));
            }
            let end = self.at + size;
            let known = fields.iter().find(|field| field.tag == Some(tag) && field.is_in(self.version));
            match known {
                Some(field) => self.field(field)?,
                None => {
                    self.charge(name, 1, if unknown == 0 { FIRST_TAG } else { NEXT_TAG })?;
                    unknown += 1;
                    self.at = end;
                }
            }
            if self.at != end {
                return Err(self.flaw(name, Flaw::TagSize(tag)));
            }
        }
        Ok(())
    }

    fn length(&mut self, name: &'static str) -> Result<Option<usize>, Malformed> {
        if self.flexible {
            return self.compact_length(name);
        }
        let bytes = self.take(name, 4)?;
        let length = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        self.signed(name, i64::from(length))
    }

    fn short_length(&mut self, name: &'static str) -> Result<Option<usize>, Malformed> {
        let bytes = self.take(name, 2)?;
        let length = i16::from_be_bytes([bytes[0], bytes[1]]);
        self.signed(name, i64::from(length))
    }

    fn signed(&self, name: &'static str, length: i64) -> Result<Option<usize>, Malformed> {
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| self.flaw(name, Flaw::Negative(length))),
        }
    }

    fn compact_length(&mut self, name: &'static str) -> Result<Option<usize>, Malformed> {
        Ok((self.varint(name)? as usize).checked_sub(1))
    }

    fn varint(&mut self, name: &'static str) -> Result<u32, Malformed> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.take(name, 1)?[0];
            // The fifth byte has room for four bits; the decoders would silently drop the others.
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.flaw(name, Flaw::Varint))
    }

    fn charge(&mut self, name: &'static str, count: usize, each: usize) -> Result<(), Malformed> {
        match self.memory_left.checked_sub(count.saturating_mul(each)) {
            Some(left) => {
                self.memory_left = left;
                Ok(())
            }
            None => Err(self.flaw(name, Flaw::Memory)),
        }
    }

    fn take(&mut self, name: &'static str, count: usize) -> Result<&[u8], Malformed> {
        if count > self.left() {
            return Err(self.flaw(name, Flaw::Short));
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn flaw(&self, field: &'static str, flaw: Flaw) -> Malformed {
        Malformed { field, at: self.at, flaw }
    }
}

/// Smallest encoding of a list's element, in either encoding.
const fn smallest_item(kind: Kind) -> usize {
    match kind {
        Kind::Fixed(size) => size,
        _ => 1,
    }
}

/// Memory of a decoded value without what it points to: the sizes of `Bytes`, `Vec` and integers.
const fn memory_of(kind: Kind) -> usize {
    match kind {
        Kind::Fixed(size) => size,
        Kind::String | Kind::Bytes => 32,
        Kind::List(_) | Kind::Array(_) => 24,
        Kind::Structure(fields) => memory_of_structure(fields),
    }
}

/// All fields, whatever the version: the decoded structure has them all, and a map of unknown tags.
const fn memory_of_structure(fields: &[Field]) -> usize {
    let mut sum = 24;
    let mut at = 0;
    while at < fields.len() {
        sum += memory_of(fields[at].kind);
        at += 1;
    }
    sum
}
