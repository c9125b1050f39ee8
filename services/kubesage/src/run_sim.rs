//! `kubesage sim`.

use std::net::SocketAddr;

use sim::{Options, Sim};
use web::{Outcome, Shutdown, process::Failure};

use crate::{banner, cli::SimArgs, data_dir::write_private};

/// Runs the simulated cluster until the process is told to stop.
pub(crate) async fn run(args: SimArgs) -> Result<Outcome, Failure> {
    let shutdown = Shutdown::on_signals()?;
    let listen = SocketAddr::from((args.host, args.port));
    let sim = Sim::start(Options { listen, seed: args.seed, ..Options::default() }).await?;
    let kubeconfig = &args.kubeconfig_out;
    write_private(kubeconfig, &sim.kubeconfig(sim.admin_token()))
        .map_err(|error| format!("cannot write the kubeconfig {}: {error}", kubeconfig.display()))?;
    banner::print(&format!(
        "The simulated cluster is up: {}\n\n  kubeconfig  {path}\n\nAsk it for its pods:\n\n  \
         kubectl --kubeconfig {path} get pods -A\n\nStop it with Ctrl-C.\n",
        sim.url(),
        path = kubeconfig.display(),
    ))?;
    Ok(shutdown.run_until_done().await)
}
