//! Which requests rules strike, and what they count.

use super::*;

fn rule(json: &str) -> Rule {
    serde_json::from_str(json).expect("a rule")
}

fn subjects() -> Subjects {
    Subjects {
        topics: vec![("orders".into(), Some(0)), ("orders".into(), Some(2)), ("new".into(), None)],
        groups: vec!["g".into()],
    }
}

fn asked(key: i16, client_id: &str, connection: u64) -> Asked<'_> {
    Asked { key, client_id, connection, subjects: &subjects }
}

fn strikes(json: &str, key: i16, client: &str) -> bool {
    let faults = Faults::default();
    faults.add(rule(json)).expect("a sound rule");
    faults.judge(&asked(key, client, 1)).is_some()
}

#[test]
fn a_rule_strikes_what_it_names() {
    for (json, expected) in [
        (r#"{"action": {"kind": "blackhole"}}"#, true),
        (r#"{"api": ["produce"], "action": {"kind": "blackhole"}}"#, true),
        (r#"{"api": ["1", "FETCH"], "action": {"kind": "blackhole"}}"#, false),
        (r#"{"client_id": "app", "action": {"kind": "blackhole"}}"#, false),
        (r#"{"client_id": "app*", "action": {"kind": "blackhole"}}"#, true),
        (r#"{"topic": "orders", "partition": 2, "action": {"kind": "blackhole"}}"#, true),
        (r#"{"topic": "orders", "partition": 1, "action": {"kind": "blackhole"}}"#, false),
        (r#"{"topic": "new", "action": {"kind": "blackhole"}}"#, true),
        (r#"{"group": "g", "action": {"kind": "blackhole"}}"#, true),
        (r#"{"group": "h", "action": {"kind": "blackhole"}}"#, false),
    ] {
        assert_eq!(strikes(json, 0, "app-1"), expected, "{json}");
    }
}

#[test]
fn it_strikes_so_often_after_so_many_and_counts() {
    let faults = Faults::default();
    assert!(!faults.is_armed());
    let json = r#"{"skip": 2, "times": 3, "action": {"kind": "error", "error": "NOT_LEADER_OR_FOLLOWER"}}"#;
    let id = faults.add(rule(json)).expect("a sound rule").id;
    let hits: Vec<bool> = (0..8).map(|_| faults.judge(&asked(0, "", 1)).is_some()).collect();
    assert_eq!(hits, [false, false, true, true, true, false, false, false]);
    let counted = faults.get(id).expect("it stands");
    assert_eq!((counted.seen, counted.hits), (8, 3));
    assert_eq!(faults.remove(id), Some(counted));
    assert!(!faults.is_armed() && faults.remove(id).is_none());
}

#[test]
fn chance_comes_from_the_seed() {
    let run = |seed: u64| {
        let faults = Faults::default();
        let json =
            format!(r#"{{"probability": 0.3, "seed": {seed}, "action": {{"kind": "delay", "ms": 1}}}}"#);
        faults.add(rule(&json)).expect("a sound rule");
        (0..1000).map(|_| faults.judge(&asked(1, "", 1)).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let hits = run(7).into_iter().filter(|hit| *hit).count();
    assert!((250..350).contains(&hits), "{hits}");
}

#[test]
fn the_first_rule_that_strikes_decides_and_errors_name_partitions() {
    let faults = Faults::default();
    faults.add(rule(r#"{"times": 0, "action": {"kind": "blackhole"}}"#)).expect("a sound rule");
    let second = r#"{"topic": "orders", "action": {"kind": "error", "error": "6"}}"#;
    faults.add(rule(second)).expect("a sound rule");
    let hit = faults.judge(&asked(0, "", 1)).expect("the second");
    assert_eq!((hit.rule, hit.act), (2, Act::Error(6)));
    assert_eq!(hit.partitions, [("orders".to_owned(), 0), ("orders".to_owned(), 2)]);
}

#[test]
fn a_silenced_connection_stays_silent_until_the_rule_goes() {
    let faults = Faults::default();
    let json = r#"{"api": ["Produce"], "times": 1, "action": {"kind": "blackhole"}}"#;
    let id = faults.add(rule(json)).expect("a sound rule").id;
    let hit = faults.judge(&asked(0, "", 5)).expect("it strikes");
    assert!(faults.judge(&asked(3, "", 5)).is_some(), "another API of the same connection");
    assert!(faults.judge(&asked(0, "", 6)).is_none(), "another connection");
    assert!(hit.gone.has_changed().is_ok());
    let counted = faults.remove(id).expect("it stood");
    assert_eq!((counted.seen, counted.hits), (2, 1));
    assert!(hit.gone.has_changed().is_err(), "who waits hears that it is gone");
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |json: &str| Faults::default().add(rule(json)).expect_err(json).to_string();
    let told = refused(r#"{"api": ["Prodce"], "action": {"kind": "blackhole"}}"#);
    assert_eq!(told, "api \"Prodce\" is none that this broker serves");
    let told = refused(r#"{"action": {"kind": "error", "error": "NO_SUCH"}}"#);
    assert_eq!(told, "error \"NO_SUCH\" is none of Kafka's");
    let told = refused(r#"{"api": ["PushTelemetry"], "action": {"kind": "error", "error": "-1"}}"#);
    assert!(told.starts_with("PushTelemetry has no answer"), "{told}");
    assert!(
        refused(r#"{"probability": 2, "action": {"kind": "blackhole"}}"#).starts_with("probability is 2")
    );
    assert!(refused(r#"{"partition": -1, "action": {"kind": "blackhole"}}"#).starts_with("partition is -1"));
    assert!(refused(r#"{"action": {"kind": "delay", "ms": 3600001}}"#).starts_with("ms is 3600001"));
    for unknown in
        [r#"{"action": {"kind": "melt"}}"#, r#"{"tpic": "a", "action": {"kind": "blackhole"}}"#, "{}"]
    {
        assert!(serde_json::from_str::<Rule>(unknown).is_err(), "{unknown}");
    }
    let faults = Faults::default();
    let add = || faults.add(rule(r#"{"action": {"kind": "blackhole"}}"#));
    assert!((0..RULES_MAX).all(|_| add().is_ok()));
    assert_eq!(add(), Err(RuleError::Many));
    assert_eq!(faults.clear().len(), RULES_MAX);
}
