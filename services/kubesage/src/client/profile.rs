//! Whom the client asks: what the command line or the environment says, else a profile of the config file, else the process
//! that was started in this directory.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use url::{Host, Url};

use super::{ClientArgs, ClientError};
use crate::data_dir::write_private;

/// What `kubesage up` leaves in the directory that it was started in.
const DEV_ENV: &str = ".kubesage/dev.env";

/// A Kubesage and a key for it.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Profile {
    pub(crate) url: Url,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) onboarding_url: Option<Url>,
    #[serde(serialize_with = "into_own_file")]
    pub(crate) api_key: SecretString,
}

/// The config file, which only its owner can read.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct Profiles {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// The config file is the one place that the key is written to.
fn into_own_file<S: Serializer>(key: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose_secret())
}

impl Profiles {
    pub(crate) fn path() -> Result<PathBuf, ClientError> {
        let strategy = etcetera::choose_base_strategy();
        let strategy = strategy.map_err(|_| ClientError::Usage("HOME is not set".to_owned()))?;
        Ok(strategy.config_dir().join("kubesage").join("config.toml"))
    }

    /// What the file says; nothing while it is not there.
    pub(crate) fn load(path: &Path) -> Result<Self, ClientError> {
        match fs::read_to_string(path) {
            // The message of a TOML error quotes the line, which may be the key's.
            Ok(text) => {
                toml::from_str(&text).map_err(|error: toml::de::Error| unusable(path, &error.message()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unusable(path, &error)),
        }
    }

    pub(crate) fn save(&self, path: &Path) -> Result<(), ClientError> {
        let text = toml::to_string_pretty(self).map_err(|error| unusable(path, &error))?;
        if let Some(directory) = path.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| unusable(path, &error))?;
        }
        write_private(path, &text).map_err(|error| unusable(path, &error))
    }

    /// The profile of this name.
    pub(crate) fn named(&self, name: &str) -> Result<&Profile, ClientError> {
        let unknown = || ClientError::Usage(format!("there is no profile {name}; see: kubesage profiles"));
        self.profiles.get(name).ok_or_else(unknown)
    }
}

/// Whom to ask. Address and key are of one source, so that no key is sent to an address that it is not for.
pub(crate) fn chosen(args: &ClientArgs) -> Result<Profile, ClientError> {
    let found = match (&args.url, &args.api_key) {
        (Some(url), Some(key)) => Some(Profile {
            url: url.clone(),
            onboarding_url: args.onboarding_url.clone(),
            api_key: key.clone(),
        }),
        (None, None) => kept(args)?,
        _ => {
            let both = "KUBESAGE_URL and KUBESAGE_API_KEY belong together: give both or neither";
            return Err(ClientError::Usage(both.to_owned()));
        }
    };
    let missing = || {
        let how = "set KUBESAGE_URL and KUBESAGE_API_KEY, make a profile (kubesage profiles set NAME --url URL), or start one \
                   here with: kubesage up";
        ClientError::Usage(format!("no Kubesage is known: {how}"))
    };
    let profile = found.ok_or_else(missing)?;
    for url in [Some(&profile.url), profile.onboarding_url.as_ref()].into_iter().flatten() {
        check_encrypted(url, args.allow_insecure)?;
    }
    Ok(profile)
}

/// The key travels with each request.
fn check_encrypted(url: &Url, is_allowed: bool) -> Result<(), ClientError> {
    let is_own_machine = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || is_own_machine || is_allowed {
        return Ok(());
    }
    let why = format!(
        "{url} is not encrypted: use https://, or --allow-insecure if nobody else can listen on the way"
    );
    Err(ClientError::Usage(why))
}

/// A profile of the config file, else the process that was started in this directory.
fn kept(args: &ClientArgs) -> Result<Option<Profile>, ClientError> {
    let profiles = Profiles::load(&Profiles::path()?)?;
    match args.profile.as_ref().or(profiles.current.as_ref()) {
        Some(name) => profiles.named(name).cloned().map(Some),
        None => Ok(fs::read_to_string(DEV_ENV).ok().and_then(|text| started_here(&text))),
    }
}

fn started_here(dev_env: &str) -> Option<Profile> {
    let value = |name: &str| dev_env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Some(Profile {
        url: value("KUBESAGE_URL")?.parse().ok()?,
        onboarding_url: None,
        api_key: value("KUBESAGE_API_KEY")?.into(),
    })
}

fn unusable(path: &Path, problem: &impl ToString) -> ClientError {
    ClientError::Profiles { path: path.display().to_string(), problem: problem.to_string() }
}
