//! The addresses of pods: `10.1.0.1` and on.

use std::collections::HashSet;
use std::net::Ipv4Addr;

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const LAST: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 254);

/// Which addresses are given out; no two pods have the same.
#[derive(Debug)]
pub(super) struct Addresses {
    used: HashSet<Ipv4Addr>,
    next: Ipv4Addr,
}

impl Default for Addresses {
    fn default() -> Addresses {
        Addresses { used: HashSet::new(), next: FIRST }
    }
}

impl Addresses {
    /// An address that nobody has. Those given back come again after all others.
    pub(super) fn take(&mut self) -> String {
        // There are more addresses than a cluster's memory holds pods: one is free.
        loop {
            let address = self.next;
            self.next = if address == LAST { FIRST } else { Ipv4Addr::from(u32::from(address) + 1) };
            if self.used.insert(address) {
                return address.to_string();
            }
        }
    }

    /// Notes an address that a pod has already.
    pub(super) fn reserve(&mut self, address: &str) {
        self.used.extend(address.parse::<Ipv4Addr>());
    }

    pub(super) fn give_back(&mut self, address: &str) {
        if let Ok(address) = address.parse() {
            self.used.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_given_twice() {
        let mut addresses = Addresses::default();
        addresses.reserve("10.1.0.2");
        assert_eq!(addresses.take(), "10.1.0.1");
        assert_eq!(addresses.take(), "10.1.0.3");
        addresses.give_back("10.1.0.1");
        assert_eq!(addresses.take(), "10.1.0.4");
    }

    #[test]
    fn the_range_begins_again() {
        let mut addresses = Addresses { used: HashSet::from([FIRST]), next: LAST };
        assert_eq!(addresses.take(), "10.255.255.254");
        assert_eq!(addresses.take(), "10.1.0.2");
    }
}
