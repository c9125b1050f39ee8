//! A client of the cluster that a user's own kubeconfig names.

use std::path::Path;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{AccessError, error::chain};

/// A client by a kubeconfig of this machine, whose programs are run and whose files are read: it is for a user's own command, and
/// never for what somebody else has sent. Without a path it is that of `KUBECONFIG`, else `~/.kube/config`; without a context its
/// current one. It tries nothing again by itself.
///
/// # Errors
/// [`AccessError::Credentials`].
pub async fn local_client(path: Option<&Path>, context: Option<&str>) -> Result<Client, AccessError> {
    let unusable = |error: &(dyn std::error::Error + 'static)| AccessError::Credentials(chain(error));
    let read = path.map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    let kubeconfig = read.map_err(|error| unusable(&error))?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| unusable(&error))?;
    config.default_retry = false;
    // Watches last longer than any answer takes; each answer is waited for by itself.
    config.read_timeout = None;
    Client::try_from(config).map_err(|error| unusable(&error))
}
