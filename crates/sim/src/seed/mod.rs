//! What a simulated cluster holds at first.

mod bootstrap;
mod broken;
pub(crate) mod nodes;
mod pods;
mod roles;
mod shop;
mod sized;
mod workloads;

use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::Api;
use crate::names::ALPHABET;
use crate::object::{self, Object};
use crate::status::ApiError;

/// The first contents of the cluster. The same seed gives the same names every time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Seed {
    /// An online shop on four nodes, with things that go wrong.
    #[default]
    Shop,
    /// Everything that goes wrong in clusters, once each, kept that way by the controllers.
    Broken,
    /// The four namespaces that every cluster has.
    Empty,
    /// Healthy nodes and pods of one kind, for measuring.
    Sized {
        /// How many nodes.
        nodes: usize,
        /// How many pods.
        pods: usize,
    },
}

const MAX_NODES: usize = 10_000;
const MAX_PODS: usize = 500_000;

/// A text is no seed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `shop`, `broken`, `empty` or NODESxPODS such as `100x2000`, with at most {MAX_NODES} nodes and {MAX_PODS} pods"
)]
pub struct ParseSeedError;

impl FromStr for Seed {
    type Err = ParseSeedError;

    fn from_str(text: &str) -> Result<Seed, ParseSeedError> {
        match text {
            "shop" => return Ok(Seed::Shop),
            "broken" => return Ok(Seed::Broken),
            "empty" => return Ok(Seed::Empty),
            _ => {}
        }
        let (nodes, pods) = text.split_once('x').ok_or(ParseSeedError)?;
        let number =
            |text: &str, most| text.parse().ok().filter(|number| *number <= most).ok_or(ParseSeedError);
        Ok(Seed::Sized { nodes: number(nodes, MAX_NODES)?, pods: number(pods, MAX_PODS)? })
    }
}

impl Seed {
    pub(crate) fn plant(self, api: &Api) -> Result<(), ApiError> {
        let garden = Garden { api, now: Timestamp::now() };
        bootstrap::plant(&garden)?;
        match self {
            Seed::Shop => shop::plant(&garden),
            Seed::Broken => broken::plant(&garden),
            Seed::Empty => Ok(()),
            Seed::Sized { nodes, pods } => sized::plant(&garden, nodes, pods),
        }
    }
}

/// Where seeds are planted, and when.
struct Garden<'a> {
    api: &'a Api,
    now: Timestamp,
}

impl Garden<'_> {
    /// Creates an object that is `age_hours` old.
    fn plant(&self, object: Value, age_hours: u32) -> Result<Arc<Object>, ApiError> {
        self.plant_at(object, &self.ago(age_hours))
    }

    /// Creates an object that was created at this time.
    fn plant_at(&self, mut object: Value, time: &str) -> Result<Arc<Object>, ApiError> {
        object["metadata"]["creationTimestamp"] = time.into();
        self.api.restore(object)
    }

    fn ago(&self, hours: u32) -> String {
        self.at(-60 * 60 * i64::from(hours))
    }

    /// The time that is so many seconds from now.
    fn at(&self, seconds: i64) -> String {
        object::time(object::seconds_later(self.now, seconds))
    }
}

/// A suffix as controllers generate it, always the same for the same text.
fn suffix(of: &str, length: usize) -> String {
    (0..length)
        .map(|index| {
            let hash = crc32fast::hash(format!("{of}/{index}").as_bytes()) as usize;
            char::from(ALPHABET[hash % ALPHABET.len()])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_from_text() {
        assert_eq!("shop".parse(), Ok(Seed::Shop));
        assert_eq!("broken".parse(), Ok(Seed::Broken));
        assert_eq!("empty".parse(), Ok(Seed::Empty));
        assert_eq!("3x40".parse(), Ok(Seed::Sized { nodes: 3, pods: 40 }));
        for text in ["", "shops", "3x", "x3", "-1x3", "3x4x5", "10001x1", "1x500001"] {
            assert_eq!(text.parse::<Seed>(), Err(ParseSeedError), "{text}");
        }
    }
}
