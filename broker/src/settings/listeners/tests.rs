//! Listener settings, good and bad.

use super::*;

const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

fn read_pairs(pairs: &[(&str, &str)]) -> Result<Listeners, Vec<Problem>> {
    read(&Settings::from_pairs(pairs).expect("texts of the right type"), OWN)
}

/// Name, bound host, port and advertised address of every broker listener, as one line.
fn shown(pairs: &[(&str, &str)]) -> String {
    let listeners = read_pairs(pairs).unwrap_or_else(|problems| panic!("{problems:?}"));
    let lines = listeners.broker.iter().map(|listener| {
        let host = listener.host.as_deref().unwrap_or("*");
        let told = listener.advertised.as_ref().map_or("-".to_owned(), |a| format!("{}:{}", a.host, a.port));
        format!("{} {host}:{} {told}", listener.name, listener.port)
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn check(pairs: &[(&str, &str)], expected: &str) {
    assert_eq!(shown(pairs), expected, "{pairs:?}");
}

fn check_refused(pairs: &[(&str, &str)], expected: &str) {
    let problems = read_pairs(pairs).expect_err("a refusal");
    assert!(problems[0].what.contains(expected), "{pairs:?} gave {:?}", problems[0].what);
    assert!(!problems[0].remedy.is_empty());
}

#[test]
fn by_default_only_this_machine_is_served_and_told_an_ipv4_literal() {
    check(&[], "PLAINTEXT 127.0.0.1:9092 127.0.0.1:9092");
}

#[test]
fn a_wildcard_is_told_as_the_own_address() {
    check(&[("listeners", "PLAINTEXT://:9092")], "PLAINTEXT *:9092 192.0.2.7:9092");
    check(&[("listeners", "PLAINTEXT://0.0.0.0:0")], "PLAINTEXT 0.0.0.0:0 192.0.2.7:0");
    check(&[("listeners", "PLAINTEXT://[::]:9092")], "PLAINTEXT :::9092 192.0.2.7:9092");
    check(&[("advertised.listeners", "PLAINTEXT://:1")], "PLAINTEXT 127.0.0.1:9092 192.0.2.7:1");
    check(&[("listeners", "plaintext://[::1]:9092")], "PLAINTEXT ::1:9092 ::1:9092");
}

#[test]
fn several_listeners_have_names_of_their_own() {
    let pairs = [
        ("listeners", "CONTROLLER://:9093,EXTERNAL://:9092,INTERNAL://broker:29092"),
        ("advertised.listeners", "INTERNAL://broker:29092,EXTERNAL://localhost:9092"),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT,INTERNAL:PLAINTEXT"),
        ("inter.broker.listener.name", "INTERNAL"),
        ("controller.listener.names", "CONTROLLER"),
    ];
    check(&pairs, "EXTERNAL *:9092 localhost:9092; INTERNAL broker:29092 broker:29092");
    let listeners = read_pairs(&pairs).expect("good listeners");
    assert_eq!(listeners.inter_broker, "INTERNAL");
    assert_eq!(listeners.controller[0].name, "CONTROLLER");
}

#[test]
fn a_listener_that_is_not_advertised_stays_without_address() {
    let pairs = [
        ("listeners", "A://:1,B://:2"),
        ("advertised.listeners", "A://x:1"),
        ("listener.security.protocol.map", "A:PLAINTEXT,B:PLAINTEXT"),
    ];
    check(&pairs, "A *:1 x:1; B *:2 -");
}

#[test]
fn controller_listeners_need_no_map_while_none_is_set() {
    let pairs = [("listeners", "PLAINTEXT://:9092,CTL://:9093"), ("controller.listener.names", "CTL")];
    check(&pairs, "PLAINTEXT *:9092 192.0.2.7:9092");
}

#[test]
fn what_is_not_served_is_refused_rather_than_served_in_plain() {
    for name in ["SSL", "SASL_PLAINTEXT", "SASL_SSL"] {
        check(&[("listeners", &format!("{name}://:9093"))], &format!("{name} *:9093 192.0.2.7:9093"));
    }
    let controllers = [("listeners", "PLAINTEXT://:9092,SSL://:9093"), ("controller.listener.names", "SSL")];
    check_refused(&controllers, "not supported yet for listeners of controllers");
    let among_brokers = [
        ("listeners", "PLAINTEXT://:9092,SSL://:9093,CTL://:9094"),
        ("controller.listener.names", "CTL"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,SSL:SSL,CTL:PLAINTEXT"),
        ("controller.quorum.voters", "1@a:9094,2@b:9094"),
        ("inter.broker.listener.name", "SSL"),
    ];
    check_refused(&among_brokers, "brokers would use listener SSL among themselves");
}

#[test]
fn wrong_listeners_are_refused_with_the_words_of_kafka() {
    check_refused(&[("listeners", "9092")], "Unable to parse 9092 to a broker endpoint");
    check_refused(&[("listeners", "PLAINTEXT://a b:1")], "Unable to parse");
    check_refused(&[("listeners", "PLAINTEXT://:70000")], "port 70000");
    check_refused(&[("listeners", "HOST://:1")], "No security protocol defined for listener HOST");
    check_refused(&[("listeners", "PLAINTEXT://:1,plaintext://:2")], "different name");
    let same_port =
        [("listeners", "A://:1,B://:1"), ("listener.security.protocol.map", "A:PLAINTEXT,B:PLAINTEXT")];
    check_refused(&same_port, "Each listener must have a different port");
    check_refused(&[("listener.security.protocol.map", "A:TELNET")], "Invalid security protocol `TELNET`");
}

#[test]
fn one_port_may_serve_ipv4_and_ipv6() {
    let map = ("listener.security.protocol.map", "A:PLAINTEXT,B:PLAINTEXT");
    check(&[("listeners", "A://127.0.0.1:1,B://[::1]:1"), map], "A 127.0.0.1:1 127.0.0.1:1; B ::1:1 ::1:1");
    check_refused(&[("listeners", "A://127.0.0.1:1,B://127.0.0.2:1"), map], "one needs to be IPv4");
}

#[test]
fn wrong_advertised_listeners_are_refused_with_the_words_of_kafka() {
    check_refused(&[("advertised.listeners", "PLAINTEXT://0.0.0.0:9092")], "nonroutable meta-address");
    check_refused(&[("advertised.listeners", "SSL://x:9092")], "must be equal to or a subset");
    let only_controller = [("listeners", "CTL://:9093"), ("controller.listener.names", "CTL")];
    check_refused(&only_controller, "at least one broker advertised listener");
}

#[test]
fn the_listener_between_brokers_must_be_advertised_and_chosen_once() {
    let missing = [("inter.broker.listener.name", "INTERNAL")];
    check_refused(&missing, "not found in listener.security.protocol.map");
    check_refused(&[("inter.broker.listener.name", "SSL")], "The valid options");
    let twice =
        [("inter.broker.listener.name", "PLAINTEXT"), ("security.inter.broker.protocol", "PLAINTEXT")];
    check_refused(&twice, "Only one of");
}
