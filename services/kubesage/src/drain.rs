//! `kubesage drain`: drains a node of the cluster that a kubeconfig names. No Kubesage has to run for it.

use std::{
    collections::HashSet,
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use cluster_access::{
    drain::{
        DrainError, DrainOptions, Drainer, Fate, Forecast, Outcome, PodForecast, PodName, PodReport,
        Progress, Report, Verdict,
    },
    local_client,
};
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::SignedDuration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::client::{
    ClientError, Format,
    output::{self, Output, table},
};

const EXAMPLES: &str = "Examples:
  kubesage drain node-3 --ignore-daemonsets --dry-run
  kubesage drain node-3 --ignore-daemonsets --delete-emptydir-data --timeout 10m

It decides as `kubectl drain` does, and evicts nothing where it foresees that it cannot end well. When it fails or is interrupted, the node
is uncordoned, if it was this command that cordoned it. A second interrupt does not wait for that.

Exit codes:
  0  drained, or it can be (--dry-run)
  1  not drained, or it cannot be
  2  the command line or the kubeconfig is wrong
  3  the cluster does not allow it
  4  there is no such node
  5  the cluster cannot be reached
  130, 143  interrupted twice";

/// What shells say of a program that a signal has ended: 128 and its number.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DrainArgs {
    /// The node
    node: String,

    /// Kubeconfig of the cluster; without it: that of KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; without it: its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Only say what would come of it
    #[arg(long)]
    dry_run: bool,

    /// Leave pods of DaemonSets where they are; without it, a node that has some is not drained
    #[arg(long)]
    ignore_daemonsets: bool,

    /// Evict pods with emptyDir volumes, whose data is lost
    #[arg(long)]
    delete_emptydir_data: bool,

    /// Evict pods that have no controller, and so are not made anew
    #[arg(long)]
    force: bool,

    /// Seconds that pods may take to end, instead of what each says itself
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<u32>,

    /// How long it may take, such as 90s or 10m
    #[arg(long, default_value = "5m", value_parser = duration)]
    timeout: Duration,

    /// Only pods with these labels, as kubectl takes them
    #[arg(long, value_name = "SELECTOR")]
    pod_selector: Option<String>,

    /// Start although it is foreseen that it cannot end well
    #[arg(long)]
    despite_forecast: bool,

    /// Leave the node cordoned when it fails
    #[arg(long)]
    keep_cordoned: bool,

    /// A table for people, or JSON for programs
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.filter(|duration| !duration.is_zero()).ok_or_else(|| "no duration such as 90s or 10m".to_owned())
}

impl DrainArgs {
    fn options(&self) -> DrainOptions {
        DrainOptions {
            force: self.force,
            ignore_daemon_sets: self.ignore_daemonsets,
            delete_empty_dir_data: self.delete_emptydir_data,
            grace: self.grace_period.map(|seconds| Duration::from_secs(seconds.into())),
            deadline: self.timeout,
            pod_selector: self.pod_selector.clone(),
            despite_forecast: self.despite_forecast,
            keep_cordoned: self.keep_cordoned,
        }
    }
}

/// Drains, and tells why it could not.
pub(crate) fn run(args: &DrainArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(ClientError::from).and_then(|runtime| runtime.block_on(drain(args)));
    done.unwrap_or_else(|error| {
        output::error(&error);
        error.exit_code()
    })
}

/// Drains, or only says what would come of it.
async fn drain(args: &DrainArgs) -> Result<ExitCode, ClientError> {
    let out = Output::new(args.output);
    let done = attempt(args, &out).await;
    if let Err(ClientError::Drain(DrainError::Hopeless(forecast))) = &done {
        show_forecast(&out, forecast)?;
    }
    Ok(if done? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether it ended well, or would.
async fn attempt(args: &DrainArgs, out: &Output) -> Result<bool, ClientError> {
    // An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = local_client(args.kubeconfig.as_deref(), args.context.as_deref()).await;
    let client = client.map_err(DrainError::from)?;
    let (drainer, options) = (Drainer::new(client), args.options());
    if args.dry_run {
        let forecast = drainer.forecast(&args.node, &options).await?;
        show_forecast(out, &forecast)?;
        output::tell(&conclusion(&forecast));
        return Ok(forecast.can_end_well());
    }
    let cancel = CancellationToken::new();
    let interrupted = cancel.clone();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let node = args.node.clone();
    tokio::spawn(async move {
        let mut signal = async || {
            tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            }
        };
        signal().await;
        output::tell("interrupted; no further pod is evicted");
        interrupted.cancel();
        // Whoever does not wait for what is under way gets out all the same.
        let code = signal().await;
        output::tell(&format!(
            "interrupted again; node {node} may still be cordoned: kubectl uncordon {node}"
        ));
        std::process::exit(code);
    });
    let mut live = Live::new(&args.node);
    let report = drainer.drain(&args.node, &options, &cancel, |progress| live.show(progress)).await;
    live.bar.finish_and_clear();
    let report = report?;
    show_report(out, &report)?;
    Ok(report.outcome == Outcome::Drained)
}

/// What happens, as it happens: lines, with a bar below them on a terminal.
struct Live {
    node: String,
    /// What is evicted: whatever else goes is none of the bar's.
    evicted: HashSet<PodName>,
    bar: ProgressBar,
}

impl Live {
    fn new(node: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        // A template that cannot be read leaves the usual one.
        let style = ProgressStyle::with_template("{spinner} {bar:40} {pos}/{len} pods gone, {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { node: node.to_owned(), evicted: HashSet::new(), bar }
    }

    fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::Forecast(forecast) => {
                for pod in &forecast.pods {
                    for note in &pod.notes {
                        self.line(&format!("warning: {}: {note}", pod.pod));
                    }
                }
                for gap in &forecast.gaps {
                    self.line(&format!("warning: {gap}"));
                }
                self.evicted = forecast.evicted().map(|pod| pod.pod.clone()).collect();
                self.bar.set_length(self.evicted.len() as u64);
                self.bar.enable_steady_tick(Duration::from_millis(200));
            }
            Progress::Cordoned => self.line(&format!("node/{} cordoned", self.node)),
            Progress::Evicted(pod) => {
                // It has come meanwhile.
                if self.evicted.insert((*pod).clone()) {
                    self.bar.inc_length(1);
                }
                self.line(&format!("evicting pod {pod}"));
            }
            Progress::Blocked(pod, why) => self.line(&format!("waiting to evict pod {pod}: {why}")),
            Progress::Retried(pod, why) => self.line(&format!("again soon: pod {pod}: {why}")),
            Progress::Gone(pod) => {
                if self.evicted.contains(*pod) {
                    self.bar.inc(1);
                }
                self.line(&format!("pod {pod} is gone"));
            }
            Progress::Uncordoned => self.line(&format!("node/{} uncordoned", self.node)),
        }
    }

    fn line(&self, text: &str) {
        if io::stderr().is_terminal() {
            self.bar.suspend(|| output::tell(text));
        } else {
            output::tell(text);
        }
    }
}

fn show_forecast(out: &Output, forecast: &Forecast) -> Result<(), ClientError> {
    if out.format == Format::Json {
        return out.print_json(forecast);
    }
    out.print_table(foreseen(&forecast.pods))?;
    for gap in &forecast.gaps {
        output::tell(&format!("warning: {gap}"));
    }
    Ok(())
}

fn foreseen(pods: &[PodForecast]) -> Table {
    let mut table = table(["POD", "WHAT", "WHY"]);
    for forecast @ PodForecast { pod, verdict, notes } in pods {
        let (what, mut why) = match verdict {
            Verdict::Evict { although } => {
                let what = if forecast.can_leave() { "would leave" } else { "in the way" };
                (what, although.iter().map(ToString::to_string).collect())
            }
            Verdict::Stay { because } => ("stays", vec![because.to_string()]),
            Verdict::Refuse { because } => ("in the way", vec![because.to_string()]),
        };
        why.extend(notes.iter().map(ToString::to_string));
        table.add_row([pod.to_string(), what.to_owned(), why.join("; ")]);
    }
    table
}

/// Whether a node can be drained, in a sentence.
fn conclusion(forecast: &Forecast) -> String {
    let in_the_way = forecast.pods.iter().filter(|pod| !pod.can_leave()).count();
    let leave = forecast.evicted().count();
    let node = &forecast.node;
    match in_the_way {
        0 => format!("node/{node} can be drained; pods that would leave: {leave}"),
        many => format!("node/{node} cannot be drained; pods in the way: {many}"),
    }
}

fn show_report(out: &Output, report: &Report) -> Result<(), ClientError> {
    if out.format == Format::Json {
        return out.print_json(report);
    }
    out.print_table(fates(&report.pods))?;
    let Report { node, outcome, why, cordoned, took, .. } = report;
    let what = match outcome {
        Outcome::Drained => "drained",
        Outcome::TimedOut | Outcome::Failed => "not drained",
        Outcome::Cancelled => "not drained, as it was interrupted",
    };
    let cordoned = match cordoned {
        Some(true) => "; it is cordoned",
        Some(false) => "; it is not cordoned",
        None => "",
    };
    output::tell(&format!("node/{node} {what}{cordoned} ({:.1} s)", took.as_secs_f64()));
    for why in why {
        output::tell(&format!("error: {why}"));
    }
    Ok(())
}

fn fates(pods: &[PodReport]) -> Table {
    let mut table = table(["POD", "FATE", "WHY", "AFTER"]);
    for PodReport { pod, fate, gone_after, .. } in pods {
        let (fate, why) = match fate {
            Fate::Evicted => ("evicted", String::new()),
            Fate::Left => ("left by itself", String::new()),
            Fate::Stays { because } => ("stays", because.to_string()),
            Fate::Remains { why } => ("remains", why.clone()),
        };
        let after = gone_after.map(|after| format!("{:.1}s", after.as_secs_f64())).unwrap_or_default();
        table.add_row([pod.to_string(), fate.to_owned(), why, after]);
    }
    table
}
