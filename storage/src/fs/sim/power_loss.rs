//! What a simulated file keeps of its unsynced changes when the power goes.
//!
//! Must never touch what was synced, except where an unsynced change overwrote it.

use super::{Chance, Change};

/// A disk writes this much whole or not at all.
const SECTOR: usize = 512;

/// The first changes stay, and a part of the next one.
pub(super) fn keep_first(data: &mut Vec<u8>, pending: &[Change], chance: &mut Chance) {
    let kept = chance.below(pending.len() + 1);
    for change in &pending[..kept] {
        change.apply(data);
    }
    if let Some(Change::Write(at, bytes)) = pending.get(kept) {
        let torn = &bytes[..chance.below(bytes.len() + 1)];
        // The length may reach the disk before the bytes do; they then read as zeros.
        let zeros = chance.below(4) == 0;
        let bytes = if zeros { vec![0; torn.len()] } else { torn.to_vec() };
        Change::Write(*at, bytes).apply(data);
    }
}

/// Any of the changes stay, each with any of its sectors. Changes of the length are kept in order by every journal, and
/// a write behind the end is one.
pub(super) fn keep_any(data: &mut Vec<u8>, pending: &[Change], chance: &mut Chance) {
    for change in pending {
        match change {
            Change::Length(_) if chance.below(4) == 0 => return,
            Change::Length(_) => change.apply(data),
            Change::Write(at, bytes) => {
                let end = usize::try_from(*at).expect("simulated files fit in memory") + bytes.len();
                if chance.below(3) == 0 && end > data.len() {
                    return;
                }
                data.resize(data.len().max(end), 0);
                let mut at = *at;
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let len = rest.len().min(SECTOR - usize::try_from(at).unwrap_or(0) % SECTOR);
                    if chance.below(2) == 0 {
                        Change::Write(at, rest[..len].to_vec()).apply(data);
                    }
                    at += len as u64;
                    rest = &rest[len..];
                }
            }
        }
    }
}
