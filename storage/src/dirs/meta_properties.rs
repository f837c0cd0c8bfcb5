//! `meta.properties`: whose directory this is. Versions 0 (`broker.id`) and 1 (`node.id`) are read, 1 is written.
//!
//! Must never overwrite the identity of another cluster or node.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::SMALL_FILE_MAX;
use crate::StorageError;
use crate::error::At;
use crate::fs::Fs;
use crate::ids::BrokerId;

pub const META_PROPERTIES_FILE: &str = "meta.properties";

/// The identity in a log directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MetaProperties {
    pub cluster_id: Option<String>,
    pub node_id: Option<BrokerId>,
    /// URL-safe base64 uuid of the directory itself.
    pub directory_id: Option<String>,
}

/// The directory belongs to somebody else.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} holds {key}={found}, this broker has {expected}", path.display())]
pub struct IdentityError {
    pub path: PathBuf,
    pub key: &'static str,
    pub found: String,
    pub expected: String,
}

impl MetaProperties {
    /// `None` if the directory has no identity yet.
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = dir.join(META_PROPERTIES_FILE);
        if fs.meta(&path).at("look at", &path)?.is_none() {
            return Ok(None);
        }
        let bytes = fs.read(&path, SMALL_FILE_MAX).at("read", &path)?;
        let entries = parse(&String::from_utf8_lossy(&bytes));
        let version = entries.get("version").map_or("0", String::as_str);
        if version != "0" && version != "1" {
            return Err(StorageError::corrupt(&path, 0, format!("version {version} is not known")));
        }
        let id = match entries.get("node.id").or_else(|| entries.get("broker.id")) {
            None => None,
            Some(text) => Some(BrokerId(text.parse().map_err(|_| {
                StorageError::corrupt(&path, 0, format!("node.id {text:?} is not a number"))
            })?)),
        };
        let value = |key: &str| entries.get(key).filter(|value| !value.is_empty()).cloned();
        Ok(Some(Self { cluster_id: value("cluster.id"), node_id: id, directory_id: value("directory.id") }))
    }

    /// Writes version 1, durably.
    pub fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<(), StorageError> {
        let path = dir.join(META_PROPERTIES_FILE);
        let mut text = String::from("#\n");
        let mut line = |key: &str, value: &str| {
            writeln!(text, "{key}={value}").expect("a string takes every write");
        };
        if let Some(cluster_id) = &self.cluster_id {
            line("cluster.id", cluster_id);
        }
        if let Some(directory_id) = &self.directory_id {
            line("directory.id", directory_id);
        }
        if let Some(node_id) = self.node_id {
            line("node.id", &node_id.to_string());
        }
        line("version", "1");
        fs.replace(&path, text.as_bytes()).at("write", &path)
    }

    /// Refuses a directory whose cluster or node is another one; what the file does not tell is not compared.
    pub fn check(
        &self,
        dir: &Path,
        cluster_id: Option<&str>,
        node_id: BrokerId,
    ) -> Result<(), IdentityError> {
        let differ = |key, found: String, expected: String| {
            if found == expected {
                return Ok(());
            }
            Err(IdentityError { path: dir.join(META_PROPERTIES_FILE), key, found, expected })
        };
        if let (Some(found), Some(expected)) = (&self.cluster_id, cluster_id) {
            differ("cluster.id", found.clone(), expected.to_owned())?;
        }
        match self.node_id {
            Some(found) => differ("node.id", found.to_string(), node_id.to_string()),
            None => Ok(()),
        }
    }
}

/// Java's properties, as far as Kafka writes them here: comments, one pair a line, backslash escapes.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        entries.insert(key.trim().replace('\\', ""), value.trim().replace('\\', ""));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Open, SimFs};

    #[test]
    fn an_identity_comes_back_and_guards_the_directory() {
        let (fs, dir) = (SimFs::new(), Path::new("/"));
        assert_eq!(MetaProperties::read(&fs, dir).unwrap(), None);
        let mine = MetaProperties {
            cluster_id: Some("MkU3OEVBNTcwNTJENDM2Qg".into()),
            node_id: Some(BrokerId(1)),
            directory_id: Some("wXEZLc0aQ9yjoGUkbKZaow".into()),
        };
        mine.write(&fs, dir).unwrap();
        assert_eq!(MetaProperties::read(&fs, dir).unwrap(), Some(mine.clone()));
        mine.check(dir, Some("MkU3OEVBNTcwNTJENDM2Qg"), BrokerId(1)).unwrap();
        mine.check(dir, None, BrokerId(1)).unwrap();
        let error = mine.check(dir, Some("other"), BrokerId(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/meta.properties holds cluster.id=MkU3OEVBNTcwNTJENDM2Qg, this broker has other"
        );
        assert_eq!(mine.check(dir, None, BrokerId(2)).unwrap_err().key, "node.id");
    }

    #[test]
    fn files_of_kafka_are_read() {
        for (text, node) in [
            ("#\n#Mon Jan 01 00:00:00 UTC 2024\ncluster.id=c\\:d\nversion=1\nnode.id=7\n", 7),
            ("#\nbroker.id=3\nversion=0\ncluster.id=c\\:d\n", 3),
        ] {
            let fs = SimFs::new();
            fs.open(Path::new("/meta.properties"), Open::Create)
                .unwrap()
                .write_at(text.as_bytes(), 0)
                .unwrap();
            let read = MetaProperties::read(&fs, Path::new("/")).unwrap().unwrap();
            assert_eq!((read.cluster_id.as_deref(), read.node_id), (Some("c:d"), Some(BrokerId(node))));
        }
    }
}
