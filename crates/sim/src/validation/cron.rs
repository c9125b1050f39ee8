//! Schedules of cron jobs, as `github.com/robfig/cron/v3` (`ParseStandard`) reads them.

/// One of the five fields.
struct Bounds {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const FIELDS: [Bounds; 5] = [
    Bounds { least: 0, most: 59, names: &[] },
    Bounds { least: 0, most: 23, names: &[] },
    Bounds { least: 1, most: 31, names: &[] },
    Bounds {
        least: 1,
        most: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Bounds { least: 0, most: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];
const DESCRIPTORS: [&str; 7] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Why a schedule cannot be read, in the words of the library.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let schedule = match schedule.strip_prefix("TZ=").or_else(|| schedule.strip_prefix("CRON_TZ=")) {
        Some(rest) => rest.split_once(' ').map_or("", |(_, rest)| rest).trim(),
        None => schedule,
    };
    if schedule.starts_with('@') {
        let every = schedule.strip_prefix("@every ");
        if DESCRIPTORS.contains(&schedule) || every.is_some_and(is_duration) {
            return Ok(());
        }
        return Err(match every {
            Some(duration) => {
                format!("failed to parse duration {schedule}: time: invalid duration \"{duration}\"")
            }
            None => format!("unrecognized descriptor: {schedule}"),
        });
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    for (field, bounds) in fields.iter().zip(&FIELDS) {
        for part in field.split(',').filter(|part| !part.is_empty()) {
            range(part, bounds)?;
        }
    }
    Ok(())
}

/// `time.ParseDuration`, as far as schedules have it: numbers with units.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = ["ns", "us", "ms", "s", "m", "h"].iter().find(|unit| rest[number..].starts_with(**unit));
        match unit {
            Some(unit) if number > 0 => rest = &rest[number + unit.len()..],
            _ => return false,
        }
    }
    !text.is_empty()
}

/// `getRange`: `*`, `5`, `1-5`, `*/2`, `1-10/3`.
fn range(part: &str, bounds: &Bounds) -> Result<(), String> {
    let (ends, step) = match part.split('/').collect::<Vec<_>>().as_slice() {
        [ends] => (*ends, None),
        [ends, step] => (*ends, Some(*step)),
        _ => return Err(format!("too many slashes: {part}")),
    };
    let (start, end) = match ends.split('-').collect::<Vec<_>>().as_slice() {
        ["*" | "?", ..] => (bounds.least, bounds.most),
        [start] => {
            let start = value(start, bounds)?;
            (start, if step.is_some() { bounds.most } else { start })
        }
        [start, end] => (value(start, bounds)?, value(end, bounds)?),
        _ => return Err(format!("too many hyphens: {part}")),
    };
    let step = step.map(number).transpose()?.unwrap_or(1);
    let Bounds { least, most, .. } = bounds;
    if start < *least {
        Err(format!("beginning of range ({start}) below minimum ({least}): {part}"))
    } else if end > *most {
        Err(format!("end of range ({end}) above maximum ({most}): {part}"))
    } else if start > end {
        Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"))
    } else if step == 0 {
        Err(format!("step of range should be a positive number: {part}"))
    } else {
        Ok(())
    }
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let name = text.to_ascii_lowercase();
    match bounds.names.iter().zip(bounds.least..).find(|(known, _)| **known == name) {
        Some((_, value)) => Ok(value),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => {
            let why = format!("strconv.Atoi: parsing \"{text}\": invalid syntax");
            Err(format!("failed to parse int from {text}: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn schedules_are_read_as_the_library_reads_them() {
        for schedule in ["* * * * *", "*/5 1-3 1,15 jan-mar Mon", "@daily", "@every 1h30m", "0 0/2 * * ?"] {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
        }
        let refused = [
            ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("@often", "unrecognized descriptor: @often"),
        ];
        for (schedule, why) in refused {
            assert_eq!(check(schedule), Err(why.to_owned()), "{schedule}");
        }
    }
}
