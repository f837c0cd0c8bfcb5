//! WriteTxnMarkers 1 and 2, asked and answered: the protocol crate ends at 1. Version 2 tells by which level of
//! `transaction.version` a transaction was ended (KIP-1228), and is answered in the words of 1.
//!
//! It must never read what did not pass the guard.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, VersionRange};

use super::flexible::Flexible;
use super::write::{put_count, put_string, put_varint};
use crate::api::MessageError;

/// From here on a marker has its transaction's version.
const TRANSACTION_VERSION: i16 = 2;
/// What the crate knows.
const OF_THE_CRATE: i16 = 1;

/// The request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TxnMarkers(pub Vec<TxnMarker>);

/// What ends one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TxnMarker {
    pub marker: WritableTxnMarker,
    /// The level of `transaction.version`; 0 for senders of version 1.
    pub transaction_version: i8,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct TxnMarkersAnswer(pub WriteTxnMarkersResponse);

impl Message for TxnMarkers {
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 2 };
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for TxnMarkers {
    fn header_version(_version: i16) -> i16 {
        WriteTxnMarkersRequest::header_version(OF_THE_CRATE)
    }
}

impl Request for TxnMarkers {
    const KEY: i16 = WriteTxnMarkersRequest::KEY;
    type Response = TxnMarkersAnswer;
}

impl Encodable for TxnMarkers {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        buf.put_slice(&self.bytes(version));
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        Ok(self.bytes(version).len())
    }
}

impl TxnMarkers {
    fn bytes(&self, version: i16) -> BytesMut {
        let mut out = BytesMut::new();
        put_count(&mut out, true, self.0.len());
        for TxnMarker { marker, transaction_version } in &self.0 {
            out.put_i64(marker.producer_id.0);
            out.put_i16(marker.producer_epoch);
            out.put_u8(u8::from(marker.transaction_result));
            put_count(&mut out, true, marker.topics.len());
            for topic in &marker.topics {
                put_string(&mut out, true, &topic.name);
                put_count(&mut out, true, topic.partition_indexes.len());
                topic.partition_indexes.iter().for_each(|index| out.put_i32(*index));
                put_varint(&mut out, 0);
            }
            out.put_i32(marker.coordinator_epoch);
            if version >= TRANSACTION_VERSION {
                out.put_i8(*transaction_version);
            }
            put_varint(&mut out, 0);
        }
        put_varint(&mut out, 0);
        out
    }
}

impl Decodable for TxnMarkers {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        let length = buf.remaining();
        let mut body = Flexible(buf.try_get_bytes(length)?);
        let markers = body.array(|body| marker(body, version))?;
        body.tags()?;
        Ok(Self(markers))
    }
}

fn marker(body: &mut Flexible, version: i16) -> Result<TxnMarker, MessageError> {
    let marker = WritableTxnMarker::default()
        .with_producer_id(body.i64()?.into())
        .with_producer_epoch(body.i16()?)
        .with_transaction_result(body.bool()?)
        .with_topics(body.array(|body| {
            let topic = WritableTxnMarkerTopic::default()
                .with_name(TopicName(body.string()?))
                .with_partition_indexes(body.array(Flexible::i32)?);
            body.tags().map(|()| topic)
        })?)
        .with_coordinator_epoch(body.i32()?);
    let transaction_version = if version >= TRANSACTION_VERSION { body.i8()? } else { 0 };
    body.tags().map(|()| TxnMarker { marker, transaction_version })
}

impl Message for TxnMarkersAnswer {
    const VERSIONS: VersionRange = TxnMarkers::VERSIONS;
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for TxnMarkersAnswer {
    fn header_version(_version: i16) -> i16 {
        WriteTxnMarkersResponse::header_version(OF_THE_CRATE)
    }
}

impl Encodable for TxnMarkersAnswer {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, _version: i16) -> anyhow::Result<()> {
        self.0.encode(buf, OF_THE_CRATE)
    }

    fn compute_size(&self, _version: i16) -> anyhow::Result<usize> {
        self.0.compute_size(OF_THE_CRATE)
    }
}

impl Decodable for TxnMarkersAnswer {
    fn decode<B: ByteBuf>(buf: &mut B, _version: i16) -> anyhow::Result<Self> {
        WriteTxnMarkersResponse::decode(buf, OF_THE_CRATE).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> TxnMarkers {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(TopicName("t".into()))
            .with_partition_indexes(vec![0, 7]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(42.into())
            .with_producer_epoch(3)
            .with_transaction_result(true)
            .with_topics(vec![topic])
            .with_coordinator_epoch(5);
        TxnMarkers(vec![TxnMarker { marker, transaction_version: 2 }])
    }

    #[test]
    fn version_one_is_the_crates() {
        let asked = asked();
        let mut theirs = BytesMut::new();
        let markers = asked.0.iter().map(|each| each.marker.clone()).collect();
        WriteTxnMarkersRequest::default().with_markers(markers).encode(&mut theirs, 1).unwrap();
        assert_eq!(asked.bytes(1), theirs);
        let read = TxnMarkers::decode(&mut theirs.freeze(), 1).unwrap();
        assert_eq!((read.0[0].marker.clone(), read.0[0].transaction_version), (asked.0[0].marker.clone(), 0));
    }

    #[test]
    fn version_two_has_one_byte_more_for_the_transactions_version() {
        let asked = asked();
        let bytes = asked.bytes(2);
        assert_eq!(bytes.len(), asked.bytes(1).len() + 1);
        assert_eq!(bytes[bytes.len() - 3], 2);
        assert_eq!(TxnMarkers::decode(&mut bytes.clone().freeze(), 2).unwrap(), asked);
        for cut in 0..bytes.len() {
            assert!(TxnMarkers::decode(&mut bytes.clone().freeze().slice(..cut), 2).is_err(), "{cut}");
        }
    }
}
