//! What a flag may hold.

/// The form of a flag's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// None, or `true` or `false` after an equals sign.
    Switch,
    /// A whole number that is not negative.
    Number,
    /// A Go duration in one unit, such as `90s`.
    Duration,
    /// RFC 3339.
    Time,
    /// A name as Kubernetes takes it for objects.
    Name,
    /// One of these.
    Choice(&'static [&'static str]),
    /// One of these, or for those that end with `=` with a text after it.
    Form(&'static [&'static str]),
    /// Any text on one line.
    Text,
}

impl Value {
    /// Whether it takes this text.
    pub(crate) fn takes(self, text: &str) -> bool {
        match self {
            Self::Switch => matches!(text, "true" | "false"),
            Self::Number => is_number(text),
            Self::Duration => {
                ["ms", "s", "m", "h"].iter().filter_map(|unit| text.strip_suffix(unit)).any(is_number)
            }
            Self::Time => {
                text.len() >= 20
                    && text
                        .chars()
                        .all(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | 'T' | 'Z' | '.' | '+'))
            }
            Self::Name => is_name(text),
            Self::Choice(choices) => choices.contains(&text),
            Self::Form(forms) => forms.iter().any(|form| {
                if form.ends_with('=') {
                    text.strip_prefix(form).is_some_and(|rest| !rest.is_empty())
                } else {
                    text == *form
                }
            }),
            Self::Text => !text.is_empty(),
        }
    }

    /// What it takes, for a person.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::Number => "a whole number".to_owned(),
            Self::Duration => "a duration such as 90s".to_owned(),
            Self::Time => "a time such as 2026-01-31T12:00:00Z".to_owned(),
            Self::Name => "a name".to_owned(),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
            Self::Form(forms) => format!(
                "one of {}",
                forms
                    .iter()
                    .map(|form| if form.ends_with('=') { format!("{form}…") } else { (*form).to_owned() })
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Self::Text => "a text".to_owned(),
        }
    }
}

fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The characters of names of objects, also of those of RBAC (`system:node`). Not at the beginning: what makes a flag, or a path
/// (`path segment name` of the API machinery's validation refuses `.`, `..`, `/` and `%`).
pub(crate) fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_'))
}
