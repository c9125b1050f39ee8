//! `kubesage` as a client: it asks a running Kubesage over HTTP, as anybody can.

mod api;
mod args;
mod clusters;
mod connect;
mod costs;
mod error;
mod keys;
mod output;
mod profile;
mod profiles;
mod queries;

use std::process::ExitCode;

use api::Api;
use output::Output;

pub(crate) use args::{ClientArgs, ClientCommand, EXIT_CODES};
pub(crate) use error::ClientError;

/// Does what is asked and tells why it could not, in one line on standard error.
pub(crate) fn run(command: ClientCommand) -> ExitCode {
    match block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            error.exit_code()
        }
    }
}

fn block_on(command: ClientCommand) -> Result<(), ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dispatch(command))
}

async fn dispatch(command: ClientCommand) -> Result<(), ClientError> {
    match command {
        ClientCommand::Clusters(args) => clusters::run(args).await,
        ClientCommand::Connect(args) => connect::run(args).await,
        ClientCommand::Namespaces(args) => queries::namespaces(args).await,
        ClientCommand::Nodes(args) => queries::nodes(args).await,
        ClientCommand::Pods(args) => queries::pods(args).await,
        ClientCommand::Logs(args) => queries::logs(args).await,
        ClientCommand::Costs(args) => costs::run(args).await,
        ClientCommand::Keys(args) => keys::run(args).await,
        ClientCommand::Profiles(args) => profiles::run(args.command.unwrap_or_default()),
    }
}

impl ClientArgs {
    /// Whom to ask, and how to show the answer.
    fn open(&self) -> Result<(Api, Output), ClientError> {
        Ok((Api::new(profile::chosen(self)?)?, Output::new(self.output)))
    }
}
