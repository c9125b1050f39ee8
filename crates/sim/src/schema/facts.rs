//! What the JSON schemas do not tell of Kubernetes' types, and what follows from it.

use std::collections::HashMap;

use super::{Merge, Shape, Topology, Zero};

const TEXT: &str = include_str!("facts.txt");

/// All facts by type.
pub(super) struct Facts(HashMap<&'static str, TypeFacts>);

/// What is told of one type.
#[derive(Default)]
pub(super) struct TypeFacts {
    pub(super) atomic: bool,
    fields: HashMap<&'static str, Vec<&'static str>>,
}

/// What holds for one field.
pub(super) struct FieldFacts {
    pub(super) zero: Zero,
    pub(super) go_type: Option<&'static str>,
    pub(super) merge: Merge,
    pub(super) retain_keys: bool,
    pub(super) topology: Topology,
}

impl Facts {
    pub(super) fn read() -> Facts {
        let mut types: HashMap<&'static str, TypeFacts> = HashMap::new();
        let mut current = "";
        for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            if line.starts_with(' ') {
                types.entry(current).or_default().fields.insert(name, words.collect());
            } else {
                current = name;
                types.entry(name).or_default().atomic = words.any(|word| word == "atomic");
            }
        }
        Facts(types)
    }

    pub(super) fn of(&self, ty: &str) -> Option<&TypeFacts> {
        self.0.get(ty)
    }
}

impl FieldFacts {
    /// Where nothing is told: lists, maps and strings are values with `omitempty`, all else is a pointer; a list is
    /// atomic and a map is not.
    pub(super) fn of(ty: Option<&TypeFacts>, name: &str, shape: &Shape, required: bool) -> FieldFacts {
        let zero = match shape {
            _ if required => Zero::Written,
            Shape::String | Shape::Bytes | Shape::List(_) | Shape::Map(_) | Shape::Any => Zero::Dropped,
            _ => Zero::Kept,
        };
        let topology = match shape {
            Shape::Object(_) | Shape::Map(_) => Topology::Granular,
            _ => Topology::Atomic,
        };
        let mut facts =
            FieldFacts { zero, go_type: None, merge: Merge::Default, retain_keys: false, topology };
        for word in ty.and_then(|ty| ty.fields.get(name)).into_iter().flatten() {
            facts.learn(word);
        }
        facts
    }

    fn learn(&mut self, word: &'static str) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("written", _) => self.zero = Zero::Written,
            ("dropped", _) => self.zero = Zero::Dropped,
            ("kept", _) => self.zero = Zero::Kept,
            ("null", _) => self.zero = Zero::Null,
            ("go", name) => self.go_type = Some(name),
            ("merge", "") => self.merge = Merge::Set,
            ("merge", key) => self.merge = Merge::ByKey(key),
            ("replace", _) => self.merge = Merge::Replace,
            ("retainKeys", _) => self.retain_keys = true,
            ("set", _) => self.topology = Topology::Set,
            ("keys", keys) => self.topology = Topology::ByKeys(keys.split(',').collect()),
            ("atomic", _) => self.topology = Topology::Atomic,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Type;

    #[test]
    fn facts_are_about_fields_that_exist() {
        for (name, facts) in Facts::read().0 {
            let ty = Type::named(name).unwrap_or_else(|| panic!("{name}"));
            for (field, words) in facts.fields {
                assert!(ty.fields.contains_key(field), "{name}.{field}");
                let all =
                    ["written", "dropped", "kept", "null", "retainKeys", "replace", "merge", "set", "atomic"];
                let known = |word: &str| {
                    all.contains(&word)
                        || ["go=", "merge=", "keys="].iter().any(|start| word.starts_with(start))
                };
                assert!(words.iter().all(|word| known(word)), "{name}.{field}: {words:?}");
            }
        }
    }
}
