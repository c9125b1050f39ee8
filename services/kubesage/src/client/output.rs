//! What a person or a program is shown.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use comfy_table::{Cell, Color, Table, presets};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{ClientError, args::Format};

/// How to show answers.
pub(crate) struct Output {
    pub(crate) format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// The answer itself, or what `table` makes of it.
    pub(crate) fn print(
        &self,
        answer: &Value,
        table: impl FnOnce(&Value) -> Table,
    ) -> Result<(), ClientError> {
        match self.format {
            Format::Json => self.print_json(answer),
            Format::Table => self.print_table(table(answer)),
        }
    }

    pub(crate) fn print_json(&self, answer: &impl Serialize) -> Result<(), ClientError> {
        let text = serde_json::to_string_pretty(answer).map_err(io::Error::other)?;
        say(&text)
    }

    pub(crate) fn print_table(&self, mut table: Table) -> Result<(), ClientError> {
        // Colours where they can be shown and NO_COLOR is not set.
        if AutoStream::choice(&io::stdout()) == ColorChoice::Never {
            table.force_no_tty();
        } else {
            table.enforce_styling();
        }
        // Without the table's own margins.
        let lines: Vec<String> =
            table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
        say(&lines.join("\n"))
    }
}

/// A line on standard output.
pub(crate) fn say(text: &str) -> Result<(), ClientError> {
    put(&format!("{text}\n"))
}

/// A text on standard output, as it is. Who reads no further wants no more.
pub(crate) fn put(text: &str) -> Result<(), ClientError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// A line for a person, beside what programs read.
pub(crate) fn tell(text: &str) {
    tell_as_is(&format!("{text}\n"));
}

/// The same without the end of the line.
pub(crate) fn tell_as_is(text: &str) {
    // There is nobody to tell that nobody can be told.
    let _ = io::stderr().write_all(text.as_bytes());
}

pub(crate) fn error(error: &ClientError) {
    tell(&format!("error: {error}"));
}

/// A table as kubectl prints it.
pub(crate) fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns);
    table
}

/// Every field that is one value.
pub(crate) fn fields(answer: &Value) -> Table {
    let mut table = table(["FIELD", "VALUE"]);
    for (name, value) in answer.as_object().into_iter().flatten() {
        match value {
            Value::Array(_) => {}
            Value::Object(inner) => {
                for (part, value) in inner.iter().filter(|(_, value)| !value.is_array() && !value.is_object())
                {
                    table.add_row([format!("{name}.{part}"), text(value)]);
                }
            }
            value => drop(table.add_row([name.clone(), text(value)])),
        }
    }
    table
}

/// A field as it is, or `-`.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A state, green when it is well and red when it is not.
pub(crate) fn state(state: &Value) -> Cell {
    let cell = Cell::new(text(state));
    match state.as_str().unwrap_or_default() {
        "connected" | "Ready" | "Active" | "Running" | "Succeeded" | "Completed" => cell.fg(Color::Green),
        "pending" | "stale" | "Pending" | "Terminating" | "ContainerCreating" => cell.fg(Color::Yellow),
        _ => cell.fg(Color::Red),
    }
}

/// How long ago, in the largest whole unit, as kubectl tells it.
pub(crate) fn age(time: &Value) -> String {
    let Some(time) = time.as_str().and_then(|time| time.parse::<Timestamp>().ok()) else {
        return "-".to_owned();
    };
    let seconds = Timestamp::now().duration_since(time).as_secs().max(0);
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}
