//! Uses of API keys that are being recorded.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

/// Keys whose use this process is recording.
#[derive(Debug, Default)]
pub struct KeyUses {
    keys: Mutex<HashSet<Uuid>>,
}

/// Turn to record the use of a key. Others of the key are refused until it is dropped.
#[derive(Debug)]
pub struct KeyUseTurn {
    uses: Arc<KeyUses>,
    key: Uuid,
}

impl KeyUses {
    /// Begin to record the use of a key. Return `None` if one is being recorded.
    pub fn begin(self: &Arc<Self>, key: Uuid) -> Option<KeyUseTurn> {
        let is_first = self.keys.lock().insert(key);
        is_first.then(|| KeyUseTurn { uses: Arc::clone(self), key })
    }
}

impl Drop for KeyUseTurn {
    fn drop(&mut self) {
        self.uses.keys.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_use_of_a_key_is_recorded_at_a_time() {
        let uses = Arc::new(KeyUses::default());
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let turn = uses.begin(one).expect("none is being recorded");
        assert!(uses.begin(one).is_none());
        assert!(uses.begin(other).is_some());
        drop(turn);
        assert!(uses.begin(one).is_some());
        assert_eq!(uses.keys.lock().len(), 0, "{uses:?}");
    }
}
