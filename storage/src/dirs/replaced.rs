//! The mark in a partition's directory whose copy elsewhere is about to take its place. Between the change of the copy's name and the
//! removal of the old directory both carry the partition's name; the mark tells which of the two is done with.
//!
//! Kafka leaves files alone that it does not know, and asks an operator in that case. Must never be set before the copy is whole.

use std::path::Path;

use crate::StorageError;
use crate::error::At;
use crate::fs::Fs;

const MARK: &str = "replaced-by-copy";

/// Marks the directory, durably.
pub fn mark_replaced(fs: &dyn Fs, partition_dir: &Path) -> Result<(), StorageError> {
    let path = partition_dir.join(MARK);
    fs.replace(&path, b"0\n").at("write", &path)
}

pub fn is_marked_replaced(fs: &dyn Fs, partition_dir: &Path) -> Result<bool, StorageError> {
    let path = partition_dir.join(MARK);
    Ok(fs.meta(&path).at("look at", &path)?.is_some())
}

/// Takes the mark off, if there is one.
pub fn unmark_replaced(fs: &dyn Fs, partition_dir: &Path) -> Result<(), StorageError> {
    if !is_marked_replaced(fs, partition_dir)? {
        return Ok(());
    }
    let path = partition_dir.join(MARK);
    fs.remove_file(&path).at("remove", &path)?;
    fs.sync_dir(partition_dir).at("sync", partition_dir)
}
