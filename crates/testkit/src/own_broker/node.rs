//! The Erlang machine of a node, and the shell on its standard input.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{sync::mpsc, time::timeout};

const SOON: Duration = Duration::from_secs(10);

/// A running node. Dropped, it is killed.
pub(super) struct Node {
    child: Child,
    input: ChildStdin,
    /// What it writes, line by line.
    output: mpsc::UnboundedReceiver<String>,
    questions: u64,
}

impl Node {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start RabbitMQ")?;
        let input = child.stdin.take().context("standard input is piped")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let (lines, output) = mpsc::unbounded_channel();
        // A thread, so that a test can count the tasks that its own doings leave. It ends with the node.
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let _ = lines.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Ok(Self { child, input, output, questions: 0 })
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "kill failed");
        Ok(())
    }

    /// Evaluates an expression that is text, in one line.
    pub(super) async fn eval(&mut self, expression: &str) -> Result<String> {
        self.eval_within(SOON, expression).await
    }

    /// The same for what takes longer.
    pub(super) async fn eval_within(&mut self, patience: Duration, expression: &str) -> Result<String> {
        self.questions += 1;
        let number = self.questions;
        // A function of its own, because the shell remembers variables.
        writeln!(
            self.input,
            "fun() -> case catch iolist_to_binary({expression}) of \
             T when is_binary(T) -> io:format(\"~n@{number} ok ~ts@~n\", [T]); \
             E -> io:format(\"~n@{number} error ~0tp@~n\", [E]) end end()."
        )?;
        let prefix = format!("@{number} ");
        let answer = timeout(patience, async {
            while let Some(line) = self.output.recv().await {
                if let Some(answer) = line.strip_prefix(&prefix) {
                    return Some(answer.trim_end_matches('@').to_owned());
                }
            }
            None
        });
        let answer = answer.await.with_context(|| format!("no answer to {expression}"))?;
        let answer = answer.context("the node has ended")?;
        match answer.strip_prefix("ok ") {
            Some(text) => Ok(text.to_owned()),
            None => bail!("{expression}: {answer}"),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Either fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
