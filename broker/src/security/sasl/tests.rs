//! Exchanges and sessions: RFC 7677's own example, what Kafka refuses, and what a session never allows.

use std::fs;

use super::exchange::Known;
use super::*;
use crate::settings::Settings;
use milena_coordinator::controller::ScramCredential;

const USER_LINE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                         username=\"admin\" password=\"secret\" user_admin=\"secret\" user_alice='it\\'s';";
/// RFC 7677, section 3; the user is `user`, the password `pencil`.
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn listener(pairs: &[(&str, &str)]) -> Result<Arc<SaslListener>, String> {
    let settings = Settings::from_pairs(pairs).expect("texts of the right type");
    SaslListener::new(&settings.sasl("EXTERNAL")).map_err(|error| error.to_string())
}

fn session(more: &[(&str, &str)]) -> Sasl {
    let mut pairs = vec![
        ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256"),
        ("listener.name.external.plain.sasl.jaas.config", USER_LINE),
    ];
    pairs.extend(more);
    Sasl::new(&listener(&pairs).unwrap())
}

fn pencil() -> ScramCredential {
    use base64::Engine;
    let salt = base64::engine::general_purpose::STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let salted = salted_password(ScramMechanism::Sha256, "pencil", &salt, 4096);
    ScramCredential::of_salted(ScramMechanism::Sha256, &salt, 4096, &salted)
}

fn send(sasl: &Sasl, token: &str, at: u64) -> Result<Step, Failure> {
    let credential = |user: &str| (user == "user").then(pencil);
    sasl.with(|session| session.token(token.as_bytes(), Duration::from_millis(at), NONCE, &credential))
}

fn begin(sasl: &Sasl, mechanism: &str) -> Begun {
    sasl.with(|session| session.handshake(mechanism, true))
}

fn expects(sasl: &Sasl) -> Expected {
    sasl.with(|session| session.expects())
}

fn who(sasl: &Sasl) -> String {
    match expects(sasl) {
        Expected::Request(principal) => principal.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_of_the_rfc_is_understood() {
    let sasl = session(&[]);
    assert_eq!(expects(&sasl), Expected::Handshake { versions: true });
    sasl.with(|session| session.told_versions());
    assert_eq!(expects(&sasl), Expected::Handshake { versions: false });
    assert_eq!(begin(&sasl, "SCRAM-SHA-256"), Begun::Yes);
    assert_eq!(send(&sasl, CLIENT_FIRST, 0), Ok(Step::Challenge(SERVER_FIRST.into())));
    assert_eq!(expects(&sasl), Expected::Token);
    let granted = Granted { token: SERVER_FINAL.into(), lifetime: Duration::ZERO };
    assert_eq!(send(&sasl, CLIENT_FINAL, 0), Ok(Step::Granted(granted)));
    assert_eq!(who(&sasl), "User:user");
}

#[test]
fn no_other_proof_nonce_or_user_passes() {
    let wrong_proof = CLIENT_FINAL.replace("p=d", "p=e");
    let wrong_nonce = CLIENT_FINAL.replace("$k0,", "$k1,");
    let only_its_own = "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let short = CLIENT_FINAL.replace("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "p=dHzb");
    for last in [&wrong_proof, &wrong_nonce, only_its_own, &short, "", "c=biws", "\u{fc}"] {
        let sasl = session(&[]);
        begin(&sasl, "SCRAM-SHA-256");
        send(&sasl, CLIENT_FIRST, 0).unwrap();
        let failure = send(&sasl, last, 0).expect_err(last);
        assert!(matches!(failure, Failure::Hidden(_)), "{last}: {failure:?}");
        let told = sasl.with(|session| session.told(&failure, Some(ScramMechanism::Sha256)));
        let expected = "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256";
        assert_eq!(told, expected);
        assert!(matches!(expects(&sasl), Expected::Nothing(_)));
        assert!(send(&sasl, CLIENT_FINAL, 0).is_err(), "a failed exchange stays failed");
    }
    for first in [
        "n,,n=nobody,r=abc",
        "y,,n=user,r=abc",
        "p=tls-unique,,n=user,r=abc",
        "n,,n=user,r=",
        "n,,n=us=er,r=abc",
        "n,,n=user,r=abc,tokenauth=true",
        "n,,r=abc,n=user",
        "",
    ] {
        let sasl = session(&[]);
        begin(&sasl, "SCRAM-SHA-256");
        assert!(matches!(send(&sasl, first, 0), Err(Failure::Hidden(_))), "{first}");
    }
    let sasl = session(&[]);
    begin(&sasl, "SCRAM-SHA-256");
    let other = send(&sasl, "n,a=admin,n=user,r=abc", 0);
    assert!(matches!(other, Err(Failure::Told(what)) if what.contains("authorization id")));
}

#[test]
fn names_may_hold_commas_and_equal_signs() {
    let sasl = session(&[]);
    begin(&sasl, "SCRAM-SHA-256");
    let asked = std::cell::RefCell::new(Vec::new());
    let credential = |user: &str| {
        asked.borrow_mut().push(user.to_owned());
        Some(pencil())
    };
    let token = b"n,a=,n=a=2Cb=3Dc,r=abc";
    // An empty authzid is none at all, and then the letter is not there either.
    let stepped = sasl.with(|session| session.token(token, Duration::ZERO, "x", &credential));
    assert!(stepped.is_err());
    let sasl = session(&[]);
    begin(&sasl, "SCRAM-SHA-256");
    let token = b"n,,n=a=2Cb=3Dc,r=abc,ext=1";
    sasl.with(|session| session.token(token, Duration::ZERO, "x", &credential)).unwrap();
    assert_eq!(*asked.borrow(), ["a,b=c"]);
}

#[test]
fn sha_512_goes_the_same_way() {
    let salted = salted_password(ScramMechanism::Sha512, "pw", b"salt", 4096);
    let credential = ScramCredential::of_salted(ScramMechanism::Sha512, b"salt", 4096, &salted);
    let mut exchange = scram::Scram::new(ScramMechanism::Sha512);
    let known = Known { credential: &|_| Some(credential.clone()), nonce: "def" };
    let exchange::Outcome::Challenge(challenge) = exchange.step(b"n,,n=u,r=abc", &known).unwrap() else {
        panic!("a challenge")
    };
    assert_eq!(challenge, b"r=abcdef,s=c2FsdA==,i=4096");
    assert!(exchange.step(b"c=biws,r=abcdef,p=AAAA", &known).is_err());
    assert_eq!((credential.stored_key.len(), credential.server_key.len()), (64, 64));
}

#[test]
fn plain_is_refused_in_kafkas_words() {
    let check = |token: &str, expected: &str| {
        let sasl = session(&[]);
        begin(&sasl, "PLAIN");
        let Err(Failure::Told(what)) = send(&sasl, token, 0) else { panic!("{token:?} was not refused") };
        assert_eq!(what, expected, "{token:?}");
    };
    check("", "Invalid SASL/PLAIN response: expected 3 tokens, got 1");
    check("\0admin", "Invalid SASL/PLAIN response: expected 3 tokens, got 2");
    check("\0admin\0secret\0", "Invalid SASL/PLAIN response: expected 3 tokens, got 4");
    check("\0admin\0secret\0a\0b", "Invalid SASL/PLAIN response: expected 3 tokens, got 4");
    check("\0\0secret", "Authentication failed: username not specified");
    check("\0admin\0", "Authentication failed: password not specified");
    check("\0admin\0wrong", "Authentication failed: Invalid username or password");
    check("\0nobody\0secret", "Authentication failed: Invalid username or password");
    check(
        "alice\0admin\0secret",
        "Authentication failed: Client requested an authorization id that is different from username",
    );
    let sasl = session(&[]);
    begin(&sasl, "PLAIN");
    send(&sasl, "admin\0admin\0secret", 0).unwrap();
    assert_eq!(who(&sasl), "User:admin");
}

#[test]
fn a_mechanism_that_is_not_offered_ends_the_session() {
    let sasl = session(&[]);
    assert_eq!(begin(&sasl, "GSSAPI"), Begun::Unsupported);
    assert!(matches!(expects(&sasl), Expected::Nothing(_)));
}

#[test]
fn frames_are_small_until_the_client_is_known() {
    let sasl = session(&[("sasl.server.max.receive.size", "1000")]);
    assert_eq!(sasl.max_frame(1 << 20), 1000);
    begin(&sasl, "PLAIN");
    assert_eq!(sasl.max_frame(1 << 20), 1000);
    send(&sasl, "\0admin\0secret", 0).unwrap();
    assert_eq!(sasl.max_frame(1 << 20), 1 << 20);
}

#[test]
fn a_session_ends_unless_it_is_renewed_by_the_same_user_and_mechanism() {
    let again = |sasl: &Sasl, at: u64| sasl.with(|session| session.begin_again(Duration::from_millis(at)));
    let expired = |sasl: &Sasl, at: u64| sasl.with(|session| session.is_expired(Duration::from_millis(at)));
    let for_ever = session(&[]);
    begin(&for_ever, "PLAIN");
    send(&for_ever, "\0admin\0secret", 0).unwrap();
    assert!(!again(&for_ever, 10) && !expired(&for_ever, u64::MAX));

    let proved = || {
        let sasl = session(&[("listener.name.external.plain.connections.max.reauth.ms", "5000")]);
        begin(&sasl, "PLAIN");
        let Ok(Step::Granted(granted)) = send(&sasl, "\0admin\0secret", 100) else { panic!("granted") };
        assert_eq!(granted.lifetime, Duration::from_secs(5));
        sasl
    };
    let sasl = proved();
    assert!(!expired(&sasl, 5100) && expired(&sasl, 5101));
    assert!(again(&sasl, 4000));
    assert_eq!(expects(&sasl), Expected::Handshake { versions: false });
    begin(&sasl, "PLAIN");
    send(&sasl, "\0admin\0secret", 4000).unwrap();
    assert!(!expired(&sasl, 9000) && who(&sasl) == "User:admin");
    assert!(!again(&sasl, 4999), "not more than once a second");
    assert!(again(&sasl, 5000));
    begin(&sasl, "PLAIN");
    let Err(Failure::Told(what)) = send(&sasl, "\0alice\0it's", 5000) else { panic!("refused") };
    assert_eq!(what, "Cannot change principals during re-authentication from User.admin: User.alice");

    let sasl = proved();
    assert!(again(&sasl, 200));
    assert_eq!(begin(&sasl, "SCRAM-SHA-256"), Begun::Yes);
    let Expected::Nothing(why) = expects(&sasl) else { panic!("refused with the next frame") };
    assert!(why.contains("is not supported for re-authentication of mechanism 'PLAIN'"), "{why}");
}

#[test]
fn what_a_listener_cannot_serve_is_refused_at_the_start() {
    let refused = |pairs: &[(&str, &str)], expected: &str| {
        let error = listener(pairs).expect_err(expected);
        assert!(error.starts_with("listener EXTERNAL: ") && error.contains(expected), "{error}");
    };
    refused(&[], "SASL mechanism GSSAPI is not supported");
    let plain = ("sasl.enabled.mechanisms", "PLAIN");
    refused(&[plain], "Could not find a 'KafkaServer' or 'external.KafkaServer' entry");
    let with = |line: &'static str| [plain, ("listener.name.external.plain.sasl.jaas.config", line)];
    refused(&with(""), "does not contain any login modules");
    refused(&with("A required; B required;"), "contains 2 login modules, should be 1 module");
    refused(&with("A required a=\"b\""), "not terminated by semi-colon");
    refused(&with("A required a;"), "Value not specified for key 'a'");
    refused(&with("A maybe a=\"b\";"), "Invalid login module control flag");
    refused(&with("A required a=\"b;"), "does not end");
    // SCRAM keeps its users in the cluster.
    listener(&[("sasl.enabled.mechanisms", "SCRAM-SHA-512")]).unwrap();
}

#[test]
fn a_file_of_contexts_serves_listeners_without_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jaas.conf");
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let text = format!(
        "// of the server\nKafkaServer {{\n  {module}\n  user_a=\"1\";\n}};\n/* of one ** listener */ external.KafkaServer {{ {module} \
         user_b=\"2\"; org.Other optional user_c=\"3\"; }};\nClient {{ org.Z required; }};\n"
    );
    fs::write(&path, text).unwrap();
    let users = |name: &str| {
        let pairs = [("sasl.enabled.mechanisms", "PLAIN"), ("milena.jaas.file", path.to_str().unwrap())];
        let settings = Settings::from_pairs(&pairs).unwrap();
        let listener = SaslListener::new(&settings.sasl(name)).unwrap();
        listener.users.clone().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(users("EXTERNAL"), [("b".to_owned(), "2".to_owned())]);
    assert_eq!(users("OTHER"), [("a".to_owned(), "1".to_owned())]);
}
