//! `bootstrap.checkpoint`: what a directory was formatted with, as far as it matters here: the users of SCRAM
//! (`BootstrapDirectory`, `kafka-storage format --add-scram`).
//!
//! It must never be read for a cluster that exists: users that were deleted would come back.

use std::fs;
use std::io;
use std::path::Path;

use bytes::{BufMut, BytesMut};
use milena_coordinator::controller::{ScramCredential, ScramMechanism};
use milena_coordinator::image::{ConfigKind, Configs};
use milena_storage::StorageError;
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::fs::Fs;
use milena_storage::ids::{Offset, Timestamp};

use super::content::Content;
use super::{METADATA_LOG, apply_file};

const FILE: &str = "bootstrap.checkpoint";
const FEATURE_LEVEL: u8 = 12;
const USER_SCRAM_CREDENTIAL: u8 = 11;

/// A user that a directory is formatted with.
pub struct FormattedUser {
    pub name: String,
    pub mechanism: ScramMechanism,
    pub credential: ScramCredential,
}

/// The users that a new cluster in this directory begins with. Where Kafka has run, its log tells of them.
pub fn users(fs: &dyn Fs, metadata_dir: &Path) -> Result<Vec<(String, Configs)>, StorageError> {
    let path = metadata_dir.join(FILE);
    let there = |path: &Path| {
        fs.meta(path).map(|meta| meta.is_some()).map_err(|error| StorageError::io("look at", path, error))
    };
    if !there(&path)? || there(&metadata_dir.join(METADATA_LOG))? {
        return Ok(Vec::new());
    }
    let mut content = Content::default();
    apply_file(fs, &path, Offset(0), &mut content)?;
    Ok(content.of_kind(ConfigKind::User))
}

/// Writes the file as Kafka does, who reads it as well.
pub fn write(metadata_dir: &Path, metadata_level: i16, users: &[FormattedUser]) -> io::Result<()> {
    let mut batch = BatchBuilder::new();
    let mut level = begin(FEATURE_LEVEL);
    put_bytes(&mut level, b"metadata.version");
    level.put_i16(metadata_level);
    level.put_u8(0);
    let mut values = vec![level];
    for user in users {
        let mut value = begin(USER_SCRAM_CREDENTIAL);
        put_bytes(&mut value, user.name.as_bytes());
        value.put_i8(user.mechanism.code());
        put_bytes(&mut value, &user.credential.salt);
        put_bytes(&mut value, &user.credential.stored_key);
        put_bytes(&mut value, &user.credential.server_key);
        value.put_i32(user.credential.iterations);
        value.put_u8(0);
        values.push(value);
    }
    for value in &values {
        batch.push(Record { timestamp: Timestamp(0), key: None, value: Some(value), headers: &[] });
    }
    fs::write(metadata_dir.join(FILE), batch.finish(Codec::None, None))
}

/// Frame version 1, the record's key, version 0.
fn begin(key: u8) -> BytesMut {
    let mut value = BytesMut::new();
    value.extend_from_slice(&[1, key, 0]);
    value
}

/// Compact: the length is one more, seven bits at a time.
fn put_bytes(value: &mut BytesMut, bytes: &[u8]) {
    let mut length = bytes.len() + 1;
    while length >= 0x80 {
        value.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    value.put_u8(length as u8);
    value.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use milena_storage::fs::RealFs;

    use super::*;

    fn user(name: &str, mechanism: ScramMechanism) -> FormattedUser {
        let credential = ScramCredential::of_salted(mechanism, b"salt", 4096, b"password");
        FormattedUser { name: name.to_owned(), mechanism, credential }
    }

    #[test]
    fn what_was_written_is_read_until_kafka_has_run() {
        let dir = tempfile::tempdir().unwrap();
        assert!(users(&RealFs, dir.path()).unwrap().is_empty());
        let long = "x".repeat(200);
        let written = [
            user("alice", ScramMechanism::Sha256),
            user("alice", ScramMechanism::Sha512),
            user(&long, ScramMechanism::Sha256),
        ];
        write(dir.path(), 30, &written).unwrap();
        let read = users(&RealFs, dir.path()).unwrap();
        let names: Vec<_> = read.iter().map(|(name, configs)| (name.as_str(), configs.len())).collect();
        assert_eq!(names, [("alice", 2), (long.as_str(), 1)]);
        assert_eq!(read[0].1["SCRAM-SHA-512"], written[1].credential.to_text());
        fs::create_dir(dir.path().join(METADATA_LOG)).unwrap();
        assert!(users(&RealFs, dir.path()).unwrap().is_empty());
    }
}
