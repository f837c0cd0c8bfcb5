//! A sorted map that shares what did not change: cloning copies one pointer, an update one chunk and the spine.
//!
//! Must never grow features of a general collection; it exists so that an image of 10,000 topics changes in
//! microseconds and iterates in name order.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Entries per chunk: with 10,000 entries an update copies about 64 entries and 300 spine pointers.
const CHUNK: usize = 64;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// Sorted, persistent, never holds an empty chunk.
pub struct Ordered<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K: Ord + Clone, V: Clone> Ordered<K, V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether this is the other map, or a copy of it that nothing was changed in.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks)
    }

    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(key)?)?;
        let at = chunk.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
        Some(&chunk[at].1)
    }

    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(k, v)| (k, v))
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, v)| v)
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(k, _)| k)
    }

    /// Entries whose key is `from` or greater.
    pub fn iter_from<Q: Ord + ?Sized>(&self, from: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let first = self.chunk_of(from).unwrap_or(0);
        let skip = self.chunks.get(first).map_or(0, |c| c.partition_point(|(k, _)| k.borrow() < from));
        self.chunks[first..].iter().flat_map(|chunk| chunk.iter()).skip(skip).map(|(k, v)| (k, v))
    }

    /// Puts a value in place; returns the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(at) = chunk_of(chunks, &key) else {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        };
        let chunk = Arc::make_mut(&mut chunks[at]);
        match chunk.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(i) => Some(std::mem::replace(&mut chunk[i].1, value)),
            Err(i) => {
                chunk.insert(i, (key, value));
                if chunk.len() > 2 * CHUNK {
                    let tail = chunk.split_off(CHUNK);
                    chunks.insert(at + 1, Arc::new(tail));
                }
                self.len += 1;
                None
            }
        }
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key)?;
        let i = self.chunks[at].binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[at]);
        let (_, value) = chunk.remove(i);
        if chunk.is_empty() {
            chunks.remove(at);
        }
        self.len -= 1;
        Some(value)
    }

    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        chunk_of(&self.chunks, key)
    }
}

/// The chunk that holds `key` or would; `None` only when there is no chunk.
fn chunk_of<K: Borrow<Q>, V, Q: Ord + ?Sized>(chunks: &[Chunk<K, V>], key: &Q) -> Option<usize> {
    let after = chunks.partition_point(|chunk| chunk.first().is_some_and(|(k, _)| k.borrow() <= key));
    (!chunks.is_empty()).then(|| after.saturating_sub(1))
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<K, V> Clone for Ordered<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K: Ord + Clone + PartialEq, V: Clone + PartialEq> PartialEq for Ordered<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: fmt::Debug + Ord + Clone, V: fmt::Debug + Clone> fmt::Debug for Ordered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Ordered<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_btree_map_and_older_clones_stay_as_they_were(
            steps in proptest::collection::vec((any::<u8>().prop_map(u16::from), any::<bool>()), 0..2000)
        ) {
            let (mut ours, mut theirs) = (Ordered::default(), BTreeMap::new());
            let mut kept = Vec::new();
            for (i, (key, insert)) in steps.into_iter().enumerate() {
                let key = key * 7 % 509;
                if insert {
                    prop_assert_eq!(ours.insert(key, i), theirs.insert(key, i));
                } else {
                    prop_assert_eq!(ours.remove(&key), theirs.remove(&key));
                }
                if i % 97 == 0 {
                    kept.push((ours.clone(), theirs.clone()));
                }
            }
            kept.push((ours, theirs));
            for (ours, theirs) in kept {
                prop_assert_eq!(ours.len(), theirs.len());
                prop_assert!(ours.iter().eq(theirs.iter()));
                for from in [0u16, 1, 130, 250, 508, 600] {
                    prop_assert!(ours.iter_from(&from).eq(theirs.range(from..)));
                    prop_assert_eq!(ours.get(&from), theirs.get(&from));
                }
            }
        }
    }
}
