//! From words to a command: the verb, then its flags, then what is left.

use crate::{
    Command, Permissions, Refused,
    flags::{self, Flag},
    grammar::{self, GLOBAL, Operands, VERBS, Verb},
    resources::{is_object, is_types, names_secrets},
    values::{Value, is_name},
    words,
};

pub(crate) fn parse(line: &str, permissions: &Permissions) -> Result<Command, Refused> {
    let words = words::split(line)?;
    let words = match words.first().map(String::as_str) {
        Some("kubectl") => &words[1..],
        _ => &words[..],
    };
    let (verb, rest) = verb(words, permissions)?;
    let Given { flags, operands } = given(verb, rest)?;
    check_operands(verb, &operands, &flags)?;
    let of_secrets = types(verb, &operands).any(names_secrets);
    if of_secrets && !permissions.secrets {
        return Err(Refused::Secrets);
    }
    let gives_values = [&["set", "env"][..], &["annotate"], &["patch"]].contains(&verb.words);
    let recorded = if gives_values || (of_secrets && verb.changes) {
        masked(verb, &operands, &flags)
    } else {
        line.trim().to_owned()
    };
    let is_json = flags.iter().any(|(flag, value)| flag.name == "output" && value == "json");
    let arguments = verb
        .words
        .iter()
        .map(|word| (*word).to_owned())
        .chain(operands)
        .chain(flags.iter().map(|(flag, value)| written(flag, value)))
        .collect();
    Ok(Command { arguments, recorded, changes: verb.changes, is_json })
}

/// The command without the values that it gives to something.
fn masked(verb: &Verb, operands: &[String], flags: &[(Flag, String)]) -> String {
    let operands = operands.iter().map(|operand| match operand.split_once('=') {
        Some((key, _)) => format!("{key}=***"),
        None => operand.clone(),
    });
    let flags =
        flags.iter().map(|(flag, value)| written(flag, if flag.name == "patch" { "***" } else { value }));
    let words: Vec<String> =
        verb.words.iter().map(|word| (*word).to_owned()).chain(operands).chain(flags).collect();
    words.join(" ")
}

/// Which verb it is, and what comes after it.
fn verb<'a>(
    words: &'a [String],
    permissions: &Permissions,
) -> Result<(&'static Verb, &'a [String]), Refused> {
    let first = words.first().ok_or(Refused::Empty)?;
    if first.starts_with('-') {
        return Err(Refused::FlagFirst { flag: first.clone() });
    }
    let is_it =
        |verb: &&Verb| words.len() >= verb.words.len() && verb.words.iter().zip(words).all(|(a, b)| a == b);
    let Some(verb) = VERBS.iter().find(is_it) else {
        let of_two = VERBS.iter().any(|verb| verb.words.len() > 1 && verb.words[0] == first);
        let named =
            if of_two { words.iter().take(2).cloned().collect::<Vec<_>>().join(" ") } else { first.clone() };
        return Err(Refused::Verb {
            verb: named,
            reason: grammar::never(first),
            allowed: grammar::allowed(permissions.writes),
        });
    };
    if verb.changes && !permissions.writes {
        return Err(Refused::Changes { verb: verb.words.join(" ") });
    }
    Ok((verb, &words[verb.words.len()..]))
}

/// What was given to a verb.
struct Given {
    flags: Vec<(Flag, String)>,
    operands: Vec<String>,
}

fn given(verb: &Verb, words: &[String]) -> Result<Given, Refused> {
    let mut given = Given { flags: Vec::new(), operands: Vec::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let flag = find(verb, word, |flag| flag.name == name)?;
            let value = match value {
                Some(value) => value.to_owned(),
                None if flag.value == Value::Switch => "true".to_owned(),
                None => words.next().ok_or_else(|| no_value(&flag))?.clone(),
            };
            given.add(flag, value)?;
        } else if let Some(letters) = word.strip_prefix('-') {
            let mut letters = letters;
            // Letters of switches stand together; what follows the letter of another flag is its value.
            loop {
                let mut rest = letters.chars();
                let shown = rest.next().map_or_else(|| "-".to_owned(), |letter| format!("-{letter}"));
                let letter = letters.chars().next();
                let flag = find(verb, &shown, |flag| flag.short.is_some() && flag.short == letter)?;
                letters = rest.as_str();
                if flag.value == Value::Switch && !letters.starts_with('=') {
                    given.add(flag, "true".to_owned())?;
                    if letters.is_empty() {
                        break;
                    }
                    continue;
                }
                let value = match letters.strip_prefix('=').unwrap_or(letters) {
                    "" => words.next().ok_or_else(|| no_value(&flag))?.clone(),
                    value => value.to_owned(),
                };
                given.add(flag, value)?;
                break;
            }
        } else {
            given.operands.push(word.clone());
        }
    }
    Ok(given)
}

impl Given {
    fn add(&mut self, flag: Flag, value: String) -> Result<(), Refused> {
        if self.flags.iter().any(|(given, _)| given.name == flag.name) {
            return Err(Refused::Repeated { flag: shown(&flag) });
        }
        if !flag.value.takes(&value) {
            return Err(Refused::Value { flag: shown(&flag), expected: flag.value.expected() });
        }
        self.flags.push((flag, value));
        Ok(())
    }
}

/// The flag of the verb that is meant.
fn find(verb: &Verb, word: &str, is_meant: impl Fn(&Flag) -> bool) -> Result<Flag, Refused> {
    let all = || GLOBAL.iter().chain(verb.flags.iter().copied().flatten());
    all().copied().find(|flag| is_meant(flag)).ok_or_else(|| {
        let flag = word.split('=').next().unwrap_or(word);
        Refused::Flag {
            verb: verb.words.join(" "),
            reason: flags::never(verb.words[0], flag.trim_start_matches('-')),
            flag: flag.to_owned(),
            allowed: all().map(shown).collect::<Vec<_>>().join(", "),
        }
    })
}

fn no_value(flag: &Flag) -> Refused {
    Refused::NoValue { flag: shown(flag), expected: flag.value.expected() }
}

fn shown(flag: &Flag) -> String {
    format!("--{}", flag.name)
}

/// Always with an equals sign, so that a value that begins with a dash is no flag.
fn written(flag: &Flag, value: &str) -> String {
    if flag.value == Value::Switch && value == "true" {
        shown(flag)
    } else {
        format!("--{}={value}", flag.name)
    }
}

fn check_operands(verb: &Verb, operands: &[String], flags: &[(Flag, String)]) -> Result<(), Refused> {
    let wrong = |found: Option<&String>| Refused::Operands {
        verb: verb.words.join(" "),
        expected: verb.operands.expected(),
        found: found.cloned(),
    };
    let has = |name: &str| flags.iter().any(|(flag, _)| flag.name == name);
    let all_are = |operands: &[String], is_one: &dyn Fn(&str) -> bool| {
        operands.iter().find(|operand| !is_one(operand)).map_or(Ok(()), |found| Err(wrong(Some(found))))
    };
    match verb.operands {
        Operands::None => all_are(operands, &|_| false),
        Operands::Nodes if operands.is_empty() && !has("selector") => Err(wrong(None)),
        Operands::Names | Operands::Nodes => all_are(operands, &is_name),
        Operands::Name if operands.len() != 1 => Err(wrong(operands.get(1))),
        Operands::Name => all_are(operands, &is_name),
        Operands::Type if operands.len() != 1 => Err(wrong(operands.get(1))),
        Operands::Type => all_are(operands, &|operand| !operand.contains(',') && is_types(operand)),
        Operands::Pod if operands.is_empty() && has("selector") => Ok(()),
        Operands::Pod if operands.is_empty() || operands.len() > 2 => Err(wrong(operands.get(2))),
        Operands::Pod => {
            all_are(&operands[..1], &|operand| is_object(operand) || is_name(operand))?;
            all_are(&operands[1..], &is_name)
        }
        Operands::Access if operands.is_empty() && has("list") => Ok(()),
        Operands::Access if !(2..=3).contains(&operands.len()) => Err(wrong(operands.get(3))),
        Operands::Access => {
            all_are(&operands[..1], &|operand| operand == "*" || is_name(operand))?;
            all_are(&operands[1..2], &|operand| operand == "*" || is_types(operand) || is_object(operand))?;
            all_are(&operands[2..], &is_name)
        }
        Operands::Objects => check_objects(operands, &wrong),
        Operands::Assignments => {
            let first = operands.iter().skip(1).position(|operand| is_assignment(operand));
            let first = first.map_or(operands.len(), |position| position + 1);
            check_objects(&operands[..first], &wrong)?;
            if first == operands.len() {
                return Err(wrong(None));
            }
            all_are(&operands[first..], &is_assignment)
        }
    }
}

/// What types of resources are named.
fn types<'a>(verb: &Verb, operands: &'a [String]) -> impl Iterator<Item = &'a str> {
    let names_types = matches!(verb.operands, Operands::Objects | Operands::Assignments);
    let objects = operands.iter().take_while(|operand| !operand.contains('='));
    let named = objects.enumerate().filter(|(number, operand)| *number == 0 || operand.contains('/'));
    named.map(|(_, operand)| operand.as_str()).filter(move |_| names_types)
}

/// `TYPE/NAME` all of them, or a type and then names.
fn check_objects(operands: &[String], wrong: &dyn Fn(Option<&String>) -> Refused) -> Result<(), Refused> {
    let (first, rest) = operands.split_first().ok_or_else(|| wrong(None))?;
    let is_one: fn(&str) -> bool = if first.contains('/') { is_object } else { is_name };
    if !(is_types(first) || is_object(first)) {
        return Err(wrong(Some(first)));
    }
    rest.iter().find(|operand| !is_one(operand)).map_or(Ok(()), |found| Err(wrong(Some(found))))
}

/// `KEY=VALUE` or `KEY-`; a key may have a prefix before a slash.
fn is_assignment(operand: &str) -> bool {
    let key = operand.split_once('=').map(|(key, _)| key).or_else(|| operand.strip_suffix('-'));
    key.is_some_and(|key| {
        key.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/' | ':'))
    })
}
