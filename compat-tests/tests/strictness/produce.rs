//! Refused records.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{DeleteRecordsRequest, ProduceRequest, ProduceResponse};
use kafka_protocol::records::Record;
use milena_compat_tests::Server;
use milena_compat_tests::wire::{batch, idempotent_batch, now_ms, record};
use uuid::Uuid;

use crate::topics::create_with;
use crate::{compare, topic_name};

fn request(topic: &str, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic])
}

fn send(server: &Server, topic: &str, records: Bytes) -> ProduceResponse {
    server.wire().call(9, &request(topic, 0, records))
}

/// All that a broker says about the partition: codes, offsets, the log's start, and the words for it and each record.
fn told(answer: &ProduceResponse) -> String {
    format!("{:?}", answer.responses[0].partition_responses[0])
}

/// The same without the bounds of a timestamp, which move with the clock.
fn told_at_any_time(answer: &ProduceResponse) -> String {
    let told = told(answer);
    let Some((before, rest)) = told.split_once("should be within [") else { return told };
    let (_, after) = rest.split_once(']').expect("bounds end");
    format!("{before}should be within [..]{after}")
}

fn keyed(value: &'static str) -> Record {
    Record { key: Some(Bytes::from_static(b"key")), ..record(value) }
}

/// Changes bytes of a batch and makes its checksum right again.
fn changed(batch: &Bytes, change: impl FnOnce(&mut BytesMut)) -> Bytes {
    const CRC: usize = 17;
    const COVERED: usize = 21;
    let mut bytes = BytesMut::from(&batch[..]);
    change(&mut bytes);
    let crc = crc32c(&bytes[COVERED..]);
    bytes[CRC..COVERED].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// The Castagnoli polynomial, bit by bit: the batches here are small.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}

#[test]
fn records_that_the_topic_does_not_take() {
    compare(|server, answers| {
        create_with(server, "compacted", &[("cleanup.policy", "compact")]);
        create_with(server, "both", &[("cleanup.policy", "compact,delete")]);
        for topic in ["compacted", "both"] {
            answers.note("a null key", told(&send(server, topic, batch([record("a")]))));
            answers.note(
                "a null key among keys",
                told(&send(server, topic, batch([keyed("a"), record("b"), record("c")]))),
            );
            answers.note("only keys", told(&send(server, topic, batch([keyed("a")]))));
            let many = batch((0..7).map(|_| record("a")));
            answers.note("many null keys", told(&send(server, topic, many.clone())));
            let claims_append_time = changed(&many, |bytes| bytes[22] = 0x08);
            answers.note("null keys before times", told(&send(server, topic, claims_append_time)));
        }

        create_with(server, "small", &[("max.message.bytes", "200")]);
        let large = "x".repeat(300).leak();
        answers.note("a batch too large", told(&send(server, "small", batch([record(large)]))));
        answers.note(
            "a batch too large by number",
            told(&send(server, "small", batch((0..50).map(|_| record("yyyyyyyyyy"))))),
        );

        create_with(server, "dated", &[("message.timestamp.before.max.ms", "1000000")]);
        let at = |timestamp| batch([Record { timestamp, ..record("t") }]);
        let hour = 3_600_000;
        for (case, timestamp) in
            [("too old", 1000), ("too far ahead", 4_000_000_000_000_000), ("without a timestamp", -1)]
        {
            answers.note(case, told_at_any_time(&send(server, "dated", at(timestamp))));
        }
        create_with(server, "stamped", &[("message.timestamp.type", "LogAppendTime")]);
        for (case, timestamp) in [("old but stamped", 1000), ("ahead but stamped", now_ms() + 10 * hour)] {
            let answer = send(server, "stamped", at(timestamp));
            answers.note(case, answer.responses[0].partition_responses[0].error_code);
        }
        let claims_append_time = changed(&at(7), |bytes| bytes[22] = 0x08);
        for topic in ["dated", "stamped"] {
            let claimed = Record { timestamp: -1, ..keyed("t") };
            let claimed = changed(&batch([claimed]), |bytes| bytes[22] = 0x08);
            answers.note("append time claimed, none set", told_at_any_time(&send(server, topic, claimed)));
        }
        answers.note("append time claimed", told(&send(server, "stamped", claims_append_time)));
    });
}

#[test]
fn batches_that_are_wrong_in_themselves() {
    compare(|server, answers| {
        create_with(server, "wrong", &[]);
        let good = batch([record("one"), record("two")]);
        let mut note = |case: &str, records: Bytes| {
            let answer = send(server, "wrong", records);
            answers.note(case, told(&answer));
        };
        note("one flipped bit", {
            let mut bytes = BytesMut::from(&good[..]);
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            bytes.freeze()
        });
        note("two batches", [&good[..], &good[..]].concat().into());
        note(
            "a count too large",
            changed(&good, |bytes| bytes[57..61].copy_from_slice(&3_i32.to_be_bytes())),
        );
        note(
            "a count too small",
            changed(&good, |bytes| bytes[57..61].copy_from_slice(&1_i32.to_be_bytes())),
        );
        note(
            "a last offset delta that lies",
            changed(&good, |bytes| bytes[23..27].copy_from_slice(&7_i32.to_be_bytes())),
        );
        note("a control batch", changed(&good, |bytes| bytes[22] = 0x20));
        note("magic 1", changed(&good, |bytes| bytes[16] = 1));
        note("magic 9", changed(&good, |bytes| bytes[16] = 9));
        note(
            "a length below any",
            changed(&good, |bytes| bytes[8..12].copy_from_slice(&13_i32.to_be_bytes())),
        );
        note(
            "a length beyond the end",
            changed(&good, |bytes| bytes[8..12].copy_from_slice(&999_i32.to_be_bytes())),
        );
        note(
            "sequences without a producer",
            changed(&good, |bytes| bytes[53..57].copy_from_slice(&5_i32.to_be_bytes())),
        );
        note("a gap before the first sequence", idempotent_batch((4000, 0), 5, &["x"]));
        let mut both = request("wrong", 0, good.clone());
        both.topic_data.extend(request("nowhere", 3, changed(&good, |bytes| bytes[16] = 9)).topic_data);
        let mut answer = server.wire().call(9, &both);
        answer.responses.sort_by(|a, b| a.name.cmp(&b.name));
        answers.note("one that cannot be measured, for another topic", answer);
        // Kafka's decompressors throw, and its answer is UNKNOWN_SERVER_ERROR; a better one is as good.
        for codec in [1, 2, 3, 4, 5] {
            let records = changed(&good, |bytes| bytes[22] = codec);
            let answer = send(server, "wrong", records);
            let refused = answer.responses[0].partition_responses[0].error_code != 0;
            answers.note(&format!("bytes that are not of codec {codec}"), refused);
        }
    });
}

#[test]
fn refusals_tell_where_the_log_starts() {
    compare(|server, answers| {
        create_with(server, "started", &[("cleanup.policy", "compact,delete"), ("max.message.bytes", "500")]);
        let sent = send(server, "started", batch((0..5).map(|_| keyed("a"))));
        answers.note("five records", told(&sent));
        let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(3);
        let topic =
            DeleteRecordsTopic::default().with_name(topic_name("started")).with_partitions(vec![partition]);
        let delete = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
        answers.note("three deleted", server.wire().call(2, &delete));
        let large = "x".repeat(600).leak();
        let good = batch([keyed("one"), keyed("two")]);
        for (case, records) in [
            ("a null key", batch([record("a")])),
            ("a batch too large", batch([keyed(large)])),
            ("a flipped bit", {
                let mut bytes = BytesMut::from(&good[..]);
                bytes[70] ^= 1;
                bytes.freeze()
            }),
            ("a wrong count", changed(&good, |bytes| bytes[60] = 7)),
            ("a control batch", changed(&good, |bytes| bytes[22] = 0x20)),
            ("append time claimed", changed(&good, |bytes| bytes[22] = 0x08)),
            ("a sequence from nowhere", idempotent_batch((4100, 0), 5, &["x"])),
            ("what is good", good.clone()),
        ] {
            answers.note(case, told(&send(server, "started", records)));
        }
    });
}

#[test]
fn requests_that_name_the_wrong_thing() {
    compare(|server, answers| {
        create_with(server, "named", &[]);
        create_with(server, "two-in-sync", &[("min.insync.replicas", "2")]);
        let good = || batch([record("one")]);
        answers.note("an unknown topic", send(server, "nowhere", good()));
        answers.note("an unknown partition", server.wire().call(9, &request("named", 7, good())));
        answers.note("a negative partition", server.wire().call(9, &request("named", -1, good())));
        for acks in [2, -2] {
            answers.note("strange acks", server.wire().call(9, &request("named", 0, good()).with_acks(acks)));
        }
        answers.note("too few replicas", send(server, "two-in-sync", good()));
        let one = request("two-in-sync", 0, good()).with_acks(1);
        answers.note("too few replicas, acks 1", told(&server.wire().call(9, &one)));

        let data = PartitionProduceData::default().with_index(0).with_records(Some(good()));
        let topic =
            TopicProduceData::default().with_topic_id(Uuid::from_u128(77)).with_partition_data(vec![data]);
        let by_id =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic]);
        answers.note("an unknown topic id", server.wire().call(13, &by_id));

        let mut empty = BytesMut::new();
        empty.put_bytes(0, 0);
        answers.note(
            "no bytes at all",
            server
                .wire()
                .try_call(9, &request("named", 0, empty.freeze()))
                .map(|answer| told(&answer))
                .map_err(|error| error.kind()),
        );
    });
}
