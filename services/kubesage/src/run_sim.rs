//! `kubesage sim`.

use std::net::SocketAddr;

use sim::{Options, Sim};
use web::{Outcome, Shutdown, process::Failure};

use crate::{banner, cli::SimArgs, data_dir::write_private};

/// Runs the simulated cluster until the process is told to stop.
pub(crate) async fn run(args: SimArgs) -> Result<Outcome, Failure> {
    let shutdown = Shutdown::on_signals()?;
    let listen = SocketAddr::from((args.host, args.port));
    let (seed, state_dir) = (args.seed, args.state_dir);
    let sim = Sim::start(Options { listen, seed, state_dir, ..Options::default() }).await?;
    let kubeconfig = &args.kubeconfig_out;
    write_private(kubeconfig, &sim.kubeconfig(sim.admin_token()))
        .map_err(|error| format!("cannot write the kubeconfig {}: {error}", kubeconfig.display()))?;
    let (url, path) = (sim.url(), quoted(&kubeconfig.display().to_string()));
    banner::print(&format!(
        "The simulated cluster is up: {url}

  kubeconfig  {path}
  faults      {url}/simulator/v1/faults

Ask it for its pods, and let the next five requests fail:

  kubectl --kubeconfig {path} get pods -A
  echo '{{\"times\": 5, \"status\": 503}}' | \\
    kubectl --kubeconfig {path} create --raw /simulator/v1/faults -f -

Stop it with Ctrl-C.
"
    ))?;
    tokio::select! {
        outcome = shutdown.run_until_done() => Ok(outcome),
        () = sim.ended() => Err("the simulated cluster has ended by itself; its log says why".into()),
    }
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn paths_are_words_for_a_shell() {
        assert_eq!(quoted("/tmp/k.yaml"), "/tmp/k.yaml");
        assert_eq!(quoted("my files/it's"), "'my files/it'\\''s'");
    }
}
