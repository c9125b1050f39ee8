//! Reads what an earlier process has left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::StateError;
use super::line::{HEADER, Read};
use crate::kinds::{self, Kind};
use crate::object;

/// A cluster as it was left.
#[derive(Default)]
pub(crate) struct Found {
    path: PathBuf,
    /// By the plural names of their kinds and their keys.
    pub(crate) objects: BTreeMap<(&'static str, String), Value>,
    pub(crate) revision: u64,
    pub(super) kept: BTreeMap<String, Box<RawValue>>,
}

impl Found {
    /// What a file in a directory holds, if there is one.
    pub(super) fn read(directory: &Path, file: &str) -> Result<Option<Found>, StateError> {
        let path = directory.join(file);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Unusable { path, source }),
        };
        match parse(&bytes) {
            Ok(found) => Ok(Some(Found { path, ..found })),
            Err(why) => Err(unreadable(path, why)),
        }
    }

    /// Whether something was kept under a name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.kept.contains_key(name)
    }

    /// What was kept under a name.
    ///
    /// # Errors
    /// [`StateError::Unreadable`] when it is nothing that this version knows.
    pub(crate) fn kept<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(value) = self.kept.get(name) else { return Ok(None) };
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|error| unreadable(self.path.clone(), format!("its part `{name}`: {error}")))
    }
}

fn unreadable(path: PathBuf, why: String) -> StateError {
    let directory = path.parent().unwrap_or(&path).to_owned();
    StateError::Unreadable { path, directory, why }
}

fn parse(bytes: &[u8]) -> Result<Found, String> {
    // What follows the last whole line was being written when the process died, and nobody was answered.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let text = str::from_utf8(&bytes[..whole]).map_err(|_| "it is damaged: it is no text".to_owned())?;
    let Some(lines) = text.strip_prefix(HEADER) else {
        let first = text.lines().next().unwrap_or_default();
        return Err(match first.strip_prefix("kubesage simulated cluster, format ") {
            Some(format) => format!("another version of kubesage has written it, in format {format}"),
            None => "it is damaged: its first line is another".to_owned(),
        });
    };
    let mut found = Found::default();
    let mut is_whole = false;
    for (index, line) in lines.lines().enumerate() {
        let said = Read::decode(line).and_then(|said| found.take(said, &mut is_whole));
        // The header is the first line, and people count from one.
        said.map_err(|why| format!("it is damaged in line {}: {why}", index + 2))?;
    }
    if is_whole { Ok(found) } else { Err("it is damaged: its end is missing".to_owned()) }
}

impl Found {
    /// Does what a line says. `is_whole`: whether all is known that was there when the file was new.
    fn take(&mut self, said: Read, is_whole: &mut bool) -> Result<(), String> {
        match said {
            Read::Put(object) => {
                let kind = kinds::of(&object).ok_or("there is no such kind of objects")?;
                if *is_whole {
                    let version = object["metadata"]["resourceVersion"].as_str();
                    self.follow(version.and_then(|version| version.parse().ok()).unwrap_or_default())?;
                }
                self.objects.insert(place(kind, &object), object);
            }
            Read::Removed { plural, key, revision } => {
                let kind = kinds::by_plural(&plural).ok_or("there is no such kind of objects")?;
                self.follow(revision)?;
                self.objects.remove(&(kind.plural, key)).ok_or("what it removes is not there")?;
            }
            Read::Kept { name, value } => drop(self.kept.insert(name, value)),
            Read::Revision(revision) => {
                self.revision = revision;
                *is_whole = true;
            }
        }
        Ok(())
    }

    /// No change may be missing.
    fn follow(&mut self, revision: u64) -> Result<(), String> {
        if revision != self.revision + 1 {
            return Err(format!("the change {revision} follows {}", self.revision));
        }
        self.revision = revision;
        Ok(())
    }
}

fn place(kind: &'static Kind, object: &Value) -> (&'static str, String) {
    (kind.plural, object::key(kind, object::namespace(object), object::name(object)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::line::Line;
    use super::*;
    use crate::object::Object;

    fn object(name: &str, revision: u64) -> Object {
        let metadata = json!({ "name": name, "resourceVersion": revision.to_string() });
        Object::new(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }))
    }

    fn file(lines: &[Line<'_>]) -> Vec<u8> {
        let mut bytes = HEADER.as_bytes().to_vec();
        lines.iter().for_each(|line| bytes.extend(line.encode()));
        bytes
    }

    fn why(bytes: &[u8]) -> String {
        parse(bytes).err().unwrap_or_else(|| "it is read".to_owned())
    }

    #[test]
    fn changes_follow_what_was_there() {
        let (a, b) = (object("a", 7), object("b", 13));
        let removal = Line::Removed { plural: "namespaces", key: "a", revision: 14 };
        let good = file(&[Line::Put(&a), Line::Revision(12), Line::Put(&b), removal]);
        let found = parse(&good).unwrap();
        assert_eq!(found.revision, 14);
        assert_eq!(found.objects.into_values().collect::<Vec<_>>(), [Value::clone(&b)]);

        // Wherever the writing ended after what was there at first, all that was whole is read.
        let first = file(&[Line::Put(&a), Line::Revision(12)]).len();
        for end in first..good.len() {
            assert!(parse(&good[..end]).is_ok(), "{end}");
        }
        for end in HEADER.len()..first {
            assert_eq!(why(&good[..end]), "it is damaged: its end is missing");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let (a, b) = (object("a", 13), object("b", 14));
        let good = file(&[Line::Revision(12), Line::Put(&a), Line::Put(&b)]);
        for index in HEADER.len()..good.len() - 1 {
            let mut flipped = good.clone();
            flipped[index] ^= 1;
            assert!(why(&flipped).contains("damaged"), "{index}");
        }
        let missing = file(&[Line::Revision(12), Line::Put(&b)]);
        assert_eq!(why(&missing), "it is damaged in line 3: the change 14 follows 12");
        let newer = String::from_utf8(good).unwrap().replace("format 1", "format 2");
        assert_eq!(why(newer.as_bytes()), "another version of kubesage has written it, in format 2");
        for text in ["", "{}\n", "\u{0}\u{0}\n"] {
            assert_eq!(why(text.as_bytes()), "it is damaged: its first line is another");
        }
    }
}
