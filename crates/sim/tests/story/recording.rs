//! The recorded requests and answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

/// One file of the story.
pub(crate) struct Recording {
    /// Name of the file.
    pub(crate) file: String,
    /// Its place in the story.
    pub(crate) number: u32,
    pub(crate) request: Request,
    pub(crate) response: Response,
}

#[derive(Deserialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// Whether it bears the administrator's token.
    pub(crate) authorized: bool,
    pub(crate) body: Value,
}

#[derive(Deserialize)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: Value,
    /// The events of a watch, in place of the body.
    pub(crate) lines: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct File {
    request: Request,
    response: Response,
}

/// All files in the order of their numbers, with other words in place of the recorded ones.
pub(crate) fn all(with_words: impl Fn(u32, &str) -> String) -> Result<Vec<Recording>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut recordings = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((number, _)) = file.split_once('-').filter(|_| file.ends_with(".json")) else { continue };
        let number = number.parse().with_context(|| file.clone())?;
        let text = with_words(number, &fs::read_to_string(&path)?);
        let File { request, response } = serde_json::from_str(&text).with_context(|| file.clone())?;
        recordings.push(Recording { file, number, request, response });
    }
    recordings.sort_by_key(|recording| recording.number);
    anyhow::ensure!(!recordings.is_empty(), "there are no recordings in {}", folder.display());
    Ok(recordings)
}
