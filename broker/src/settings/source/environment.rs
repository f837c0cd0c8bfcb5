//! `KAFKA_*` variables, mapped as Kafka's official image maps them.
//!
//! Must never read the process's environment itself: it is passed in, so that tests and embedded brokers decide.

use super::super::effective::Source;
use super::super::problem::Note;
use super::Pair;

/// Variables with the prefix that are not settings: the JVM's, the scripts', the image's.
const NOT_SETTINGS: &[&str] = &[
    "KAFKA_VERSION",
    "KAFKA_HOME",
    "KAFKA_DEBUG",
    "KAFKA_HEAP_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_LOG4J_CONFIG_FILE",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_LOG4J_TOOLS_ROOT_LOGLEVEL",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_CLASSPATH",
    // Commas, semicolons and lines all separate topics.
    "KAFKA_CREATE_TOPICS_SEPARATOR",
];

/// How a JVM is told of its logins; Confluent's image asks for it where a listener wants SASL.
const JAAS_FILE: &str = "-Djava.security.auth.login.config=";

/// Variables that give the id of a new cluster in one of the images people use.
const CLUSTER_ID: &[&str] = &["CLUSTER_ID", "KAFKA_CLUSTER_ID", "KAFKA_KRAFT_CLUSTER_ID"];

/// Variables of Milena's own.
const OWN: [(&str, &str); 2] =
    [("MILENA_DEV_SECURITY", "milena.dev.security"), ("MILENA_DEV_SECURITY_DIR", "milena.dev.security.dir")];

/// The settings in these variables, in order of the variables' names, and what is to be said about the rest.
pub fn read(variables: &[(String, String)]) -> (Vec<Pair>, Vec<Note>) {
    let mut variables: Vec<_> = variables.iter().collect();
    variables.sort();
    let mut pairs = Vec::new();
    let mut notes = Vec::new();
    for (variable, text) in variables {
        let source = Source::Environment { variable: variable.clone() };
        if CLUSTER_ID.contains(&variable.as_str()) {
            pairs.push(Pair { name: "cluster.id".to_owned(), text: text.clone(), source });
        } else if variable == "KAFKA_JMX_PORT" {
            notes.push(Note::info("KAFKA_JMX_PORT is set: there is no JVM here and so no JMX port"));
        } else if variable == "KAFKA_OPTS" {
            let file = text.split_whitespace().find_map(|option| option.strip_prefix(JAAS_FILE));
            let pair =
                |file: &str| Pair { name: "milena.jaas.file".to_owned(), text: file.to_owned(), source };
            pairs.extend(file.map(pair));
        } else if variable == "KAFKA_CREATE_TOPICS" {
            pairs.push(Pair { name: "milena.create.topics".to_owned(), text: text.clone(), source });
        } else if let Some((_, name)) = OWN.iter().find(|(own, _)| own == variable) {
            pairs.push(Pair { name: (*name).to_owned(), text: text.clone(), source });
        } else if let Some(name) = setting_name(variable) {
            pairs.push(Pair { name, text: text.clone(), source });
        }
    }
    join_advertised(&mut pairs);
    derive_listeners(&mut pairs);
    (pairs, notes)
}

/// `KAFKA_` off, lower case, `___` to `-`, `__` to `_`, `_` to `.` (`KafkaDockerWrapper`); Bitnami's
/// `KAFKA_CFG_` likewise. `None` for what is no setting.
fn setting_name(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix("KAFKA_")?;
    if NOT_SETTINGS.contains(&variable) || rest.is_empty() {
        return None;
    }
    let rest = rest.strip_prefix("CFG_").unwrap_or(rest);
    Some(rest.to_lowercase().replace('_', ".").replace("...", "-").replace("..", "_"))
}

/// Host and port by themselves, as before Kafka 0.10 and in wurstmeister's image ever since.
fn join_advertised(pairs: &mut Vec<Pair>) {
    let mut take = |name: &str| {
        let index = pairs.iter().position(|pair| pair.name == name)?;
        Some(pairs.remove(index))
    };
    let (host, port) = (take("advertised.host.name"), take("advertised.port"));
    let Some(source) = host.as_ref().or(port.as_ref()).map(|pair| pair.source.clone()) else { return };
    if pairs.iter().any(|pair| pair.name == "advertised.listeners") {
        return;
    }
    let host = host.map_or_else(|| "127.0.0.1".to_owned(), |pair| pair.text);
    let port = port.map_or_else(|| "9092".to_owned(), |pair| pair.text);
    let text = format!("PLAINTEXT://{host}:{port}");
    pairs.push(Pair { name: "advertised.listeners".to_owned(), text, source });
}

/// The image listens on all interfaces at the advertised ports unless it is told where to listen.
fn derive_listeners(pairs: &mut Vec<Pair>) {
    if pairs.iter().any(|pair| pair.name == "listeners") {
        return;
    }
    let Some(advertised) = pairs.iter().find(|pair| pair.name == "advertised.listeners") else { return };
    let text = on_all_interfaces(&advertised.text);
    if !text.is_empty() {
        let source = advertised.source.clone();
        pairs.push(Pair { name: "listeners".to_owned(), text, source });
    }
}

/// The listeners of these names and ports on every interface; what cannot be read is left out.
pub(super) fn on_all_interfaces(advertised: &str) -> String {
    let listener = |endpoint: &str| {
        let (name, address) = endpoint.trim().split_once("://")?;
        let (_, port) = address.rsplit_once(':')?;
        Some(format!("{name}://0.0.0.0:{port}"))
    };
    advertised.split(',').filter_map(listener).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let variables: Vec<_> =
            variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        read(&variables).0.into_iter().map(|pair| (pair.name, pair.text)).collect()
    }

    fn check(variable: &str, expected: &str) {
        assert_eq!(names(&[(variable, "x")]), [(expected.to_owned(), "x".to_owned())], "{variable}");
    }

    #[test]
    fn underscores_map_as_in_the_official_image() {
        check("KAFKA_LOG_RETENTION_MS", "log.retention.ms");
        check("KAFKA_NODE_ID", "node.id");
        check("KAFKA_LISTENER_NAME_SASL__SSL_PLAIN_X", "listener.name.sasl_ssl.plain.x");
        check("KAFKA_A___B", "a-b");
        check("KAFKA_A__B", "a_b");
        check("KAFKA_CFG_NODE_ID", "node.id");
        check("CLUSTER_ID", "cluster.id");
    }

    #[test]
    fn what_belongs_to_the_jvm_is_no_setting() {
        assert_eq!(
            names(&[("KAFKA_HEAP_OPTS", "-Xmx1g"), ("KAFKA_LOG4J_LOGGERS", "x"), ("PATH", "/bin")]),
            []
        );
    }

    #[test]
    fn listeners_follow_the_advertised_ones_as_in_the_image() {
        let found =
            names(&[("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://kafka:29092,EXTERNAL://localhost:9092")]);
        let expected = "PLAINTEXT://0.0.0.0:29092,EXTERNAL://0.0.0.0:9092";
        assert!(found.contains(&("listeners".to_owned(), expected.to_owned())), "{found:?}");
        let both = names(&[("KAFKA_ADVERTISED_LISTENERS", "A://x:1"), ("KAFKA_LISTENERS", "A://:2")]);
        assert!(both.contains(&("listeners".to_owned(), "A://:2".to_owned())), "{both:?}");
    }

    #[test]
    fn wurstmeisters_variables_are_taken() {
        let found = names(&[
            ("KAFKA_ADVERTISED_HOST_NAME", "10.0.0.7"),
            ("KAFKA_ADVERTISED_PORT", "9094"),
            ("KAFKA_CREATE_TOPICS", "a:1:1"),
            ("KAFKA_CREATE_TOPICS_SEPARATOR", ";"),
        ]);
        let expected = [
            ("milena.create.topics", "a:1:1"),
            ("advertised.listeners", "PLAINTEXT://10.0.0.7:9094"),
            ("listeners", "PLAINTEXT://0.0.0.0:9094"),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(found, expected);
    }
    #[test]
    fn a_file_of_logins_and_the_switch_for_tests_are_taken() {
        let found = names(&[
            ("KAFKA_OPTS", "-Xmx1g -Djava.security.auth.login.config=/etc/kafka/jaas.conf -Dx=y"),
            ("MILENA_DEV_SECURITY", "true"),
        ]);
        let expected = [("milena.jaas.file", "/etc/kafka/jaas.conf"), ("milena.dev.security", "true")];
        assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
}
