//! KV memory in blocks, with a cache of blocks that begin alike.
//!
//! A block is *free*, *private* to one sequence, or *shared* under the hash of everything up to
//! its end. A shared block that no sequence uses is idle: it can be found again until its memory
//! is needed, the longest idle first to go.
//!
//! Unlike vLLM, a sequence that fills a block of a hash that is already there drops its own copy,
//! and free blocks are taken before idle ones; both hold slightly more in the same memory.

use std::collections::BTreeMap;

/// The blocks of one replica.
///
/// # Invariants
///
/// - `private + shared.len() ≤ total`.
/// - `idle` holds exactly the shared blocks without users, by the order of their last use.
#[derive(Clone, Debug)]
pub(super) struct KvPool {
    total: u32,
    private: u32,
    shared: BTreeMap<u64, Shared>,
    idle: BTreeMap<u64, u64>,
    clock: u64,
}

/// Where a block stands that has never been idle; the clock starts after it.
const NEVER: u64 = 0;

#[derive(Clone, Copy, Debug)]
struct Shared {
    users: u32,
    idle_since: u64,
}

impl KvPool {
    pub(super) fn new(total: u32) -> Self {
        Self { total, private: 0, shared: BTreeMap::new(), idle: BTreeMap::new(), clock: 0 }
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Blocks that some sequence uses.
    pub(super) fn used(&self) -> u32 {
        self.private + (self.shared.len() - self.idle.len()) as u32
    }

    /// Makes `count` blocks private to the caller, or says that there are not so many.
    #[must_use]
    pub(super) fn take(&mut self, count: u32) -> bool {
        let free = self.total - self.private - self.shared.len() as u32;
        if count > free + self.idle.len() as u32 {
            return false;
        }
        for _ in free..count {
            let (_, hash) = self.idle.pop_first().expect("free and idle blocks suffice");
            let _ = self.shared.remove(&hash);
        }
        self.private += count;
        true
    }

    /// Returns how many of these blocks, from the first on, are there.
    pub(super) fn found(&self, hashes: &[u64]) -> u32 {
        hashes.iter().take_while(|hash| self.shared.contains_key(hash)).count() as u32
    }

    /// Returns whether `count` private blocks could be taken while the shared blocks `kept` are
    /// in use.
    pub(super) fn could_take(&self, count: u32, kept: &[u64]) -> bool {
        let idle_kept = kept.iter().filter(|hash| self.is_idle(**hash)).count() as u32;
        self.used() + idle_kept + count <= self.total
    }

    fn is_idle(&self, hash: u64) -> bool {
        self.shared.get(&hash).is_some_and(|block| block.users == 0)
    }

    /// Starts using blocks that [`KvPool::found`] reported.
    pub(super) fn acquire(&mut self, hashes: &[u64]) {
        for hash in hashes {
            let block = self.shared.get_mut(hash).expect("the block was found");
            if block.users == 0 {
                let _ = self.idle.remove(&block.idle_since);
            }
            block.users += 1;
        }
    }

    /// Turns one private block of the caller into a shared one that it goes on using.
    pub(super) fn publish(&mut self, hash: u64) {
        self.private -= 1;
        let block = self.shared.entry(hash).or_insert(Shared { users: 0, idle_since: NEVER });
        if block.users == 0 {
            let _ = self.idle.remove(&block.idle_since);
        }
        block.users += 1;
    }

    /// Gives back a sequence's blocks. Its last blocks go idle first, so that the beginnings,
    /// which more requests share, stay longest.
    pub(super) fn release(&mut self, shared: &[u64], private: u32) {
        self.private -= private;
        for hash in shared.iter().rev() {
            let block = self.shared.get_mut(hash).expect("a block in use is there");
            block.users -= 1;
            if block.users == 0 {
                self.clock += 1;
                block.idle_since = self.clock;
                let _ = self.idle.insert(self.clock, *hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_until_their_memory_is_needed() {
        let mut pool = KvPool::new(4);
        assert!(pool.take(3));
        for hash in [1, 2, 3] {
            pool.publish(hash);
        }
        pool.release(&[1, 2, 3], 0);
        assert_eq!((pool.used(), pool.found(&[1, 2, 3])), (0, 3));
        assert!(pool.take(2));
        assert_eq!(pool.found(&[1, 2, 3]), 2, "the last block went first");
        assert!(!pool.take(3));
        assert!(pool.take(2));
        assert_eq!(pool.found(&[1]), 0);
    }

    #[test]
    fn a_block_in_use_is_never_evicted() {
        let mut pool = KvPool::new(2);
        assert!(pool.take(1));
        pool.publish(7);
        pool.release(&[7], 0);
        pool.acquire(&[7]);
        assert!(!pool.take(2));
        assert!(pool.take(1));
        assert!(!pool.take(1));
        assert_eq!(pool.found(&[7]), 1);
    }

    #[test]
    fn an_idle_block_that_is_wanted_does_not_count_as_room() {
        let mut pool = KvPool::new(2);
        assert!(pool.take(1));
        pool.publish(7);
        pool.release(&[7], 0);
        assert!(pool.could_take(2, &[]));
        assert!(pool.could_take(1, &[7]));
        assert!(!pool.could_take(2, &[7]));
    }
}
