//! The client's side of PLAIN and SCRAM (`PlainSaslClient`, `ScramSaslClient`).
//!
//! Must never take a broker for the right one that cannot show that it knows the credential.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use milena_coordinator::controller::ScramMechanism;
use subtle::ConstantTimeEq;

use super::Mechanism;
use super::scram::{MIN_ITERATIONS, hash, hmac_of, salted_password};

/// No channel binding, no other name to act under.
const HEADER: &str = "n,,";

/// As whom a client logs in.
pub struct Login {
    pub mechanism: Mechanism,
    pub user: String,
    pub password: String,
}

/// One exchange under way.
pub struct Exchange<'a> {
    login: &'a Login,
    state: State,
}

enum State {
    Plain,
    First { bare: String, nonce: String },
    Final { server_signature: Vec<u8> },
    Over,
}

impl Login {
    /// Begins an exchange: what is sent first. The nonce must not be known to anybody before; it is printable and has no comma.
    pub fn begin(&self, nonce: &str) -> (Exchange<'_>, Vec<u8>) {
        let (state, token) = match self.mechanism {
            Mechanism::Plain => (State::Plain, format!("\0{}\0{}", self.user, self.password)),
            Mechanism::Scram(_) => {
                let name = self.user.replace('=', "=3D").replace(',', "=2C");
                let bare = format!("n={name},r={nonce}");
                let token = format!("{HEADER}{bare}");
                (State::First { bare, nonce: nonce.to_owned() }, token)
            }
        };
        (Exchange { login: self, state }, token.into_bytes())
    }
}

impl Exchange<'_> {
    /// Takes what the broker says: what is sent next, if anything is; or why it is not believed.
    pub fn answer(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let text = std::str::from_utf8(token).map_err(|_| "Invalid SASL token".to_owned())?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain | State::Over => Ok(None),
            State::First { bare, nonce } => {
                let Mechanism::Scram(mechanism) = self.login.mechanism else { return Ok(None) };
                let (token, server_signature) = self.prove(mechanism, &bare, &nonce, text)?;
                self.state = State::Final { server_signature };
                Ok(Some(token.into_bytes()))
            }
            State::Final { server_signature } => {
                if let Some(error) = text.strip_prefix("e=") {
                    return Err(format!("Sasl authentication using SCRAM failed with error: {error}"));
                }
                let value = text.strip_prefix("v=").and_then(|value| value.split(',').next());
                let shown = value.and_then(|value| STANDARD.decode(value).ok());
                let shown = shown.ok_or("Invalid SCRAM server final message format")?;
                if bool::from(shown.ct_eq(&server_signature)) {
                    Ok(None)
                } else {
                    Err("Invalid server signature in server final message".to_owned())
                }
            }
        }
    }

    /// The client's last message, and what the server must answer to it.
    fn prove(
        &self,
        mechanism: ScramMechanism,
        bare: &str,
        nonce: &str,
        server_first: &str,
    ) -> Result<(String, Vec<u8>), String> {
        if let Some(error) = server_first.strip_prefix("e=") {
            return Err(format!("Sasl authentication using SCRAM failed with error: {error}"));
        }
        let mut parts = server_first.split(',');
        let mut part = |key| parts.next().and_then(|part| part.strip_prefix(key));
        let format = "Invalid SCRAM server first message format";
        let (Some(both), Some(salt), Some(iterations)) = (part("r="), part("s="), part("i=")) else {
            return Err(format.to_owned());
        };
        if !both.starts_with(nonce) {
            return Err("Invalid server nonce: does not start with client nonce".to_owned());
        }
        let salt = STANDARD.decode(salt).map_err(|_| format)?;
        let iterations: u32 = iterations.parse().map_err(|_| format)?;
        if iterations < MIN_ITERATIONS.unsigned_abs() {
            return Err(format!(
                "Requested iterations {iterations} is less than the minimum {MIN_ITERATIONS} for {}",
                mechanism.name()
            ));
        }
        let salted = salted_password(mechanism, &self.login.password, &salt, iterations);
        let without_proof = format!("c={},r={both}", STANDARD.encode(HEADER));
        let auth = format!("{bare},{server_first},{without_proof}");
        let client_key = hmac_of(mechanism, &salted, b"Client Key");
        let signature = hmac_of(mechanism, &hash(mechanism, &client_key), auth.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = hmac_of(mechanism, &salted, b"Server Key");
        let token = format!("{without_proof},p={}", STANDARD.encode(proof));
        Ok((token, hmac_of(mechanism, &server_key, auth.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(mechanism: Mechanism, user: &str, password: &str) -> Login {
        Login { mechanism, user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn plain_is_one_token() {
        let login = login(Mechanism::Plain, "alice", "secret");
        let (mut exchange, token) = login.begin("x");
        assert_eq!(token, b"\0alice\0secret");
        assert_eq!(exchange.answer(b""), Ok(None));
    }

    #[test]
    fn scram_says_what_rfc_7677_says() {
        let login = login(Mechanism::Scram(ScramMechanism::Sha256), "user", "pencil");
        let begin = || login.begin("rOprNGfwEbeRWgbNEkqO");
        let (mut exchange, first) = begin();
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server_first =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = exchange.answer(server_first.as_bytes()).expect("a good message").expect("a proof");
        assert_eq!(
            String::from_utf8(last).expect("text"),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );

        assert_eq!(exchange.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(None));

        // A broker that does not know the credential.
        let (mut exchange, _) = begin();
        exchange.answer(server_first.as_bytes()).expect("a good message");
        assert!(exchange.answer(b"v=AAAA").expect_err("no proof").contains("server signature"));
        let (mut exchange, _) = begin();
        exchange.answer(server_first.as_bytes()).expect("a good message");
        assert!(exchange.answer(b"e=other-error").expect_err("an error").ends_with("other-error"));
    }

    #[test]
    fn a_server_that_is_not_to_be_believed_gets_no_proof() {
        let login = login(Mechanism::Scram(ScramMechanism::Sha512), "a,b=c", "x");
        for (first, expected) in [
            ("r=other,s=QUFB,i=4096", "nonce"),
            ("r=mine1,s=QUFB,i=4095", "iterations"),
            ("r=mine1,s=!,i=4096", "format"),
            ("r=mine1", "format"),
            ("e=unknown-user", "unknown-user"),
        ] {
            let (mut exchange, token) = login.begin("mine");
            assert_eq!(token, b"n,,n=a=2Cb=3Dc,r=mine");
            let error = exchange.answer(first.as_bytes()).expect_err(first);
            assert!(error.contains(expected), "{first}: {error}");
        }
    }
}
