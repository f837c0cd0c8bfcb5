//! What may be set for whom, and what becomes of the nodes; beside credentials, which must stay.

use kafka_protocol::messages::AlterUserScramCredentialsRequest;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};

use super::super::testing::Stage;
use super::super::{alter_user_scram_credentials, iterations};
use super::*;
use crate::controller::ScramMechanism;
use crate::image::ConfigKind;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// `user=alice client-id=app`; a type alone is everybody else.
fn entity(entity: &str) -> Vec<AskedPart> {
    let part = |part: &str| {
        let (kind, name) = match part.split_once('=') {
            Some((kind, name)) => (kind, Some(text(name))),
            None => (part, None),
        };
        AskedPart::default().with_entity_type(text(kind)).with_entity_name(name)
    };
    entity.split_whitespace().map(part).collect()
}

/// `key=5 other=-`; a dash removes.
fn entry(of: &str, ops: &str) -> Asked {
    let op = |op: &str| {
        let (key, value) = op.split_once('=').unwrap();
        let op = OpData::default().with_key(text(key));
        match value {
            "-" => op.with_remove(true),
            value => op.with_value(value.parse().unwrap()),
        }
    };
    Asked::default().with_entity(entity(of)).with_ops(ops.split_whitespace().map(op).collect())
}

fn request(entries: &[(&str, &str)]) -> AlterClientQuotasRequest {
    let entries = entries.iter().map(|(entity, ops)| entry(entity, ops)).collect();
    AlterClientQuotasRequest::default().with_entries(entries)
}

/// The messages of the entries that were refused.
fn alter(stage: &mut Stage, entries: &[(&str, &str)]) -> Vec<Option<String>> {
    let plan = alter_client_quotas(&mut stage.ctx(), &request(entries)).unwrap();
    let results = stage.run(plan).concat();
    let told = |entry: EntryData| {
        assert_eq!(entry.error_code == 0, entry.error_message.is_none());
        assert!(entry.error_code == 0 || entry.error_code == ResponseError::InvalidRequest.code());
        entry.error_message.map(|message| message.to_string())
    };
    results.into_iter().map(told).collect()
}

fn set(stage: &mut Stage, entity: &str, ops: &str) {
    assert_eq!(alter(stage, &[(entity, ops)]), [None], "{entity}: {ops}");
}

fn data(stage: &Stage, path: &str) -> Option<String> {
    stage.tree.get(path).map(|(data, _)| String::from_utf8(data.to_vec()).unwrap())
}

fn credential(stage: &mut Stage, user: &str, is_set: bool) {
    let upsertion = ScramCredentialUpsertion::default()
        .with_name(text(user))
        .with_mechanism(1)
        .with_iterations(4096)
        .with_salt(vec![1].into())
        .with_salted_password(vec![2].into());
    let deletion = ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(1);
    let request = AlterUserScramCredentialsRequest::default();
    let request = match is_set {
        true => request.with_upsertions(vec![upsertion]),
        false => request.with_deletions(vec![deletion]),
    };
    let plan = alter_user_scram_credentials(&mut stage.ctx(), &request);
    assert!(stage.run(plan).iter().all(|result| result.error_code == 0));
}

#[test]
fn what_may_not_be_is_refused_in_kafkas_words() {
    let cases = [
        ("", "producer_byte_rate=1", "Invalid empty client quota entity"),
        ("shoe=a", "producer_byte_rate=1", "Unhandled client quota entity type: shoe"),
        ("user=", "producer_byte_rate=1", "Empty user not supported"),
        (
            "user=u ip=1.2.3.4",
            "producer_byte_rate=1",
            "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId",
        ),
        ("user=u", "colour=1", "Invalid configuration key colour"),
        ("user=u", "connection_creation_rate=1", "Invalid configuration key connection_creation_rate"),
        ("ip=1.2.3.4", "producer_byte_rate=1", "Invalid configuration key producer_byte_rate"),
        ("client-id=c", "producer_byte_rate=0", "Quota producer_byte_rate must be greater than 0"),
        ("client-id=c", "request_percentage=-1", "Quota request_percentage must be greater than 0"),
        ("client-id=c", "consumer_byte_rate=1.5", "consumer_byte_rate cannot be a fractional value."),
        (
            "client-id=c",
            "consumer_byte_rate=1e19",
            "Proposed value for consumer_byte_rate is too large for a LONG.",
        ),
        (
            "ip",
            "connection_creation_rate=2147483648",
            "Proposed value for connection_creation_rate is too large for an INT.",
        ),
        (
            "user=u client-id",
            "producer_byte_rate=1 producer_byte_rate=2",
            "Ignoring duplicate entity ClientQuotaEntity(entries={client-id=null, user=u})",
        ),
    ];
    let mut stage = Stage::with_brokers(&[1]);
    for (entity, ops, message) in cases {
        assert_eq!(alter(&mut stage, &[(entity, ops)]), [Some(message.to_owned())], "{entity} {ops}");
    }
    assert_eq!(stage.image.quotas(), None);
    let too_many = vec![("user=u", "producer_byte_rate=-"); MAX_OPS + 1];
    let refused = alter_client_quotas(&mut stage.ctx(), &request(&too_many)).unwrap_err();
    assert_eq!(refused.code, ResponseError::PolicyViolation);
}

#[test]
fn quotas_are_kept_where_zookeeper_kept_them_and_go_without_a_trace() {
    let mut stage = Stage::with_brokers(&[1]);
    let entities = [
        ("user=a/b", "/config/users/a%2Fb"),
        ("user", "/config/users/<default>"),
        ("client-id=c", "/config/clients/c"),
        ("client-id", "/config/clients/<default>"),
        ("user=a/b client-id=c", "/config/users/a%2Fb/clients/c"),
        ("user=other client-id", "/config/users/other/clients/<default>"),
        ("user client-id=c", "/config/users/<default>/clients/c"),
    ];
    for (entity, path) in entities {
        set(&mut stage, entity, "producer_byte_rate=1048576 request_percentage=12.5");
        let kept = r#"{"version":1,"config":{"producer_byte_rate":"1048576","request_percentage":"12.5"}}"#;
        assert_eq!(data(&stage, path).as_deref(), Some(kept), "{path}");
    }
    set(&mut stage, "ip=127.0.0.1", "connection_creation_rate=10");
    assert!(data(&stage, "/config/ips/127.0.0.1").is_some());
    assert_eq!(data(&stage, "/config/users/other").as_deref(), Some(r#"{"version":1,"config":{}}"#));
    assert_eq!(stage.image.quotas().unwrap().entities().count(), 8);
    for (entity, path) in entities {
        set(&mut stage, entity, "producer_byte_rate=- request_percentage=- colour=-");
        assert!(!data(&stage, path).is_some_and(|data| data.contains("rate")), "{path}");
    }
    set(&mut stage, "ip=127.0.0.1", "connection_creation_rate=-");
    assert_eq!(stage.image.quotas(), None);
    for folder in ["/config/users", "/config/clients", "/config/ips"] {
        assert_eq!(stage.tree.children(folder).count(), 0, "{folder}");
    }
}

#[test]
fn entities_of_one_request_that_share_nodes_are_set_together() {
    let mut stage = Stage::with_brokers(&[1]);
    let entries = [
        ("user=u client-id=c", "producer_byte_rate=1"),
        ("user=u", "producer_byte_rate=2"),
        ("user=u client-id=d", "producer_byte_rate=3"),
        ("user=u", "producer_byte_rate=4"),
        ("client-id=c", "colour=4"),
    ];
    let told = alter(&mut stage, &entries);
    let expected = [
        None,
        Some("Ignoring duplicate entity ClientQuotaEntity(entries={user=u})".to_owned()),
        None,
        Some("Invalid configuration key colour".to_owned()),
    ];
    assert_eq!(told, expected, "an entity is answered once, where it was named first");
    let quotas = stage.image.quotas().unwrap();
    let limits: Vec<f64> = quotas.entities().map(|(_, values)| values[0].1).collect();
    assert_eq!(limits, [2.0, 1.0, 3.0], "what was asked for first holds, as in Kafka");
    let all =
        ["user=u client-id=c", "user=u", "user=u client-id=d"].map(|entity| (entity, "producer_byte_rate=-"));
    assert_eq!(alter(&mut stage, &all), [None, None, None]);
    assert_eq!(stage.tree.children("/config/users").count(), 0);
}

#[test]
fn credentials_and_quotas_do_not_touch_each_other() {
    let mut stage = Stage::with_brokers(&[1]);
    let has_credential = |stage: &Stage| iterations(&stage.image, "u", ScramMechanism::Sha256).is_some();
    credential(&mut stage, "u", true);
    set(&mut stage, "user=u", "consumer_byte_rate=7");
    set(&mut stage, "user=u client-id=c", "consumer_byte_rate=7");
    assert!(has_credential(&stage));
    credential(&mut stage, "u", false);
    assert_eq!(stage.image.quotas().unwrap().entities().count(), 2);
    credential(&mut stage, "u", true);
    set(&mut stage, "user=u", "consumer_byte_rate=-");
    set(&mut stage, "user=u client-id=c", "consumer_byte_rate=-");
    assert!(has_credential(&stage) && stage.image.quotas().is_none());
    set(&mut stage, "user=u client-id=c", "consumer_byte_rate=7");
    credential(&mut stage, "u", false);
    assert_eq!(stage.image.quotas().unwrap().entities().count(), 1, "the node stays for what lies below it");
    set(&mut stage, "user=u client-id=c", "consumer_byte_rate=-");
    assert_eq!(stage.image.config(ConfigKind::User, "u"), None);
}

#[test]
fn what_is_only_validated_or_the_same_changes_nothing() {
    let mut stage = Stage::with_brokers(&[1]);
    let request = request(&[("user=u", "producer_byte_rate=1")]).with_validate_only(true);
    let plan = alter_client_quotas(&mut stage.ctx(), &request).unwrap();
    assert!(plan.iter().all(|item| item.ops.is_empty() && item.result[0].error_code == 0));
    let request = request.with_validate_only(false);
    let plan = alter_client_quotas(&mut stage.ctx(), &request).unwrap();
    stage.run(plan);
    let again = alter_client_quotas(&mut stage.ctx(), &request).unwrap();
    assert!(again.iter().all(|item| item.ops.is_empty()));
}
