//! The last offset of every key in the dirty part of a log, in bounded memory (`SkimpyOffsetMap`).
//!
//! Keys are known by a keyed 128-bit hash alone, so a client that could choose two keys of one hash would lose one of
//! them; the hash key must therefore never be known outside the process. Must never grow once it was made.

use siphasher::sip128::SipHasher13;

use crate::ids::Offset;

/// Bytes of an entry: the hash and the offset, as in Kafka, so that a buffer holds as many keys.
pub(super) const ENTRY_LEN: usize = 24;
/// Kafka's limit for one thread's buffer.
const MEMORY_MAX: usize = i32::MAX as usize;
/// Probes that jump by the hash before the search goes slot by slot.
const JUMPS: usize = 12;

/// See the module. An offset is stored plus one, so that zeroed memory is empty.
pub struct OffsetMap {
    hasher: SipHasher13,
    slots: Vec<[u64; 3]>,
    entries: usize,
    entries_max: usize,
    latest: Offset,
}

impl std::fmt::Debug for OffsetMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OffsetMap({} of {} keys, up to {})", self.entries, self.entries_max, self.latest)
    }
}

impl OffsetMap {
    /// A map of at most `memory` bytes that is full when the share `load_factor` of it is used; no larger than
    /// `keys` keys need. `seed` keys the hash. At least one key always fits, or cleaning could never advance.
    pub fn new(memory: usize, load_factor: f64, keys: u64, seed: (u64, u64)) -> Self {
        let load_factor = load_factor.clamp(0.01, 1.0);
        let affordable = memory.min(MEMORY_MAX) / ENTRY_LEN;
        let wanted = (keys as f64 / load_factor).ceil() + 1.0;
        let slots = if wanted < affordable as f64 { wanted as usize } else { affordable }.max(2);
        let entries_max = ((slots as f64 * load_factor) as usize).clamp(1, slots - 1);
        Self {
            hasher: SipHasher13::new_with_keys(seed.0, seed.1),
            slots: vec![[0; 3]; slots],
            entries: 0,
            entries_max,
            latest: Offset(-1),
        }
    }

    /// Everything up to this offset is in the map; −1: nothing is.
    pub(super) fn latest(&self) -> Offset {
        self.latest
    }

    pub(super) fn reach(&mut self, offset: Offset) {
        self.latest = offset;
    }

    /// The used share of all slots.
    pub(super) fn utilization(&self) -> f64 {
        self.entries as f64 / self.slots.len() as f64
    }

    /// Notes the key at a later offset than before; false if the map is full. Like Kafka's, a full map takes no known
    /// key either, since that could not be told from a new one by the caller.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        if self.entries >= self.entries_max {
            return false;
        }
        let hash = self.hash(key);
        let slot = self.find(hash);
        if self.slots[slot][2] == 0 {
            self.entries += 1;
        }
        self.slots[slot] = [hash.0, hash.1, offset.0.cast_unsigned() + 1];
        self.latest = offset;
        true
    }

    /// The last offset of the key, if the map has it.
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.find(self.hash(key))];
        (slot[2] != 0).then(|| Offset((slot[2] - 1).cast_signed()))
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        let hash = self.hasher.hash(key);
        (hash.h1, hash.h2)
    }

    /// The slot of a hash, or the empty one where it belongs. One slot is always empty, so the search ends.
    fn find(&self, hash: (u64, u64)) -> usize {
        let count = self.slots.len() as u64;
        let step = hash.1 | 1;
        let at = |jump: usize| spread(hash.0.wrapping_add(step.wrapping_mul(jump as u64)), count);
        let fits = |slot: &[u64; 3]| slot[2] == 0 || (slot[0], slot[1]) == hash;
        for jump in 0..JUMPS {
            let slot = at(jump);
            if fits(&self.slots[slot]) {
                return slot;
            }
        }
        let mut slot = at(JUMPS);
        while !fits(&self.slots[slot]) {
            slot = if slot + 1 == self.slots.len() { 0 } else { slot + 1 };
        }
        slot
    }
}

/// Maps a 64-bit number evenly to 0 until `count`, by multiplication instead of division.
fn spread(number: u64, count: u64) -> usize {
    let high = (u128::from(number) * u128::from(count)) >> 64;
    usize::try_from(high).expect("smaller than the number of slots")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn every_key_has_its_last_offset_up_to_the_load_factor() {
        let mut map = OffsetMap::new(ENTRY_LEN * 1000, 0.9, u64::MAX, (1, 2));
        let mut model = HashMap::new();
        let mut offset = 0i64;
        loop {
            let key = (offset * 7919 % 1100).to_be_bytes();
            if !map.put(&key, Offset(offset)) {
                break;
            }
            model.insert(key, offset);
            assert_eq!(map.latest(), Offset(offset));
            offset += 1;
        }
        assert_eq!(model.len(), 900);
        assert!((map.utilization() - 0.9).abs() < 0.001);
        for n in 0..2000i64 {
            let key = n.to_be_bytes();
            assert_eq!(map.get(&key), model.get(&key).map(|offset| Offset(*offset)), "{n}");
        }
    }

    #[test]
    fn a_map_is_no_larger_than_its_keys_need_and_never_useless() {
        let map = OffsetMap::new(128 << 20, 0.9, 10, (0, 0));
        assert!(map.slots.len() < 20 && map.entries_max >= 10, "{} {}", map.slots.len(), map.entries_max);
        let mut tiny = OffsetMap::new(0, 0.9, 10, (0, 0));
        assert!(tiny.put(b"a", Offset(0)));
        assert!(!tiny.put(b"b", Offset(1)));
        assert_eq!((tiny.get(b"a"), tiny.get(b"b")), (Some(Offset(0)), None));
    }

    #[test]
    fn a_map_may_be_filled_to_its_last_slot_but_one() {
        let mut map = OffsetMap::new(ENTRY_LEN * 64, 1.0, u64::MAX, (3, 4));
        let count = (0..).take_while(|n: &i64| map.put(&n.to_be_bytes(), Offset(*n))).count();
        assert_eq!(count, 63);
        assert!((0..63i64).all(|n| map.get(&n.to_be_bytes()) == Some(Offset(n))));
        assert_eq!(map.get(b"other"), None);
    }
}
