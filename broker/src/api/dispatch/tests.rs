//! The dispatch: who is answered, who is cut off, and that a panic costs one connection.

use super::*;
use crate::api::testing::{caller, closed, cx, dispatched, served};
use crate::api::{Encoded, TABLE};
use kafka_protocol::messages::ApiVersionsRequest;

/// A request header: key, version, correlation id 9, no client id; flexible headers end with no tags.
fn header(key: i16, version: i16, flexible: bool) -> Vec<u8> {
    let mut frame = [key.to_be_bytes(), version.to_be_bytes()].concat();
    frame.extend([0, 0, 0, 9, 0xff, 0xff]);
    frame.extend(flexible.then_some(0));
    frame
}

#[test]
fn the_table_is_in_the_order_of_keys_and_names_every_key_once() {
    assert!(TABLE.is_sorted_by(|a, b| a.key < b.key));
    for row in TABLE {
        assert!(!row.versions.is_empty() && !row.name.is_empty());
    }
}

#[test]
fn an_answer_carries_the_correlation_id_and_the_header_of_its_version() {
    let broker = BrokerState::idle();
    let plain = served(&broker, &[header(18, 0, false), vec![]].concat());
    assert_eq!(plain[4..10], [0, 0, 0, 9, 0, 0]);
    // ApiVersions v3 is flexible, its response header is not.
    let flexible = served(&broker, &[header(18, 3, true), vec![2, b'a', 2, b'1', 0]].concat());
    assert_eq!(flexible[4..10], [0, 0, 0, 9, 0, 0]);
    // GetTelemetrySubscriptions v0 has tags in both headers.
    let flexible = served(&broker, &[header(71, 0, true), vec![0; 17]].concat());
    assert_eq!(flexible[4..9], [0, 0, 0, 9, 0]);
    assert_eq!(flexible.len(), 4 + i32::from_be_bytes(flexible[..4].try_into().unwrap()) as usize);
}

#[test]
fn unknown_keys_and_versions_close_the_connection() {
    let broker = BrokerState::idle();
    assert_eq!(closed(&broker, &header(4, 0, false)), Closing::UnknownApi(4));
    assert_eq!(closed(&broker, &header(-1, 0, false)), Closing::UnknownApi(-1));
    let version = Closing::Version { api: "PushTelemetry", version: 1 };
    assert_eq!(closed(&broker, &header(72, 1, true)), version);
    assert_eq!(closed(&broker, &[0, 18, 0]), Closing::Header);
    assert_eq!(closed(&broker, &[]), Closing::Header);
}

#[test]
fn a_body_that_lies_is_named_with_field_and_place() {
    let broker = BrokerState::idle();
    let frame = [header(18, 3, true), vec![0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    let Closing::Malformed { api: "ApiVersions", version: 3, reason } = closed(&broker, &frame) else {
        panic!("not refused by the guard");
    };
    assert_eq!(reason, "client_software_name at byte 5: length 4294967294 does not fit into the frame");
}

#[test]
fn a_panic_of_a_handler_costs_its_connection_only() {
    let broker = BrokerState::idle();
    let caller = caller();
    let broken = Row { serve: |_, _, _| panic!("a handler's bug"), ..copy(row(18).unwrap()) };
    let head = Head { api: "Broken", version: 0, correlation_id: 1, flexible: false };
    let result = broken.start(&cx(&broker, &caller, 0), head, Bytes::new());
    assert!(matches!(result, Err(Closing::Panicked { api: "Broken", version: 0 })));
}

#[tokio::test]
async fn a_panic_after_a_wait_is_caught_too() {
    let broker = BrokerState::idle();
    let caller = caller();
    let head = Head { api: "Broken", version: 0, correlation_id: 1, flexible: false };
    let handle = |_: &Cx<'_>, _: ApiVersionsRequest| -> Outcome<Encoded> {
        Outcome::later(async { panic!("a handler's bug") })
    };
    let Served::Later(future) = answer(&cx(&broker, &caller, 0), head, Bytes::new(), handle) else {
        panic!("it waits");
    };
    assert_eq!(future.await.unwrap_err(), Closing::Panicked { api: "Broken", version: 0 });
}

#[test]
fn what_a_handler_wants_is_done() {
    let broker = BrokerState::idle();
    let caller = caller();
    let cx = cx(&broker, &caller, 0);
    let head = Head { api: "Any", version: 0, correlation_id: 1, flexible: false };
    let run = |outcome: fn() -> Outcome<Encoded>| {
        answer(&cx, head, Bytes::new(), |_: &Cx<'_>, _: ApiVersionsRequest| outcome())
    };
    assert!(matches!(run(|| Outcome::Nothing), Served::Nothing));
    assert!(matches!(run(|| Outcome::Close), Served::Close(Closing::Asked)));
    assert!(matches!(run(|| Encoded(Bytes::from_static(b"x")).into()), Served::Now(frame) if frame.len == 9));
}

#[test]
fn a_client_id_that_is_not_text_closes_the_connection() {
    let broker = BrokerState::idle();
    let frame = [&[0, 18, 0, 0, 0, 0, 0, 1, 0, 1][..], &[0xff]].concat();
    assert!(matches!(dispatched(&broker, &frame), Served::Close(Closing::Header)));
}

fn copy(row: &Row) -> Row {
    Row {
        key: row.key,
        name: row.name,
        versions: row.versions.clone(),
        hidden: row.hidden,
        shape: row.shape,
        decode: row.decode,
        serve: row.serve,
    }
}
