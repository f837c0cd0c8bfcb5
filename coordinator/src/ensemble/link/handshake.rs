//! How two nodes meet: each proves to the other that it knows the cluster's secret, which never travels.
//!
//! Hello and welcome carry who is meant and a random challenge each; a proof is an HMAC over both and the role of
//! whoever proves, so that no proof can be replayed or sent back. What follows is neither encrypted nor signed: a
//! network that others can write to needs TLS below it. Must never read more than a few hundred bytes from somebody
//! who has proved nothing.

use std::fmt;
use std::io;

use bytes::{Buf, BufMut};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::Stream;
use super::registry::Identity;

/// What a link begins with; no request of Kafka's protocol does, its length would be beyond every limit.
pub const MAGIC: [u8; 8] = *b"MILENA\x00\x01";

const CHALLENGE_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;
/// A cluster's id, as text: 22 characters of base64 by convention.
const MAX_CLUSTER_BYTES: usize = 64;
/// In a hello: "whoever you are".
const ANYBODY: i32 = -1;

/// What nodes of one cluster share. Its text is never shown.
#[derive(Clone)]
pub struct ClusterSecret(Vec<u8>);

impl ClusterSecret {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }

    fn proof(&self, role: &[u8], hello: &[u8], welcome: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.0).expect("an HMAC takes a key of any length");
        mac.update(role);
        mac.update(hello);
        mac.update(welcome);
        mac
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret")
    }
}

/// Who the other end says it is, having proved that it belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) id: i32,
    pub(super) directory: Uuid,
}

/// Introduces this node over a stream that it dialled; `to` is who is expected there, if anybody is.
pub(super) async fn introduce(
    stream: &mut dyn Stream,
    me: &Identity,
    secret: &ClusterSecret,
    to: Option<i32>,
) -> io::Result<Met> {
    let hello = card(me, to.unwrap_or(ANYBODY));
    stream.write_all(&MAGIC).await?;
    send(stream, &hello).await?;
    let welcome = receive(stream).await?;
    let mut proof = [0; PROOF_BYTES];
    stream.read_exact(&mut proof).await?;
    let (met, _) = read_card(&welcome, me)?;
    if to.is_some_and(|to| to != met.id) {
        return Err(refused(format!("node {} answered where node {to:?} was expected", met.id)));
    }
    secret
        .proof(b"welcome", &hello, &welcome)
        .verify_slice(&proof)
        .map_err(|_| refused(format!("node {} does not know this cluster's secret", met.id)))?;
    stream.write_all(&secret.proof(b"hello", &hello, &welcome).finalize().into_bytes()).await?;
    stream.flush().await?;
    // The other end speaks last, so that a refusal is noticed here and not at the first request.
    match stream.read_u8().await {
        Ok(1) => Ok(met),
        Ok(_) => Err(refused(format!("node {} broke the handshake", met.id))),
        Err(_) => Err(refused(format!("node {} did not accept this node", met.id))),
    }
}

/// Meets whoever dialled this node. The magic may have been read already.
pub(super) async fn welcome(
    stream: &mut dyn Stream,
    me: &Identity,
    secret: &ClusterSecret,
) -> io::Result<Met> {
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(refused("it does not speak the protocol of links, or another version".to_owned()));
    }
    let hello = receive(stream).await?;
    let (met, to) = read_card(&hello, me)?;
    if to != ANYBODY && to != me.id {
        return Err(refused(format!("node {} looks for node {to}; this is node {}", met.id, me.id)));
    }
    let answer = card(me, met.id);
    send(stream, &answer).await?;
    stream.write_all(&secret.proof(b"welcome", &hello, &answer).finalize().into_bytes()).await?;
    stream.flush().await?;
    let mut proof = [0; PROOF_BYTES];
    stream.read_exact(&mut proof).await?;
    secret
        .proof(b"hello", &hello, &answer)
        .verify_slice(&proof)
        .map_err(|_| refused(format!("node {} does not know this cluster's secret", met.id)))?;
    stream.write_all(&[1]).await?;
    stream.flush().await?;
    Ok(met)
}

/// Own id, the other's, directory, challenge, cluster.
fn card(me: &Identity, to: i32) -> Vec<u8> {
    let cluster = me.cluster();
    let cluster = &cluster.as_bytes()[..cluster.len().min(MAX_CLUSTER_BYTES)];
    let mut out = Vec::with_capacity(24 + CHALLENGE_BYTES + cluster.len());
    out.put_i32(me.id);
    out.put_i32(to);
    out.put_slice(me.directory.as_bytes());
    out.put_slice(Uuid::new_v4().as_bytes());
    out.put_slice(Uuid::new_v4().as_bytes());
    out.put_slice(cluster);
    out
}

fn read_card(mut card: &[u8], me: &Identity) -> io::Result<(Met, i32)> {
    if card.len() < 24 + CHALLENGE_BYTES {
        return Err(refused("its introduction is cut off".to_owned()));
    }
    let (id, to) = (card.get_i32(), card.get_i32());
    let directory = Uuid::from_u128(card.get_u128());
    let (theirs, ours) = (String::from_utf8_lossy(&card[CHALLENGE_BYTES..]).into_owned(), me.cluster());
    if !theirs.is_empty() && !ours.is_empty() && theirs != ours {
        return Err(refused(format!("node {id} is of cluster {theirs}, this is cluster {ours}")));
    }
    if id == me.id {
        return Err(refused(format!("the other end says that it is node {id}, which is this node")));
    }
    Ok((Met { id, directory }, to))
}

async fn send(stream: &mut dyn Stream, card: &[u8]) -> io::Result<()> {
    let length = u8::try_from(card.len()).expect("an introduction is short");
    stream.write_u8(length).await?;
    stream.write_all(card).await?;
    stream.flush().await
}

async fn receive(stream: &mut dyn Stream) -> io::Result<Vec<u8>> {
    let mut card = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut card).await?;
    Ok(card)
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: i32, cluster: &str) -> Identity {
        let identity = Identity::new(id, Uuid::from_u128(7));
        identity.set_cluster(cluster);
        identity
    }

    async fn meet(
        one: (Identity, &str),
        other: (Identity, &str),
        to: Option<i32>,
    ) -> (io::Result<Met>, io::Result<Met>) {
        let (mut near, mut far) = tokio::io::duplex(512);
        let dialling = async {
            let met = introduce(&mut near, &one.0, &ClusterSecret::new(one.1), to).await;
            drop(near);
            met
        };
        let answering = async {
            let met = welcome(&mut far, &other.0, &ClusterSecret::new(other.1)).await;
            drop(far);
            met
        };
        tokio::join!(dialling, answering)
    }

    #[tokio::test]
    async fn nodes_of_one_cluster_meet() {
        let met = meet((node(1, "c"), "s"), (node(2, ""), "s"), Some(2)).await;
        assert_eq!((met.0.unwrap().id, met.1.unwrap().id), (2, 1));
    }

    #[tokio::test]
    async fn whoever_has_another_secret_cluster_or_id_is_refused_by_both() {
        for (one, other, to) in [
            ((node(1, "c"), "s"), (node(2, "c"), "other"), None),
            ((node(1, "c"), "s"), (node(2, "d"), "s"), None),
            ((node(1, "c"), "s"), (node(2, "c"), "s"), Some(3)),
            ((node(1, "c"), "s"), (node(1, "c"), "s"), None),
        ] {
            let met = meet(one, other, to).await;
            assert!(met.0.is_err() && met.1.is_err(), "{met:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_hello_is_refused() {
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0\0\x10\0\x12\0\0", b"MILENA\x00\x01\x03abc"] {
            let (mut near, mut far) = tokio::io::duplex(512);
            near.write_all(garbage).await.unwrap();
            drop(near);
            welcome(&mut far, &node(1, ""), &ClusterSecret::new("s")).await.unwrap_err();
        }
    }
}
