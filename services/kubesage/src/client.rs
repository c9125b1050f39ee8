//! `kubesage` as a client: it asks a running Kubesage over HTTP, as anybody can.

mod api;
mod args;
mod audit;
mod clusters;
mod connect;
mod costs;
mod error;
mod input;
mod keys;
mod kubectl;
pub(crate) mod output;
mod profile;
mod profiles;
mod queries;
mod stored_clusters;

use std::process::ExitCode;

use api::Api;
use output::Output;

pub(crate) use args::{ClientArgs, ClientCommand, EXIT_CODES, Format};
pub(crate) use error::ClientError;

/// Does what is asked and tells why it could not, in one line on standard error.
pub(crate) fn run(command: ClientCommand) -> ExitCode {
    match block_on(command) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            error.exit_code()
        }
    }
}

fn block_on(command: ClientCommand) -> Result<ExitCode, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dispatch(command))
}

async fn dispatch(command: ClientCommand) -> Result<ExitCode, ClientError> {
    match command {
        ClientCommand::Kubectl(args) => return kubectl::run(args).await,
        ClientCommand::Clusters(args) => clusters::run(args).await,
        ClientCommand::Connect(args) => connect::run(args).await,
        ClientCommand::Namespaces(args) => queries::namespaces(args).await,
        ClientCommand::Nodes(args) => queries::nodes(args).await,
        ClientCommand::Pods(args) => queries::pods(args).await,
        ClientCommand::Logs(args) => queries::logs(args).await,
        ClientCommand::Costs(args) => costs::run(args).await,
        ClientCommand::Keys(args) => keys::run(args).await,
        ClientCommand::Profiles(args) => profiles::run(args.command.unwrap_or_default()),
        ClientCommand::Audit(args) => audit::run(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

impl ClientArgs {
    /// Whom to ask, and how to show the answer.
    fn open(&self) -> Result<(Api, Output), ClientError> {
        Ok((Api::new(profile::chosen(self)?)?, Output::new(self.output)))
    }
}
