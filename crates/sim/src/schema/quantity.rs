//! Amounts of CPU, memory and other resources, as `k8s.io/apimachinery/pkg/api/resource` reads and writes them.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use serde_json::Value;

/// Nothing finer than a billionth is kept (`Nano` in `quantity.go`).
const NANO: i128 = 1_000_000_000;
/// No amount is greater than this many whole units (`maxAllowed` in `quantity.go`).
const MAX: i128 = i64::MAX as i128 * NANO;

/// An amount, and how it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantity {
    nano: i128,
    format: Format,
}

/// How an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `500m`, `2k`.
    DecimalSi,
    /// `1Gi`.
    BinarySi,
    /// `1e3`.
    DecimalExponent,
}

/// Why a text is no amount; the texts of `quantity.go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    pub(crate) const ZERO: Quantity = Quantity { nano: 0, format: Format::DecimalSi };

    /// Reads `500m`, `1.5Gi`, `1e3`.
    pub(crate) fn parse(text: &str) -> Result<Quantity, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        if number.is_empty() {
            return Err(QuantityError::Format);
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') {
            return Err(QuantityError::Format);
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::Numeric);
        }
        let (base, exponent, format) = suffix_meaning(suffix)?;
        let nano = scale(whole, fraction, base, exponent);
        Ok(Quantity { nano: if negative { -nano } else { nano }, format })
    }

    /// The amount that a field holds; nothing where there is none.
    pub(crate) fn of(value: &Value) -> Quantity {
        let parsed = match value {
            Value::String(text) => Quantity::parse(text).ok(),
            Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        parsed.unwrap_or(Quantity::ZERO)
    }

    /// Thousandths, rounded up.
    pub(crate) fn milli(self) -> i128 {
        div_ceil(self.nano, NANO / 1000)
    }

    pub(crate) fn is_zero(self) -> bool {
        self.nano == 0
    }
}

/// The base and the exponent that a suffix stands for.
fn suffix_meaning(suffix: &str) -> Result<(u8, i32, Format), QuantityError> {
    const DECIMAL: [(&str, i32); 10] = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    if let Some((_, exponent)) = DECIMAL.iter().find(|(other, _)| *other == suffix) {
        return Ok((10, *exponent, Format::DecimalSi));
    }
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(place) = (10..).step_by(10).zip(binary).find(|(_, other)| *other == suffix) {
        return Ok((2, place.0, Format::BinarySi));
    }
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']) {
        // Go reads the exponent as an int64; what does not fit is no suffix.
        let exponent: i64 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
        return Ok((
            10,
            i32::try_from(exponent.clamp(-1000, 1000)).unwrap_or_default(),
            Format::DecimalExponent,
        ));
    }
    let allowed = |c: char| c.is_ascii_digit() || "eEinumkKMGTP+-".contains(c);
    Err(if suffix.chars().all(allowed) { QuantityError::Suffix } else { QuantityError::Format })
}

/// `whole.fraction`, times `base` to the power of `exponent`, in billionths; what is finer is rounded up.
fn scale(whole: &str, fraction: &str, base: u8, exponent: i32) -> i128 {
    // As many digits as the greatest amount has in billionths, or in whole units where a power of two makes it
    // longer. The digits that follow only say that there is a rest.
    let length = if base == 2 { 19 } else { 28 };
    let digits = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    let significant = digits.clone().take(length);
    let mut amount = significant.fold(0, |amount: i128, digit| amount * 10 + i128::from(digit - b'0'));
    let rest = digits.clone().skip(length).any(|digit| digit != b'0');
    let left_out = digits.skip(length).count();
    if amount == 0 {
        return 0;
    }
    let mut power = i32::try_from(left_out).unwrap_or(i32::MAX);
    power = power.saturating_sub(i32::try_from(fraction.len()).unwrap_or(i32::MAX)).saturating_add(9);
    if base == 2 {
        amount <<= exponent;
    } else {
        power = power.saturating_add(exponent);
    }
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    let nano = match factor {
        Some(factor) if power >= 0 => amount.saturating_mul(factor),
        None if power >= 0 => MAX,
        Some(factor) => amount / factor + i128::from(rest || amount % factor != 0),
        None => 1,
    };
    nano.min(MAX)
}

fn div_ceil(amount: i128, unit: i128) -> i128 {
    // Away from zero, as `ScaledValue` in `quantity.go` rounds.
    amount / unit + amount.signum() * i128::from(amount % unit != 0)
}

impl fmt::Display for Quantity {
    /// The canonical form of `CanonicalizeBytes` in `quantity.go`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.nano % NANO == 0;
        match self.format {
            _ if self.nano == 0 => out.write_str("0"),
            Format::BinarySi if whole && self.nano.abs() >= 1024 * NANO => {
                let (amount, steps) = without_factors(self.nano / NANO, 1024, 6);
                write!(out, "{amount}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][steps])
            }
            Format::DecimalSi | Format::BinarySi => {
                let (amount, steps) = without_factors(self.nano, 1000, 9);
                write!(out, "{amount}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][steps])
            }
            Format::DecimalExponent => match without_factors(self.nano, 1000, 9) {
                (amount, 3) => write!(out, "{amount}"),
                (amount, 0) => write!(out, "{amount}e-9"),
                (amount, 1) => write!(out, "{amount}e-6"),
                (amount, 2) => write!(out, "{amount}e-3"),
                (amount, steps) => write!(out, "{amount}e{}", (steps - 3) * 3),
            },
        }
    }
}

/// Divides by `factor` as often as there is no rest, at most `limit` times; tells how often.
fn without_factors(mut amount: i128, factor: i128, limit: usize) -> (i128, usize) {
    let mut steps = 0;
    while steps < limit && amount % factor == 0 {
        amount /= factor;
        steps += 1;
    }
    (amount, steps)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl Add for Quantity {
    type Output = Quantity;

    /// A sum is written as its first part that is not zero.
    fn add(self, other: Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        Quantity { nano: self.nano + other.nano, format }
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Quantity) {
        *self = *self + other;
    }
}

impl Sub for Quantity {
    type Output = Quantity;

    fn sub(self, other: Quantity) -> Quantity {
        self + Quantity { nano: -other.nano, ..other }
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Quantity) {
        *self = *self - other;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        Quantity::parse(text).unwrap().to_string()
    }

    #[test]
    fn canonical_forms() {
        for (text, expected) in [
            ("0", "0"),
            ("0Gi", "0"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("1500m", "1500m"),
            ("1000m", "1"),
            ("-1.5", "-1500m"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1500Ki", "1500Ki"),
            ("0.1n", "1n"),
            ("1e3", "1e3"),
            ("12e2", "1200"),
            ("1E", "1E"),
            ("1e-3", "1e-3"),
            ("100Ei", "9223372036854775807"),
            ("9223372036854775807", "9223372036854775807"),
            ("99999999999999999999999", "9223372036854775807"),
            ("1e999999", "9223372036854775807"),
            ("1e-999999", "1e-9"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount() {
        for (text, error) in [
            ("", QuantityError::Format),
            ("-", QuantityError::Format),
            ("abc", QuantityError::Format),
            ("1.2.3", QuantityError::Format),
            ("1 Gi", QuantityError::Format),
            (".", QuantityError::Numeric),
            ("1KK", QuantityError::Suffix),
            ("1e", QuantityError::Suffix),
        ] {
            assert_eq!(Quantity::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn sums_are_written_as_their_first_part() {
        let sum = Quantity::ZERO + Quantity::of(&"1Gi".into()) + Quantity::of(&"1024".into());
        assert_eq!(sum.to_string(), "1048577Ki");
        assert_eq!((Quantity::of(&"1".into()) - Quantity::of(&"250m".into())).milli(), 750);
        assert_eq!(Quantity::of(&"250m".into()).milli(), 250);
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_the_same_amount(text in "[+-]?[0-9]{0,25}(\\.[0-9]{0,12})?([numkMGTPE]|[KMGTPE]i|[eE]-?[0-9]{1,3})?") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let again = Quantity::parse(&quantity.to_string()).unwrap();
                prop_assert_eq!(quantity, again);
                prop_assert_eq!(quantity.to_string(), again.to_string());
            }
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,40}") {
            let _ = Quantity::parse(&text);
        }
    }
}
