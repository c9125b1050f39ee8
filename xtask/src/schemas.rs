//! `cargo xtask schemas`: `proto-schemas/`, written from the code that speaks the messages.

mod asyncapi;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use contracts::catalog;
use serde_json::Value;

use crate::workspace;

/// What one run writes: file names and contents.
type Documents = BTreeMap<String, String>;

/// Where the documents are kept, checked in.
pub(crate) fn directory() -> PathBuf {
    workspace().join("proto-schemas")
}

/// Makes the directory hold what the code says: writes what is new or changed, removes what is no longer said.
///
/// # Errors
/// When a file cannot be read, written or removed.
pub(crate) fn write(directory: &Path) -> anyhow::Result<()> {
    let documents = documents()?;
    fs::create_dir_all(directory)?;
    for difference in differences(directory, &documents)? {
        println!("{difference}");
        let path = directory.join(&difference.file);
        match documents.get(&difference.file) {
            Some(content) => fs::write(&path, content),
            None => fs::remove_file(&path),
        }
        .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Checks that the directory holds what the code says.
///
/// # Errors
/// Lists the files that differ, and says how to bring them up to date.
pub(crate) fn check(directory: &Path) -> anyhow::Result<()> {
    let differences = differences(directory, &documents()?)?;
    if differences.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = differences.iter().map(ToString::to_string).collect();
    bail!(
        "{} is not what the code says; run `cargo xtask schemas`:\n  {}",
        directory.display(),
        list.join("\n  ")
    )
}

/// A file that is not as it should be.
struct Difference {
    file: String,
    what: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// Every document, of every kind.
fn documents() -> anyhow::Result<Documents> {
    let mut documents = json_schemas()?;
    documents.insert("asyncapi.json".to_owned(), text(asyncapi::document()?)?);
    Ok(documents)
}

/// A JSON Schema for each message.
fn json_schemas() -> anyhow::Result<Documents> {
    catalog::messages()
        .into_iter()
        .map(|message| Ok((schema_file(message.name), text(message.schema.into())?)))
        .collect()
}

/// The file of a message's schema.
fn schema_file(message: &str) -> String {
    format!("{message}.schema.json")
}

/// Indented, ending in a newline, and with sorted keys whatever order `serde_json` keeps: its features depend on what else
/// is built.
fn text(mut value: Value) -> anyhow::Result<String> {
    value.sort_all_objects();
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// What differs between the directory and the documents, by name. Files that are not JSON are not ours.
fn differences(directory: &Path, documents: &Documents) -> anyhow::Result<Vec<Difference>> {
    let present = json_files(directory).with_context(|| directory.display().to_string())?;
    let mut differences = Vec::new();
    for (file, content) in documents {
        let what = match present.get(file) {
            Some(found) if found == content.as_bytes() => continue,
            Some(_) => "changed",
            None => "new",
        };
        let file = file.clone();
        differences.push(Difference { file, what });
    }
    for file in present.into_keys().filter(|file| !documents.contains_key(file)) {
        let what = "no longer there";
        differences.push(Difference { file, what });
    }
    Ok(differences)
}

/// The JSON files of a directory; none if there is no directory.
fn json_files(directory: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|ending| ending == "json") {
            files.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_passes_the_check() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let schemas = directory.path().join("new");
        write(&schemas)?;
        check(&schemas)?;
        for message in catalog::messages() {
            assert!(schemas.join(schema_file(message.name)).is_file(), "{}", message.name);
        }
        Ok(())
    }

    #[test]
    fn the_check_names_what_changed_what_is_missing_and_what_is_too_many() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        write(directory.path())?;
        let file = |name: &str| directory.path().join(name);
        fs::write(file("auth-request.schema.json"), "{}\n")?;
        fs::remove_file(file("asyncapi.json"))?;
        fs::write(file("old-message.schema.json"), "{}\n")?;
        fs::write(file("README.md"), "not ours")?;

        let error = check(directory.path()).expect_err("three files differ").to_string();
        let lines: Vec<&str> = error.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "asyncapi.json: new",
                "auth-request.schema.json: changed",
                "old-message.schema.json: no longer there",
            ]
        );

        write(directory.path())?;
        check(directory.path())?;
        assert!(!file("old-message.schema.json").exists());
        assert!(file("README.md").exists());
        Ok(())
    }

    #[test]
    fn keys_are_sorted_and_the_file_ends_with_a_newline() -> anyhow::Result<()> {
        let value = serde_json::from_str(r#"{"b":[{"d":1,"c":2}],"a":0}"#)?;
        let text = text(value)?;
        let places: Vec<_> = ["\"a\"", "\"b\"", "\"c\"", "\"d\""].map(|key| text.find(key)).into();
        assert!(places.is_sorted() && places[0].is_some());
        assert!(text.ends_with("}\n"));
        Ok(())
    }
}
