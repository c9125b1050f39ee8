//! What a controller has yet to look at, and when.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::kinds::Kind;
use crate::object;

/// Which object.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) kind: &'static Kind,
    /// Empty for kinds that have none.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Objects to look at; each stands in it once, at the earliest time that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    due: HashMap<Key, Timestamp>,
    order: BTreeSet<(Timestamp, Key)>,
    /// How often the last looks at an object have failed.
    failures: HashMap<Key, u32>,
}

/// `DefaultTypedControllerRateLimiter` of `client-go/util/workqueue` waits 5 ms after a first failure and twice as long
/// after each further one; what does not get better is looked at once a minute here.
const FIRST_RETRY: SignedDuration = SignedDuration::from_millis(5);
const LAST_RETRY: SignedDuration = SignedDuration::from_mins(1);

impl Key {
    pub(crate) fn new(kind: &'static Kind, namespace: &str, name: &str) -> Key {
        Key { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object.
    pub(crate) fn of(kind: &'static Kind, object: &Value) -> Key {
        Key::new(kind, object::namespace(object), object::name(object))
    }

    fn parts(&self) -> (&str, &str, &str) {
        (self.kind.plural, &self.namespace, &self.name)
    }
}

impl Queue {
    /// Asks for a look at once.
    pub(crate) fn add(&mut self, key: Key) {
        self.add_at(key, Timestamp::MIN);
    }

    /// Asks for a look at a time, or earlier if that was asked for before.
    pub(crate) fn add_at(&mut self, key: Key, at: Timestamp) {
        match self.due.get(&key) {
            Some(due) if *due <= at => return,
            Some(due) => drop(self.order.remove(&(*due, key.clone()))),
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    /// Asks for another look after one that has failed, later each time.
    pub(crate) fn retry(&mut self, key: Key, now: Timestamp) {
        let failures = self.failures.entry(key.clone()).or_default();
        let delay = FIRST_RETRY.checked_mul(1 << (*failures).min(16)).unwrap_or(LAST_RETRY).min(LAST_RETRY);
        *failures = failures.saturating_add(1);
        self.add_at(key, now.saturating_add(delay).unwrap_or(now));
    }

    /// The look at an object has not failed.
    pub(crate) fn forget_failures(&mut self, key: &Key) {
        self.failures.remove(key);
    }

    /// The next object that is due, which is no longer in the queue then.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<Key> {
        if self.order.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.due.remove(&key);
        Some(key)
    }

    /// When the next object is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> std::cmp::Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::PODS;

    #[test]
    fn what_fails_again_waits_longer() {
        let now = Timestamp::from_second(1000).unwrap();
        let key = Key::new(PODS, "x", "a");
        let mut queue = Queue::default();
        let mut delays = Vec::new();
        for _ in 0..20 {
            queue.retry(key.clone(), now);
            let due = queue.next_due().unwrap();
            delays.push(due.duration_since(now).as_millis());
            assert_eq!(queue.pop(due), Some(key.clone()));
        }
        assert_eq!((delays[0], delays[1], delays[19]), (5, 10, 60_000));
        queue.forget_failures(&key);
        queue.retry(key, now);
        assert_eq!(queue.next_due().unwrap().duration_since(now).as_millis(), 5);
    }

    #[test]
    fn the_earliest_time_counts_and_each_object_comes_once() {
        let (soon, later) = (Timestamp::from_second(10).unwrap(), Timestamp::from_second(20).unwrap());
        let (a, b) = (Key::new(PODS, "x", "a"), Key::new(PODS, "x", "b"));
        let mut queue = Queue::default();
        queue.add_at(a.clone(), later);
        queue.add_at(b.clone(), later);
        queue.add_at(a.clone(), soon);
        queue.add_at(a.clone(), later);
        assert_eq!(queue.next_due(), Some(soon));
        assert_eq!(queue.pop(soon), Some(a));
        assert_eq!(queue.pop(soon), None);
        assert_eq!(queue.pop(later), Some(b));
        assert_eq!(queue.next_due(), None);
    }
}
