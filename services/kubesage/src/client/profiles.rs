//! `kubesage profiles`.

use contracts::{Token, TokenKind};
use secrecy::ExposeSecret;

use super::{
    ClientError,
    args::{Format, ProfilesCommand},
    input,
    output::{self, Output},
    profile::{Profile, Profiles},
};

pub(crate) fn run(command: ProfilesCommand) -> Result<(), ClientError> {
    let path = Profiles::path()?;
    let mut profiles = Profiles::load(&path)?;
    match command {
        ProfilesCommand::List => return list(&profiles),
        ProfilesCommand::Set { name, url, onboarding_url } => {
            let profile = Profile { url, onboarding_url, api_key: read_key()?.secret().clone() };
            profiles.current.get_or_insert_with(|| name.clone());
            profiles.profiles.insert(name, profile);
        }
        ProfilesCommand::Use { name } => {
            profiles.named(&name)?;
            profiles.current = Some(name);
        }
        ProfilesCommand::Remove { name } => {
            profiles.named(&name)?;
            profiles.profiles.remove(&name);
            profiles.current.take_if(|current| *current == name);
        }
    }
    profiles.save(&path)
}

fn list(profiles: &Profiles) -> Result<(), ClientError> {
    let mut table = output::table(["CURRENT", "NAME", "URL"]);
    for (name, profile) in &profiles.profiles {
        let current = if profiles.current.as_ref() == Some(name) { "*" } else { "" };
        table.add_row([current, name, profile.url.as_str()]);
    }
    Output::new(Format::Table).print_table(table)
}

fn read_key() -> Result<Token, ClientError> {
    let parsed = Token::parse(TokenKind::ApiKey, input::secret("API key: ")?.expose_secret());
    parsed.map_err(|error| ClientError::Usage(format!("that is no API key: {error}")))
}
