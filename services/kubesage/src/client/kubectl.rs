//! `kubesage kubectl`.

use std::{borrow::Cow, process::ExitCode, time::Duration};

use serde_json::{Value, json};

use super::{
    ClientError,
    api::Service,
    args::{Format, KubectlArgs},
    output, stored_clusters,
};

/// Longer than a command may run by any setting of the service.
const TIMEOUT: Duration = Duration::from_secs(660);
/// As `timeout` of coreutils ends, where the command took too long.
const TIMED_OUT: u8 = 124;

/// Ends as kubectl has ended.
pub(crate) async fn run(args: KubectlArgs) -> Result<ExitCode, ClientError> {
    let (api, out) = args.client.open()?;
    let id = stored_clusters::chosen(&api, args.cluster.as_deref()).await?.id;
    let request = json!({"command": line(&args.command)});
    let path = format!("/execute-kubectl-direct/{id}");
    let ran: Value =
        api.post_with(Service::Cluster, &path, &[], |post| post.json(&request).timeout(TIMEOUT)).await?;
    match out.format {
        Format::Json => out.print_json(&ran)?,
        Format::Table => show(&ran)?,
    }
    Ok(exit_code(&ran).into())
}

fn show(ran: &Value) -> Result<(), ClientError> {
    output::put(ran["output"].as_str().unwrap_or_default())?;
    output::tell_as_is(ran["error"].as_str().unwrap_or_default());
    if ran["truncated"] == true {
        output::tell("kubectl printed more than is shown here.");
    }
    if ran["timed_out"] == true {
        output::tell("kubectl took too long and was killed.");
    }
    Ok(())
}

fn exit_code(ran: &Value) -> u8 {
    match ran["exit_code"].as_i64() {
        Some(code) => u8::try_from(code).unwrap_or(1),
        None if ran["timed_out"] == true => TIMED_OUT,
        None => 1,
    }
}

/// The words as one line, which the service splits as a shell does.
fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Between single quotes everything stands for itself, but a single quote, which stands between two such texts.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_takes_the_line_apart_into_the_same_words() {
        let words = [
            "get",
            "pods",
            "-A",
            "",
            "app in (web, db)",
            "it's",
            "'",
            r"\",
            r"a\'b",
            "\"",
            "$HOME",
            "`id`",
            "#no",
            "~",
            "*",
            "jsonpath={.items[*].metadata.name}",
            "--selector=a!=b",
            "a;b",
            "a|b",
            "ä ö",
            "  ",
        ];
        let words = words.map(str::to_owned);
        let line = line(&words);
        let output = Command::new("sh").args(["-c", &format!("printf '%s\\n' {line}")]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.lines().collect::<Vec<_>>(), words, "{line}");
    }

    #[test]
    fn what_is_plain_is_not_quoted() {
        let words = ["get", "pods", "-A", "-o", "wide", "--since-time=2026-01-31T12:00:00Z"];
        assert_eq!(line(&words.map(str::to_owned)), words.join(" "));
    }

    #[test]
    fn it_ends_as_kubectl_has_ended() {
        for (ran, expected) in [
            (json!({"exit_code": 0}), 0),
            (json!({"exit_code": 2}), 2),
            (json!({"exit_code": -1}), 1),
            (json!({"exit_code": null, "timed_out": true}), 124),
            (json!({"exit_code": null}), 1),
        ] {
            assert_eq!(exit_code(&ran), expected, "{ran}");
        }
    }
}
