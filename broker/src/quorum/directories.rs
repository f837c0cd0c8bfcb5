//! Which log directories of a broker serve, on their way to the controller (Kafka: offline directories in `BrokerHeartbeatRequest`).
//!
//! Must never name a directory that has failed.

use bytes::BufMut;
use kafka_protocol::error::ResponseError::NotController;
use milena_coordinator::controller::{self, Ctx, Item, Refusal};
use uuid::Uuid;

use super::Quorum;
use super::forward::own;

impl Quorum {
    /// Has others lead and be in sync where replicas lie in other directories of this broker than these; to be repeated until it is
    /// answered.
    pub async fn keep_log_dirs(&self, online: &[Uuid]) -> Result<(), Refusal> {
        if !self.controls() {
            let asked = self.ask_controller(own::LOG_DIRS, 0, &encode(online)).await?;
            // This node has become the controller meanwhile.
            return asked.map(|_| ()).ok_or_else(|| Refusal::bare(NotController));
        }
        let (broker, online) = (self.caller, online.to_vec());
        let decide = move |ctx: &mut Ctx<'_>| {
            let plan = controller::keep_log_dirs(ctx, broker, &online)?.into_iter();
            Ok(plan.map(|item| Item { ops: item.ops, result: Ok(()) }).collect())
        };
        let done = self.decide(decide, |_, refusal| Err(refusal.clone())).await?;
        done.into_iter().collect()
    }
}

fn encode(directories: &[Uuid]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 * directories.len());
    directories.iter().for_each(|directory| out.put_slice(directory.as_bytes()));
    out
}

/// `None` if it is no whole number of ids, or of none: a broker without directories has ended.
pub(super) fn decode(input: &[u8]) -> Option<Vec<Uuid>> {
    let (directories, rest) = input.as_chunks::<16>();
    let is_whole = rest.is_empty() && !directories.is_empty();
    is_whole.then(|| directories.iter().map(|bytes| Uuid::from_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard() {
        let directories = vec![Uuid::from_u128(7), Uuid::from_u128(9)];
        let told = encode(&directories);
        assert_eq!(decode(&told), Some(directories));
        assert_eq!(decode(&told[1..]), None);
        assert_eq!(decode(&[]), None);
    }
}
