//! Keys as Kafka's and Confluent's images take them: variables name files beneath `/etc/kafka/secrets`, and files with the
//! passwords of those (`configure` of both images).
//!
//! Must never win over a location or a password that was given itself, nor repeat a password.

use std::fs;
use std::path::Path;

use super::super::problem::Problem;
use super::Pair;

/// Where both images look.
pub const DIR: &str = "/etc/kafka/secrets";

/// A variable, as the setting that it looks like, and the setting that it stands for.
struct Named {
    name: &'static str,
    stands_for: &'static str,
    /// What is wanted is in the file; else the file is what is wanted.
    is_password: bool,
    /// Wanted only where clients show certificates.
    of_clients: bool,
}

const NAMED: [Named; 5] = [
    named("ssl.keystore.filename", "ssl.keystore.location", false, false),
    named("ssl.keystore.credentials", "ssl.keystore.password", true, false),
    named("ssl.key.credentials", "ssl.key.password", true, false),
    named("ssl.truststore.filename", "ssl.truststore.location", false, true),
    named("ssl.truststore.credentials", "ssl.truststore.password", true, true),
];
/// Without a file of the first kind the second is of no use, and the other way round, but for PEM.
const TOGETHER: [(&str, &str, &str); 2] = [
    ("ssl.keystore.filename", "ssl.keystore.credentials", "ssl.keystore.type"),
    ("ssl.truststore.filename", "ssl.truststore.credentials", "ssl.truststore.type"),
];

const fn named(name: &'static str, stands_for: &'static str, is_password: bool, of_clients: bool) -> Named {
    Named { name, stands_for, is_password, of_clients }
}

/// Puts locations and passwords in the place of the variables that name them. What is missing is a fault only where the
/// images look: where a listener that is advertised is called `SSL` or `SASL_SSL`.
pub fn resolve(pairs: &mut Vec<Pair>, dir: &Path) -> Vec<Problem> {
    let value = |pairs: &[Pair], name: &str| pairs.iter().rev().find(|pair| pair.name == name).cloned();
    let text = |pairs: &[Pair], name: &str| value(pairs, name).map(|pair| pair.text).unwrap_or_default();
    let has_ssl = text(pairs, "advertised.listeners").contains("SSL://");
    let shows = ["required", "requested"].iter().any(|word| text(pairs, "ssl.client.auth").contains(word));
    let is_wanted = |named: &Named| has_ssl && (shows || !named.of_clients);
    let mut problems = Vec::new();
    if has_ssl {
        problems.extend(TOGETHER.iter().filter_map(|together| half(pairs, together)));
    }
    for named in &NAMED {
        let Some(pair) = value(pairs, named.name) else { continue };
        pairs.retain(|pair| pair.name != named.name);
        if pair.text.trim().is_empty() || !text(pairs, named.stands_for).is_empty() {
            continue;
        }
        let path = dir.join(pair.text.trim());
        let text = if named.is_password { fs::read_to_string(&path) } else { Ok(path.display().to_string()) };
        let what = match text {
            _ if is_wanted(named) && !path.exists() => format!("{} file does not exist", path.display()),
            Ok(text) => {
                // As a shell takes the output of a command.
                let text = text.trim_end_matches('\n').to_owned();
                pairs.push(Pair { name: named.stands_for.to_owned(), text, source: pair.source });
                continue;
            }
            Err(error) if is_wanted(named) => format!("{} cannot be read: {error}", path.display()),
            Err(_) => continue,
        };
        let remedy = format!("mount it at {}, or set {}", dir.display(), variable(named.stands_for));
        problems.push(Problem::new(named.name, &pair.text, &pair.source, what).remedy(remedy));
    }
    problems
}

/// A store without its password, or a password without its store.
fn half(pairs: &[Pair], (file, credentials, kind): &(&str, &str, &str)) -> Option<Problem> {
    let stands_for = |name: &str| NAMED.iter().find(|named| named.name == name).map(|named| named.stands_for);
    let given = |name: &str| pairs.iter().find(|pair| pair.name == name && !pair.text.trim().is_empty());
    let either = |name: &str| given(name).or_else(|| given(stands_for(name)?));
    let is_pem = given(kind).is_some_and(|kind| kind.text.trim().eq_ignore_ascii_case("PEM"));
    let (there, missing) = match (given(file), given(credentials)) {
        (Some(there), None) if either(credentials).is_none() && !is_pem => (there, credentials),
        (None, Some(there)) if either(file).is_none() => (there, file),
        _ => return None,
    };
    let missing = variable(missing);
    let problem = Problem::new(
        &there.name,
        &there.text,
        &there.source,
        format!("{missing} environment variable not set"),
    );
    Some(problem.remedy(format!("set {missing} to the name of a file in {DIR}")))
}

fn variable(name: &str) -> String {
    format!("KAFKA_{}", name.to_uppercase().replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::super::super::effective::Source;
    use super::*;

    const SSL: (&str, &str) = ("advertised.listeners", "PLAINTEXT://kafka:9092,SSL://kafka:9093");
    const KEYSTORE: (&str, &str) = ("ssl.keystore.filename", "kafka.p12");
    const CREDENTIALS: (&str, &str) = ("ssl.keystore.credentials", "keystore_creds");
    const KEY: (&str, &str) = ("ssl.key.credentials", "key_creds");
    const TRUSTSTORE: (&str, &str) = ("ssl.truststore.filename", "trust.p12");
    const TRUST_CREDENTIALS: (&str, &str) = ("ssl.truststore.credentials", "trust_creds");

    /// What these become, but for what was there before; or what is wrong.
    fn resolved(
        given: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<Vec<(String, String)>, Vec<String>> {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("written");
        }
        let pair = |(name, text): &(&str, &str)| Pair {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
            source: Source::Environment { variable: variable(name) },
        };
        let mut pairs: Vec<Pair> = given.iter().map(pair).collect();
        let problems = resolve(&mut pairs, dir.path());
        let dir = dir.path().display().to_string();
        if !problems.is_empty() {
            return Err(problems.into_iter().map(|problem| problem.what.replace(&dir, "DIR")).collect());
        }
        pairs.retain(|pair| !given.contains(&(&pair.name, &pair.text)));
        Ok(pairs.into_iter().map(|pair| (pair.name, pair.text.replace(&dir, "DIR"))).collect())
    }

    fn check(given: &[(&str, &str)], files: &[(&str, &str)], expected: Result<&[(&str, &str)], &[&str]>) {
        let expected = expected
            .map(|pairs| pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
            .map_err(|faults| faults.iter().map(|fault| (*fault).to_owned()).collect());
        assert_eq!(resolved(given, files), expected, "{given:?}");
    }

    #[test]
    fn names_become_locations_and_passwords() {
        let files =
            [("kafka.p12", ""), ("keystore_creds", "one \n\n"), ("key_creds", "two"), ("trust_creds", "3\n")];
        let own = [
            ("ssl.keystore.location", "DIR/kafka.p12"),
            ("ssl.keystore.password", "one "),
            ("ssl.key.password", "two"),
        ];
        check(&[SSL, KEYSTORE, CREDENTIALS, KEY], &files, Ok(&own));
        let trust = [("ssl.truststore.location", "DIR/trust.p12"), ("ssl.truststore.password", "3")];
        let given = [SSL, KEYSTORE, CREDENTIALS, KEY, TRUSTSTORE, TRUST_CREDENTIALS];
        check(&given, &files, Ok(&[&own[..], &trust].concat()));
    }

    #[test]
    fn what_was_given_itself_holds() {
        let given =
            [SSL, KEYSTORE, CREDENTIALS, ("ssl.keystore.location", "/a"), ("ssl.keystore.password", "b")];
        check(&given, &[], Ok(&[]));
        check(&[SSL, ("ssl.keystore.filename", ""), ("ssl.key.credentials", " ")], &[], Ok(&[]));
    }

    #[test]
    fn files_that_are_missing_are_told_as_in_the_images() {
        check(
            &[SSL, KEYSTORE, CREDENTIALS, KEY],
            &[("key_creds", "x")],
            Err(&["DIR/kafka.p12 file does not exist", "DIR/keystore_creds file does not exist"]),
        );
        let trust = [SSL, ("ssl.client.auth", "required"), TRUSTSTORE, TRUST_CREDENTIALS];
        check(&trust, &[("trust_creds", "x")], Err(&["DIR/trust.p12 file does not exist"]));
    }

    #[test]
    fn one_of_two_variables_asks_for_the_other() {
        let file = [("kafka.p12", ""), ("keystore_creds", "x")];
        let missing = "KAFKA_SSL_KEYSTORE_CREDENTIALS environment variable not set";
        check(&[SSL, KEYSTORE], &file, Err(&[missing]));
        check(&[SSL, CREDENTIALS], &file, Err(&["KAFKA_SSL_KEYSTORE_FILENAME environment variable not set"]));
        let pem = [SSL, KEYSTORE, ("ssl.keystore.type", "pem")];
        check(&pem, &file, Ok(&[("ssl.keystore.location", "DIR/kafka.p12")]));
    }

    #[test]
    fn nothing_is_missing_where_no_listener_is_called_ssl() {
        let mapped = ("advertised.listeners", "OUTSIDE://kafka:9093");
        check(&[mapped, KEYSTORE, KEY], &[], Ok(&[("ssl.keystore.location", "DIR/kafka.p12")]));
    }
}
