//! Writes a client's batch anew: packed with the topic's codec, or with the offsets that it should have had
//! (`LogValidator.buildRecordsAndAssignOffsets`).
//!
//! Must never change a key, a value, a header, a sequence or a CreateTime.

use super::inspect::unreadable;
use super::{CompressionRule, InvalidBatch, Origin, Rules, ValidBatch};
use crate::batch::{BatchBuilder, BatchView, TimestampType};
use crate::compress::Codec;
use crate::ids::Timestamp;

/// Recompression holds the unpacked records in memory, unlike inspection.
const UNPACKED_MAX: usize = 64 << 20;

pub(super) fn rebuild(
    view: &BatchView<'_>,
    rules: &Rules,
    target: Codec,
    now: Timestamp,
    origin: Origin,
) -> Result<ValidBatch, InvalidBatch> {
    let mut builder = BatchBuilder::new().producer(view.producer_id, view.producer_epoch, view.base_sequence);
    if view.is_transactional() {
        builder = builder.transactional();
    }
    if rules.timestamp_type == TimestampType::LogAppendTime {
        builder = builder.log_append_time(now);
    }
    let mut scratch = Vec::new();
    for record in view.records(&mut scratch, UNPACKED_MAX).map_err(unreadable)? {
        builder.push_view(&record.map_err(unreadable)?);
    }
    let level = match rules.compression {
        CompressionRule::Always(codec, level) if codec == target => level,
        _ => None,
    };
    let batch = ValidBatch::built(builder.finish(target, level));
    rules.check_size(batch.size())?;
    Ok(ValidBatch { origin, append_time: rules.append_time(now), ..batch })
}
