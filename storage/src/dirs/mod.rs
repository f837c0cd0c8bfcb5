//! A log directory: its lock, its identity, its checkpoints, and the names of the partition directories in it.
//!
//! Must never open a log, and never decide what becomes of a partition.

mod checkpoint;
mod clean_shutdown;
mod lock;
mod meta_properties;
mod names;
mod partition_metadata;
mod replaced;

pub use checkpoint::{
    CLEANER_CHECKPOINT, HIGH_WATERMARK_CHECKPOINT, LOG_START_CHECKPOINT, RECOVERY_POINT_CHECKPOINT,
    read_checkpoint, write_checkpoint,
};
pub(crate) use checkpoint::{malformed, read_lines};
pub use clean_shutdown::{CLEAN_SHUTDOWN_FILE, take_clean_shutdown, write_clean_shutdown};
pub use lock::{DirLock, LOCK_FILE, LockError};
pub use meta_properties::{IdentityError, META_PROPERTIES_FILE, MetaProperties};
pub use names::{
    DirKind, KAFKA_METADATA_DIR, PartitionDir, delete_dir_name, future_dir_name, has_future_name,
    hidden_future_dir_name, partition_dirs, stray_dir_name,
};
pub use partition_metadata::{
    PARTITION_METADATA_FILE, read_partition_metadata, write_all_partition_metadata, write_partition_metadata,
};
pub use replaced::{is_marked_replaced, mark_replaced, unmark_replaced};

/// Checkpoints and identity files are small; one that is larger than this is not ours.
const SMALL_FILE_MAX: usize = 64 << 20;
