//! Which log directories of a broker serve, and whether all are cordoned, on their way to the controller (Kafka: offline and cordoned
//! directories in `BrokerHeartbeatRequest`).
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
    pub async fn keep_log_dirs(&self, online: &[Uuid], cordoned: bool) -> Result<(), Refusal> {
        if !self.controls() {
            let asked = self.ask_controller(own::LOG_DIRS, 0, &encode(online, cordoned)).await?;
            // This node has become the controller meanwhile.
            return asked.map(|_| ()).ok_or_else(|| Refusal::bare(NotController));
        }
        let (broker, online) = (self.caller, online.to_vec());
        let decide = move |ctx: &mut Ctx<'_>| {
            let plan = controller::keep_log_dirs(ctx, broker, &online, cordoned)?.into_iter();
            Ok(plan.map(|item| Item { ops: item.ops, result: Ok(()) }).collect())
        };
        let done = self.decide(decide, |_, refusal| Err(refusal.clone())).await?;
        done.into_iter().collect()
    }
}

fn encode(directories: &[Uuid], cordoned: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + 16 * directories.len());
    out.put_u8(u8::from(cordoned));
    directories.iter().for_each(|directory| out.put_slice(directory.as_bytes()));
    out
}

/// `None` if it is no whole number of ids.
pub(super) fn decode(input: &[u8]) -> Option<(Vec<Uuid>, bool)> {
    let (cordoned, input) = input.split_first()?;
    let (directories, rest) = input.as_chunks::<16>();
    let directories = directories.iter().map(|bytes| Uuid::from_bytes(*bytes)).collect();
    rest.is_empty().then_some((directories, *cordoned != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard() {
        let directories = vec![Uuid::from_u128(7), Uuid::from_u128(9)];
        let told = encode(&directories, true);
        assert_eq!(decode(&told), Some((directories, true)));
        assert_eq!(decode(&told[..told.len() - 1]), None);
        assert_eq!(decode(&encode(&[], false)), Some((Vec::new(), false)));
        assert_eq!(decode(&[]), None);
    }
}
