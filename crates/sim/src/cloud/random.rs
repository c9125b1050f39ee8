//! Numbers that look random and follow from a seed.

use cloud::InstanceId;
use serde::{Deserialize, Serialize};

/// A generator of numbers (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// An id as EC2 gives them.
    pub(super) fn instance_id(&mut self) -> InstanceId {
        format!("i-0{:016x}", self.next()).parse().expect("17 hexadecimal digits are an id")
    }
}

/// A number that follows from a seed, a text and a number.
pub(super) fn hash(seed: u64, text: &str, number: i64) -> u64 {
    text.bytes().fold(mix(seed ^ mix(number.cast_unsigned())), |hash, byte| mix(hash ^ u64::from(byte)))
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
