//! Kafka's words for records that a topic does not take (KIP-467; `LogValidator`).
//!
//! Must never show a record's key or value.

use milena_storage::batch::{self, BatchError};
use milena_storage::validate::{InvalidBatch, InvalidKind, RecordError, RecordProblem as Wrong, RecordShape};

use crate::codec::produce_response::RecordProblem;

/// As many as Kafka shows in the summary; an answer names all.
const SHOWN: usize = 3;

/// What is wrong with each record, for an answer about this partition.
pub(crate) fn problems(partition: &str, invalid: &InvalidBatch) -> Vec<RecordProblem> {
    let problem = |record: &RecordError| RecordProblem {
        index: record.index,
        message: Some(message(partition, &record.problem)),
    };
    invalid.records.iter().map(problem).collect()
}

/// What the partition as a whole is told (`LogValidator.processRecordErrors`).
pub(crate) fn summary(partition: &str, invalid: &InvalidBatch) -> String {
    if invalid.kind == InvalidKind::Timestamp {
        return "One or more records have been rejected due to invalid timestamp".to_owned();
    }
    let shown = invalid.records.iter().take(SHOWN).map(|record| {
        let message = message(partition, &record.problem);
        format!("RecordError(batchIndex={}, message='{message}')", record.index)
    });
    format!(
        "One or more records have been rejected due to {} record errors in total, and only showing the first three \
         errors at most: [{}]",
        invalid.wrong_records,
        shown.collect::<Vec<_>>().join(", ")
    )
}

/// Kafka's words for bytes that cannot even be measured (`ByteBufferLogInputStream.nextBatchSize`); a batch that is only
/// cut short is none of these.
pub(crate) fn unmeasurable(error: &BatchError) -> Option<String> {
    match error {
        BatchError::Length(length) => Some(format!(
            "Record size {length} is less than the minimum record overhead ({})",
            batch::LEGACY_LENGTH_MIN
        )),
        BatchError::Magic(magic) => Some(format!("Invalid magic found in record: {magic}")),
        _ => None,
    }
}

fn message(partition: &str, problem: &Wrong) -> String {
    match problem {
        Wrong::NoKey => {
            format!("Compacted topic cannot accept message without key in topic partition {partition}")
        }
        Wrong::Time { timestamp, offset, earliest, latest } => format!(
            "Timestamp {timestamp} of message with offset {offset} is out of range. The timestamp should be within \
             [{earliest}, {latest}]"
        ),
        Wrong::AppendTime(record) => format!(
            "Invalid timestamp type in message {}. Producer should not set timestamp type to LogAppendTime.",
            shape(record)
        ),
        Wrong::Compressed(record) => format!(
            "Compressed outer record should not have an inner record with a compression attribute set: {}",
            shape(record)
        ),
    }
}

/// Java's words for a record. One that was read past, in a compressed batch, has another class and tells null as −1.
fn shape(record: &RecordShape) -> String {
    let (class, null) = if record.compressed { ("PartialDefaultRecord", -1) } else { ("DefaultRecord", 0) };
    let size = |field: Option<usize>| field.map_or(null, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let RecordShape { offset, timestamp, .. } = record;
    let (key, value) = (size(record.key), size(record.value));
    format!("{class}(offset={offset}, timestamp={timestamp}, key={key} bytes, value={value} bytes)")
}

#[cfg(test)]
mod tests {
    use milena_storage::ids::{Offset, Timestamp};

    use super::*;

    #[test]
    fn a_summary_counts_all_and_shows_three() {
        let records = (0..5).map(|index| RecordError { index, problem: Wrong::NoKey }).collect();
        let invalid = InvalidBatch { records, wrong_records: 7, ..InvalidBatch::of(InvalidKind::Record, "") };
        let summary = summary("t-0", &invalid);
        assert!(
            summary.starts_with("One or more records have been rejected due to 7 record errors in total")
        );
        assert_eq!(summary.matches("RecordError(").count(), 3);
        assert_eq!(problems("t-0", &invalid).len(), 5);
    }

    #[test]
    fn a_record_is_described_by_its_sizes() {
        let record = RecordShape {
            offset: Offset(2),
            timestamp: Timestamp(7),
            key: None,
            value: Some(5),
            compressed: false,
        };
        assert_eq!(shape(&record), "DefaultRecord(offset=2, timestamp=7, key=0 bytes, value=5 bytes)");
        let packed = RecordShape { compressed: true, ..record };
        assert_eq!(
            shape(&packed),
            "PartialDefaultRecord(offset=2, timestamp=7, key=-1 bytes, value=5 bytes)"
        );
    }
}
