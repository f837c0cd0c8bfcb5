//! The words in which request shapes are written: fields with kinds, version ranges, tags and nullability.
//!
//! Must never be built at run time: every shape is a constant.

/// First version of something that no version has.
pub(super) const NEVER: i16 = i16::MAX;

/// The request body of one API.
#[derive(Debug)]
pub struct Shape {
    pub key: i16,
    /// First version with compact lengths, tags and request header 2.
    pub flexible_from: i16,
    pub(super) fields: &'static [Field],
}

/// One field of a message or of an array's element.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    from: i16,
    to: i16,
    null_from: i16,
    pub(super) tag: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Fixed(usize),
    String,
    Bytes,
    /// Elements of one primitive kind.
    List(&'static Self),
    Array(&'static [Field]),
    Structure(&'static [Field]),
}

impl Shape {
    pub(super) const fn new(key: i16, flexible_from: i16, fields: &'static [Field]) -> Self {
        Self { key, flexible_from, fields }
    }

    #[must_use]
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

impl Field {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, from: 0, to: i16::MAX, null_from: NEVER, tag: None }
    }

    /// The field exists from this version on.
    pub(super) const fn from(self, version: i16) -> Self {
        Self { from: version, ..self }
    }

    /// The field exists up to this version.
    pub(super) const fn to(self, version: i16) -> Self {
        Self { to: version, ..self }
    }

    pub(super) const fn null(self) -> Self {
        self.null_from(0)
    }

    pub(super) const fn null_from(self, version: i16) -> Self {
        Self { null_from: version, ..self }
    }

    /// The field travels in the tag section.
    pub(super) const fn tag(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }

    pub(super) const fn is_in(&self, version: i16) -> bool {
        self.from <= version && version <= self.to
    }

    pub(super) const fn may_be_null(&self, version: i16) -> bool {
        self.null_from <= version
    }
}

pub(super) const INT8: Kind = Kind::Fixed(1);
pub(super) const INT32: Kind = Kind::Fixed(4);
pub(super) const INT64: Kind = Kind::Fixed(8);
pub(super) const STRING: Kind = Kind::String;

pub(super) const fn boolean(name: &'static str) -> Field {
    int8(name)
}

pub(super) const fn int8(name: &'static str) -> Field {
    Field::new(name, INT8)
}

pub(super) const fn int16(name: &'static str) -> Field {
    Field::new(name, Kind::Fixed(2))
}

pub(super) const fn int32(name: &'static str) -> Field {
    Field::new(name, INT32)
}

/// 64 bits, integer or floating point.
pub(super) const fn int64(name: &'static str) -> Field {
    Field::new(name, Kind::Fixed(8))
}

pub(super) const fn uuid(name: &'static str) -> Field {
    Field::new(name, Kind::Fixed(16))
}

pub(super) const fn string(name: &'static str) -> Field {
    Field::new(name, STRING)
}

/// Bytes and records alike: the guard never looks inside.
pub(super) const fn bytes(name: &'static str) -> Field {
    Field::new(name, Kind::Bytes)
}

pub(super) const fn list(name: &'static str, of: &'static Kind) -> Field {
    Field::new(name, Kind::List(of))
}

pub(super) const fn array(name: &'static str, of: &'static [Field]) -> Field {
    Field::new(name, Kind::Array(of))
}

pub(super) const fn structure(name: &'static str, of: &'static [Field]) -> Field {
    Field::new(name, Kind::Structure(of))
}
