//! Numbers of different values, in the order in which they are found.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

/// Slot without a number.
const EMPTY: u32 = u32::MAX;

/// Set of values that are numbered from 0. Each value is stored once: the table of the set holds
/// numbers only, because millions of states would not fit into memory twice.
#[derive(Debug)]
pub(crate) struct Numbering<T> {
    values: Vec<T>,
    /// Hash table of numbers, with linear probing. Its length is a power of 2.
    slots: Vec<u32>,
    hasher: RandomState,
}

impl<T: Eq + Hash> Numbering<T> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), slots: vec![EMPTY; 1024], hasher: RandomState::new() }
    }

    /// Values by number.
    pub(crate) fn values(&self) -> &[T] {
        &self.values
    }

    /// Number of a value, and whether the value is new.
    ///
    /// # Panics
    /// At 2^32 - 1 values.
    pub(crate) fn number(&mut self, value: T) -> (u32, bool) {
        let slot = self.slot(&value);
        if self.slots[slot] != EMPTY {
            return (self.slots[slot], false);
        }
        let number = u32::try_from(self.values.len()).expect("values are fewer than 2^32");
        assert!(number != EMPTY, "values are fewer than 2^32 - 1");
        self.slots[slot] = number;
        self.values.push(value);
        if self.values.len() * 2 > self.slots.len() {
            self.grow();
        }
        (number, true)
    }

    /// Slot of a value, or the empty slot in which to store its number.
    fn slot(&self, value: &T) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(value) as usize & mask;
        while self.slots[slot] != EMPTY && self.values[self.slots[slot] as usize] != *value {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![EMPTY; self.slots.len() * 2];
        for number in 0..self.values.len() {
            let slot = self.slot(&self.values[number]);
            self.slots[slot] = number as u32;
        }
    }
}
