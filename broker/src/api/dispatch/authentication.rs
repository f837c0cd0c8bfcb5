//! Frames of connections that have to prove who they are: taken through their SASL session, and nothing else of them
//! (`SaslServerAuthenticator`, `Processor.processCompletedReceives`).
//!
//! Must never let a request through to its handler before that is proved, nor after it has expired.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::{ScramMechanism, scram_credential};
use smallvec::smallvec;
use uuid::Uuid;

use super::refusals::refuse;
use super::{Dispatch, Head, Opened, answer, can_refuse, frame_of, open};
use crate::api::{
    API_VERSIONS, Caller, Cx, FETCH, Outcome, Principal, Row, SASL_AUTHENTICATE, SASL_HANDSHAKE, api_versions,
};
use crate::net::frame::{Chunk, Frame};
use crate::net::guard;
use crate::net::{Closing, Last, Served};
use crate::security::sasl::{Begun, Expected, Failure, Sasl, Step};

/// What becomes of a frame.
pub(super) enum Admission {
    /// It is a request of this client.
    Request(Principal),
    /// It belonged to the authentication.
    Served(Served),
}

impl Dispatch {
    /// Takes one frame of a connection with a session.
    pub(super) fn admit(&self, caller: &Caller, sasl: &Sasl, frame: &Bytes) -> Result<Admission, Closing> {
        let now = self.broker.clock.uptime();
        let served = match sasl.with(|session| session.expects()) {
            Expected::Request(principal) => {
                let (key, _) = guard::api(frame)?;
                if key == SASL_HANDSHAKE && sasl.with(|session| session.begin_again(now)) {
                    self.handshake(caller, sasl, frame, false)?
                } else if sasl.with(|session| session.is_expired(now)) {
                    return Err(unproved("the session has expired and the client did not re-authenticate"));
                } else {
                    return Ok(Admission::Request(principal));
                }
            }
            Expected::Handshake { versions } => self.handshake(caller, sasl, frame, versions)?,
            Expected::Token => self.authenticate(caller, sasl, frame)?,
            Expected::BareToken => self.bare(sasl, frame),
            Expected::Nothing(why) => Served::Last(farewell(sasl, None, &why)),
        };
        Ok(Admission::Served(served))
    }

    fn handshake(
        &self,
        caller: &Caller,
        sasl: &Sasl,
        frame: &Bytes,
        versions: bool,
    ) -> Result<Served, Closing> {
        let (key, version) = guard::api(frame)?;
        match key {
            SASL_HANDSHAKE => {}
            API_VERSIONS if versions => {}
            _ => return Err(unproved("it asked for something before it had proved who it is")),
        }
        let (row, header, body) = match open(frame)? {
            Opened::Request { row, header, body } => (row, header, body),
            Opened::TooNew(head) => {
                return frame_of(head, api_versions::unsupported_version(), 0).map(Served::Now);
            }
        };
        let head = Head::of(row, &header);
        let cx = self.cx(caller, version);
        if key == API_VERSIONS {
            let served = row.start(&cx, head, body)?;
            // An odd name is refused, and the client may ask again.
            if version < 3 || caller.software.get().is_some() {
                sasl.with(|session| session.told_versions());
            }
            return Ok(served);
        }
        let mut refused = None;
        let served = answer::<SaslHandshakeRequest, _>(&cx, head, body, |_, request| {
            let (begun, names) = sasl.with(|session| {
                let begun = session.handshake(&request.mechanism, version >= 1);
                let names = session.listener().names().map(StrBytes::from_static_str).collect();
                (begun, names)
            });
            let told = SaslHandshakeResponse::default().with_mechanisms(names);
            match begun {
                Begun::Yes => Outcome::from(told),
                Begun::Unsupported => {
                    refused = Some(format!("Unsupported SASL mechanism {}", &*request.mechanism));
                    told.with_error_code(ResponseError::UnsupportedSaslMechanism.code()).into()
                }
            }
        });
        Ok(held_back(sasl, served, refused))
    }

    fn authenticate(&self, caller: &Caller, sasl: &Sasl, frame: &Bytes) -> Result<Served, Closing> {
        let (key, version) = guard::api(frame)?;
        let Opened::Request { row, header, body } = open(frame)? else {
            return Err(unproved("it asked for versions while it authenticated"));
        };
        let flexible = row.shape.is_flexible(version);
        let head = Head { flexible, ..Head::of(row, &header) };
        let cx = self.cx(caller, version);
        if key != SASL_AUTHENTICATE {
            return Ok(out_of_turn(&cx, sasl, row, head, body));
        }
        let mut refused = None;
        let served = answer::<SaslAuthenticateRequest, _>(&cx, head, body, |_, request| {
            let (stepped, told) = self.step(sasl, &request.auth_bytes);
            let response = SaslAuthenticateResponse::default();
            let told = match stepped {
                Ok(Step::Challenge(token)) => response.with_auth_bytes(token.into()),
                Ok(Step::Granted(granted)) => {
                    let lifetime = i64::try_from(granted.lifetime.as_millis()).unwrap_or(i64::MAX);
                    let lifetime = if version >= 1 { lifetime } else { 0 };
                    response.with_auth_bytes(granted.token.into()).with_session_lifetime_ms(lifetime)
                }
                Err(failure) => {
                    refused = Some(reason(failure));
                    response
                        .with_error_code(ResponseError::SaslAuthenticationFailed.code())
                        .with_error_message(Some(StrBytes::from_string(told)))
                }
            };
            told.into()
        });
        Ok(held_back(sasl, served, refused))
    }

    /// Before KIP-152 a failure has no words: the connection ends.
    fn bare(&self, sasl: &Sasl, token: &[u8]) -> Served {
        match self.step(sasl, token).0 {
            Ok(Step::Challenge(token)) => Served::Now(bare_frame(&token)),
            Ok(Step::Granted(granted)) => Served::Now(bare_frame(&granted.token)),
            Err(failure) => Served::Last(farewell(sasl, None, &reason(failure))),
        }
    }

    /// What a token led to, and what a client is told if it is a failure.
    fn step(&self, sasl: &Sasl, token: &[u8]) -> (Result<Step, Failure>, String) {
        let image = self.broker.image.load();
        let now = self.broker.clock.uptime();
        let nonce = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        sasl.with(|session| {
            let mechanism = session.scram();
            let of = mechanism.unwrap_or(ScramMechanism::Sha256);
            let credential = |user: &str| scram_credential(&image, user, of);
            let stepped = session.token(token, now, &nonce, &credential);
            let told = stepped.as_ref().err().map(|failure| session.told(failure, mechanism));
            (stepped, told.unwrap_or_default())
        })
    }
}

/// A request in the middle of an exchange is told so, where it can be told an error as a whole.
fn out_of_turn(cx: &Cx<'_>, sasl: &Sasl, row: &Row, head: Head, body: Bytes) -> Served {
    let error = ResponseError::IllegalSaslState;
    let why = format!("Unexpected Kafka request of type {} during SASL authentication.", row.name);
    let served = match row.key {
        SASL_HANDSHAKE => answer::<SaslHandshakeRequest, _>(cx, head, body, |_, _| {
            SaslHandshakeResponse::default().with_error_code(error.code()).into()
        }),
        API_VERSIONS => {
            answer::<ApiVersionsRequest, _>(cx, Head { flexible: false, ..head }, body, |_, _| {
                ApiVersionsResponse::default().with_error_code(error.code()).into()
            })
        }
        // Its answer here is of partitions that are served, and those are none.
        FETCH => Served::Last(farewell(sasl, None, &why)),
        key if can_refuse(key) => refuse(cx, head, key, body, error),
        _ => Served::Last(farewell(sasl, None, &why)),
    };
    held_back(sasl, served, Some(why))
}

/// An answer that refuses comes late, and is the last.
fn held_back(sasl: &Sasl, served: Served, refused: Option<String>) -> Served {
    match (served, refused) {
        (Served::Now(frame), Some(why)) => Served::Last(farewell(sasl, Some(frame), &why)),
        (served, _) => served,
    }
}

fn farewell(sasl: &Sasl, frame: Option<Frame>, why: &str) -> Last {
    let after = sasl.with(|session| session.listener().failure_delay);
    Last { frame, after, why: unproved(why) }
}

fn reason(failure: Failure) -> String {
    match failure {
        Failure::Told(text) | Failure::Hidden(text) => text,
    }
}

fn unproved(why: &str) -> Closing {
    Closing::Authentication(why.to_owned())
}

/// A token with nothing but its size before it.
fn bare_frame(token: &[u8]) -> Frame {
    let mut bytes = BytesMut::with_capacity(token.len() + 4);
    bytes.put_u32(u32::try_from(token.len()).expect("our own tokens are short"));
    bytes.put_slice(token);
    let len = bytes.len();
    Frame { chunks: smallvec![Chunk::Bytes(bytes)], len, pause_ms: 0 }
}
