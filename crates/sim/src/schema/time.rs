//! Times as Go reads and writes them.

use jiff::Timestamp;
use serde_json::Value;

use super::Shape;
use super::decode::json_type;

/// One part of a layout: its text in Go's reference time, and how many digits stand there (none for a separator).
type Part = (&'static str, usize);

const UP_TO_SECONDS: [Part; 11] = [
    ("2006", 4),
    ("-", 0),
    ("01", 2),
    ("-", 0),
    ("02", 2),
    ("T", 0),
    ("15", 2),
    (":", 0),
    ("04", 2),
    (":", 0),
    ("05", 2),
];

/// Brings a time into UTC and the precision of its type: seconds, or six digits for a `MicroTime`.
pub(super) fn decode(shape: &Shape, value: &mut Value) -> Result<(), String> {
    let Value::String(text) = &*value else {
        let found = json_type(value);
        return Err(format!("json: cannot unmarshal {found} into Go value of type string"));
    };
    let micro = matches!(shape, Shape::MicroTime);
    let time = read_as(text, micro)?;
    let format = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    *value = time.strftime(format).to_string().into();
    Ok(())
}

/// Reads a `Time`.
pub(crate) fn read_time(text: &str) -> Result<Timestamp, String> {
    read_as(text, false)
}

fn read_as(text: &str, micro: bool) -> Result<Timestamp, String> {
    check_layout(text, micro)?;
    text.parse().map_err(|_| format!("parsing time \"{text}\": day out of range"))
}

/// Texts of `ParseError` in Go's `time`: a `MicroTime` has exactly six digits, a `Time` any number of them.
fn check_layout(text: &str, micro: bool) -> Result<(), String> {
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    let wrong = |rest: &str, part: &str| {
        Err(format!("parsing time \"{text}\" as \"{layout}\": cannot parse \"{rest}\" as \"{part}\""))
    };
    let mut rest = text;
    for (part, digits) in UP_TO_SECONDS {
        match after(rest, part, digits) {
            Some(after) => rest = after,
            None => return wrong(rest, part),
        }
    }
    let fraction = rest.strip_prefix('.').unwrap_or_default();
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    if micro && digits != 6 {
        return wrong(rest, ".000000");
    }
    if digits > 0 {
        rest = &fraction[digits..];
    }
    let zone = rest == "Z"
        || (rest.len() == 6
            && after(rest, "", 0).and_then(|rest| rest.strip_prefix(['+', '-'])).is_some_and(|zone| {
                after(zone, "07", 2)
                    .and_then(|zone| zone.strip_prefix(':'))
                    .is_some_and(|zone| after(zone, "00", 2).is_some_and(str::is_empty))
            }));
    if zone { Ok(()) } else { wrong(rest, "Z07:00") }
}

/// What follows `digits` digits, or the separator `part`.
fn after<'a>(text: &'a str, part: &str, digits: usize) -> Option<&'a str> {
    if digits == 0 {
        return text.strip_prefix(part);
    }
    let all = text.bytes().take(digits).filter(u8::is_ascii_digit).count() == digits;
    if all { text.get(digits..) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(shape: &Shape, text: &str) -> Result<String, String> {
        let mut value = Value::from(text);
        decode(shape, &mut value)?;
        Ok(value.as_str().unwrap().to_owned())
    }

    #[test]
    fn times_become_seconds_in_utc() {
        for (text, expected) in [
            ("2026-11-20T09:37:24Z", "2026-11-20T09:37:24Z"),
            ("2026-11-20T09:37:24.999Z", "2026-11-20T09:37:24Z"),
            ("2026-11-20T09:37:24+01:30", "2026-11-20T08:07:24Z"),
        ] {
            assert_eq!(read(&Shape::Time, text).unwrap(), expected);
        }
    }

    #[test]
    fn micro_times_have_six_digits() {
        let text = "2026-11-20T09:37:24.120000Z";
        assert_eq!(read(&Shape::MicroTime, text).unwrap(), text);
        let error = read(&Shape::MicroTime, "2026-11-20T09:37:24Z").unwrap_err();
        assert!(error.ends_with("cannot parse \"Z\" as \".000000\""), "{error}");
    }

    #[test]
    fn errors_are_those_of_go() {
        let layout = "2006-01-02T15:04:05Z07:00";
        for (text, rest, part) in [
            ("", "", "2006"),
            ("soon", "soon", "2006"),
            ("2026-11-20", "", "T"),
            ("2026-11-20T09:37:24", "", "Z07:00"),
            ("2026-11-20T09:37:24+1:30", "+1:30", "Z07:00"),
        ] {
            let error = read(&Shape::Time, text).unwrap_err();
            let expected =
                format!("parsing time \"{text}\" as \"{layout}\": cannot parse \"{rest}\" as \"{part}\"");
            assert_eq!(error, expected);
        }
        assert!(read(&Shape::Time, "2026-02-31T09:37:24Z").is_err());
    }
}
