//! What the grammar refuses: command lines that fooled others, and that would.

use kubectl::{Command, Permissions, Refused};
use proptest::prelude::*;

const ALL: Permissions = Permissions { writes: true, secrets: true };

fn lines(text: &'static str) -> Vec<&'static str> {
    text.lines().filter(|line| !line.starts_with("# ")).collect()
}

#[test]
fn what_is_never_allowed_is_refused() {
    let lines = lines(include_str!("never.txt"));
    assert!(lines.len() >= 300, "{}", lines.len());
    let let_through: Vec<_> =
        lines.iter().filter_map(|line| Command::parse(line, &ALL).ok().map(|_| line)).collect();
    assert!(let_through.is_empty(), "{let_through:#?}");
}

#[test]
fn changes_are_refused_where_only_reading_is_allowed() {
    for line in lines(include_str!("changes.txt")) {
        assert!(Command::parse(line, &ALL).is_ok_and(|command| command.changes()), "{line}");
        let refused = Command::parse(line, &Permissions { secrets: true, writes: false });
        assert!(matches!(refused, Err(Refused::Changes { .. })), "{line}: {refused:?}");
    }
}

#[test]
fn secrets_are_refused_by_whatever_name() {
    for line in lines(include_str!("secrets.txt")) {
        assert!(Command::parse(line, &ALL).is_ok(), "{line}: {:?}", Command::parse(line, &ALL));
        let refused = Command::parse(line, &Permissions { writes: true, secrets: false });
        assert_eq!(refused, Err(Refused::Secrets), "{line}");
    }
}

#[test]
fn a_refusal_says_what_is_allowed_instead() {
    let refused = |line: &str| Command::parse(line, &Permissions::default()).unwrap_err().to_string();
    assert!(refused("exec web-0 -- sh").contains("nothing is run in a cluster from here"));
    assert!(refused("exec web-0 -- sh").contains("get, describe, logs"));
    assert!(!refused("exec web-0").contains("delete"), "what only those may who may change something");
    assert!(refused("get pods -w").contains("ask again"));
    assert!(refused("get pods --raw=/x").contains("--selector"));
    assert!(refused("get pods -o go-template={{.}}").contains("custom-columns=…"));
    assert!(refused("rollout exec").contains("\"rollout exec\""));
    assert!(refused("scale deployment/web --replicas=1").contains("only commands that read"));
}

#[test]
fn what_is_too_long_or_holds_a_line_break_is_refused() {
    let long = format!("get pods {}", "a ".repeat(Command::MAX_LENGTH));
    assert_eq!(Command::parse(&long, &ALL), Err(Refused::TooLong));
    for line in ["get pods\nget secrets", "get pods\0", "get\tpods", "get pods \u{1b}[2J", "get pods\r"] {
        assert_eq!(Command::parse(line, &ALL), Err(Refused::ControlCharacter), "{line:?}");
    }
    assert_eq!(Command::parse("", &ALL), Err(Refused::Empty));
    assert_eq!(Command::parse("  ", &ALL), Err(Refused::Empty));
}

/// Words that mean something to `kubectl` or to a shell, and anything else.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "get", "describe", "logs", "delete", "label", "rollout", "status", "set", "image", "top", "auth", "can-i", "exec",
            "pods", "pod/web-0", "secrets", "Secret/x", "pods,secrets", "secrets.v1", "web-0", "a=b", "a-", "node-1",
            "-A", "-n", "-o", "-oyaml", "-Ao", "json", "-l", "-f", "-w", "--", "-", "--raw", "--raw=/", "--kubeconfig=x", "--all",
            "-nkube-system", "-o=json", "--output", "--output=jsonpath={.x}", "--namespace", "--selector", "--as=root", "-s",
        ]).prop_map(str::to_owned),
        1 => "[-a-z/=.,'\"\\\\ $;|&(){}*]{0,12}",
        1 => any::<String>(),
    ]
}

/// The flags that are never to be written, whatever was read.
const FORBIDDEN: &[&str] = &[
    "--filename",
    "--kustomize",
    "--raw",
    "--kubeconfig",
    "--context",
    "--cluster",
    "--server",
    "--user",
    "--token",
    "--as",
    "--watch-only",
    "--follow",
    "--cache-dir",
    "--v",
    "--template",
    "--patch-file",
    "--from",
    "--recursive",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_let_through_is_understood_and_harmless(words in prop::collection::vec(word(), 0..8)) {
        let line = words.join(" ");
        let Ok(command) = Command::parse(&line, &Permissions { writes: true, secrets: false }) else { return Ok(()) };
        let mut beyond_operands = false;
        for argument in command.arguments() {
            prop_assert!(!argument.is_empty() && !argument.chars().any(char::is_control));
            if argument.starts_with('-') {
                beyond_operands = true;
                let name = argument.split('=').next().unwrap_or_default();
                prop_assert!(name.starts_with("--") && name.len() > 2, "{argument}");
                prop_assert!(!FORBIDDEN.contains(&name), "{argument}");
            } else {
                prop_assert!(!beyond_operands, "an operand after a flag: {:?}", command.arguments());
            }
        }
        if ["get", "describe", "delete", "label", "annotate"].contains(&&*command.arguments()[0]) {
            let operands = command.arguments()[1..].iter().filter(|argument| !argument.starts_with('-'));
            let types = operands.enumerate().filter(|(number, operand)| *number == 0 || operand.contains('/'));
            for named in types.flat_map(|(_, operand)| operand.split('/').next().unwrap_or_default().split(',')) {
                let named = named.split('.').next().unwrap_or_default().to_lowercase();
                prop_assert!(named != "secret" && named != "secrets", "{:?}", command.arguments());
            }
        }
        // What is written is understood as the same.
        let written = shlex::try_join(command.arguments().iter().map(String::as_str)).unwrap();
        let again = Command::parse(&written, &Permissions { writes: true, secrets: false }).unwrap();
        prop_assert_eq!(again.arguments(), command.arguments());
    }

    #[test]
    fn nothing_panics(line in any::<String>()) {
        let _ = Command::parse(&line, &ALL);
    }
}
