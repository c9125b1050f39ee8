//! Fields that stand twice in a body. A parsed object no longer shows them: the last one counts.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The fields that are there more than once, as strict validation tells them: `duplicate field "spec.foo"`. A body that
/// is not JSON has none.
pub(crate) fn duplicates(body: &[u8]) -> Vec<String> {
    let (mut path, mut found) = (String::new(), Vec::new());
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Search { path: &mut path, found: &mut found }.deserialize(&mut json);
    if read.is_err() {
        found.clear();
    }
    found
}

struct Search<'a> {
    path: &'a mut String,
    found: &'a mut Vec<String>,
}

impl Search<'_> {
    /// The search below the present path.
    fn below(&mut self) -> Search<'_> {
        Search { path: self.path, found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        let length = self.path.len();
        while let Some(key) = map.next_key::<String>()? {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            if !seen.insert(key) {
                self.found.push(format!("duplicate field \"{}\"", self.path));
            }
            map.next_value_seed(self.below())?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let length = self.path.len();
        for index in 0.. {
            let _ = write!(self.path, "[{index}]");
            let more = items.next_element_seed(self.below())?;
            self.path.truncate(length);
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_told_with_their_place() {
        let body = br#"{"a":1,"b":[{"c":null,"c":"x"},2.5,{"d":{},"d":{"e":-1,"e":true}}],"a":[]}"#;
        let expected = ["b[0].c", "b[2].d", "b[2].d.e", "a"];
        assert_eq!(duplicates(body), expected.map(|path| format!("duplicate field \"{path}\"")));
        assert!(duplicates(br#"{"a":1,"a":"#).is_empty());
        assert!(duplicates(br#"{"a":{"b":1},"c":{"b":1}}"#).is_empty());
    }
}
