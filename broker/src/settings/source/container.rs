//! What a container sets beneath everything that was given, so that half a configuration still makes a broker.
//!
//! Must never win over a value that somebody gave. Kafka's own image drops its defaults as soon as one variable is set.

use std::collections::BTreeMap;

use super::super::effective::{Given, Source};
use super::environment::on_all_interfaces;

/// The volume of Kafka's images.
const DATA: &str = "/var/lib/kafka/data";

/// Listens on every interface, tells clients of the host's mapped port, and keeps data in the volume.
pub fn complete(given: &mut BTreeMap<String, Given>) {
    let is_broker = given.get("process.roles").is_none_or(|roles| roles.text.contains("broker"));
    let mut beneath = Vec::new();
    if !given.contains_key("log.dirs") && !given.contains_key("log.dir") {
        beneath.push(("log.dirs", DATA.to_owned()));
    }
    let advertised = given.get("advertised.listeners");
    if is_broker && !given.contains_key("listeners") {
        let derived = advertised.map(|advertised| on_all_interfaces(&advertised.text));
        beneath.push(("listeners", derived.unwrap_or_else(|| "PLAINTEXT://0.0.0.0:9092".to_owned())));
        if advertised.is_none() {
            beneath.push(("advertised.listeners", "PLAINTEXT://127.0.0.1:9092".to_owned()));
        }
    }
    for (name, text) in beneath {
        given.insert(name.to_owned(), Given { text, source: Source::Container });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let given = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), Given { text: (*text).to_owned(), source: Source::Override })
        };
        let mut given: BTreeMap<_, _> = pairs.iter().map(given).collect();
        complete(&mut given);
        given.into_iter().map(|(name, given)| (name, given.text)).collect()
    }

    fn check(pairs: &[(&str, &str)], expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        assert_eq!(completed(pairs), expected);
    }

    #[test]
    fn nothing_given_is_a_broker_for_the_host() {
        check(
            &[],
            &[
                ("advertised.listeners", "PLAINTEXT://127.0.0.1:9092"),
                ("listeners", "PLAINTEXT://0.0.0.0:9092"),
                ("log.dirs", DATA),
            ],
        );
    }

    #[test]
    fn what_was_given_holds() {
        let given = [("listeners", "A://:1"), ("log.dirs", "/data")];
        check(&given, &given);
        check(
            &[("advertised.listeners", "A://x:1,B://y:2"), ("log.dir", "/data")],
            &[
                ("advertised.listeners", "A://x:1,B://y:2"),
                ("listeners", "A://0.0.0.0:1,B://0.0.0.0:2"),
                ("log.dir", "/data"),
            ],
        );
        check(&[("process.roles", "controller")], &[("log.dirs", DATA), ("process.roles", "controller")]);
    }
}
