//! Which field of a type has which number.

use std::collections::HashMap;
use std::sync::LazyLock;

const TEXT: &str = include_str!("numbers.txt");

/// The fields of a message by number.
pub(super) type Message = HashMap<u32, Entry>;

/// What a number stands for.
#[derive(Debug)]
pub(super) enum Entry {
    /// The field of this name in JSON.
    Field(&'static str),
    /// An embedded struct, whose fields stand beside the others in JSON.
    Embedded(Message),
}

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let mut messages: HashMap<&str, Message> = HashMap::new();
    let mut name = "";
    for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.trim_start().split_once(' ') {
            None => name = line,
            Some((path, field)) => {
                let path: Vec<u32> = path.split('.').filter_map(|number| number.parse().ok()).collect();
                insert(messages.entry(name).or_default(), &path, field);
            }
        }
    }
    messages
});

fn insert(message: &mut Message, path: &[u32], field: &'static str) {
    match path {
        [] => {}
        [number] => drop(message.insert(*number, Entry::Field(field))),
        [number, rest @ ..] => {
            let embedded = message.entry(*number).or_insert_with(|| Entry::Embedded(Message::new()));
            if let Entry::Embedded(embedded) = embedded {
                insert(embedded, rest, field);
            }
        }
    }
}

/// The numbers of the type with this full name.
pub(super) fn of(type_name: &str) -> Option<&'static Message> {
    MESSAGES.get(type_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Root, Type};

    fn check(ty: &Type, seen: &mut Vec<&'static str>) {
        if seen.contains(&ty.name) {
            return;
        }
        seen.push(ty.name);
        let message = of(ty.name).unwrap_or_else(|| panic!("{} has no numbers", ty.name));
        let mut names = Vec::new();
        collect(message, &mut names);
        for name in names {
            assert!(ty.fields.contains_key(name), "{} has no {name}", ty.name);
        }
        for field in ty.fields.values() {
            if let Some(object) = field.shape.object() {
                check(object, seen);
            }
        }
    }

    fn collect(message: &Message, names: &mut Vec<&'static str>) {
        for entry in message.values() {
            match entry {
                Entry::Field(name) => names.push(name),
                Entry::Embedded(message) => collect(message, names),
            }
        }
    }

    /// Types that are younger than the list of numbers; what they say is dropped, as protobuf drops what it does not know.
    const YOUNGER: &[&str] = &[
        "io.k8s.api.core.v1.ImageVolumeStatus",
        "io.k8s.api.core.v1.NodeAllocatableResourceClaimStatus",
        "io.k8s.api.core.v1.PodSchedulingGroup",
        "io.k8s.api.core.v1.VolumeStatus",
    ];

    #[test]
    fn every_type_has_numbers_of_fields_that_it_has() {
        let mut seen = YOUNGER.to_vec();
        for root in Root::all() {
            check(root.ty, &mut seen);
        }
        assert!(seen.len() > 300);
    }
}
