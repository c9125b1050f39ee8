//! The recorded story of a real API server (`tests/transcripts`), told again to the simulated one, or to another real
//! one: the same requests in the same order, and between them what happened between the recordings. Every answer must be
//! as recorded but for what differs from run to run.

mod cast;
mod compare;
mod narrator;
mod recording;
mod scenes;

use anyhow::{Result, bail};

use self::narrator::Narrator;

#[tokio::test]
async fn every_recorded_answer_is_given_again() -> Result<()> {
    let mut narrator = Narrator::start().await?;
    let mut different = Vec::new();
    let recordings = recording::all(|number, text| narrator.cast.rename(number, text))?;
    for recording in &recordings {
        if let Err(error) = scenes::before(&mut narrator, recording.number, &recordings).await {
            different.push(format!("before {}: {error:#}", recording.file));
        }
        if narrator.cluster.sim().is_none()
            && let Some(why) = scenes::simulated_only(recording.number)
        {
            eprintln!("skipped on a real cluster: {}, because {why}", recording.file);
            continue;
        }
        if let Err(differences) = narrator.tell(recording).await {
            different.push(format!("{}:\n{differences:#}", recording.file));
        }
    }
    if different.is_empty() {
        return Ok(());
    }
    bail!("{} of {} recorded answers differ\n\n{}", different.len(), recordings.len(), different.join("\n"));
}
