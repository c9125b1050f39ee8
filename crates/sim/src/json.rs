//! Reading JSON, with the words of Go's `encoding/json` for what is none.

use std::iter::Peekable;
use std::slice::Iter;

use serde_json::{Map, Value};

use crate::schema::json_type;

/// Reads a text; the error is Go's.
pub(crate) fn read(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text).map_err(|error| {
        // What Go reads and this server does not is nested too deeply, or holds what no Unicode text or number does.
        let unread = || match error.to_string() {
            why if why.starts_with("recursion limit") => "exceeded max depth".to_owned(),
            why if why.starts_with("number out of range") => {
                "json: cannot unmarshal number into Go value of type float64".to_owned()
            }
            _ => "a string in the JSON is no Unicode text".to_owned(),
        };
        Scanner(text.iter().peekable()).scan().err().unwrap_or_else(unread)
    })
}

/// Reads a map; `null` is one without entries.
pub(crate) fn read_map(text: &[u8]) -> Result<Map<String, Value>, String> {
    match read(text)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        other => Err(mismatch(&other, "value of type map[string]interface {}")),
    }
}

/// Text of `UnmarshalTypeError`.
pub(crate) fn mismatch(found: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go {wanted}", json_type(found))
}

const END: &str = "unexpected end of JSON input";

/// `encoding/json/scanner.go`.
struct Scanner<'a>(Peekable<Iter<'a, u8>>);

impl Scanner<'_> {
    fn scan(&mut self) -> Result<(), String> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.token()? {
                bracket @ (b'{' | b'[') => {
                    open.push(bracket);
                    let closing = if bracket == b'{' { b'}' } else { b']' };
                    self.skip_space();
                    if self.0.next_if(|byte| **byte == closing).is_some() {
                        open.pop();
                    } else {
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                other => return Err(invalid(other, "looking for beginning of value")),
            }
            loop {
                self.skip_space();
                match (open.last(), self.0.next()) {
                    (None, None) => return Ok(()),
                    (None, Some(byte)) => return Err(invalid(*byte, "after top-level value")),
                    (Some(_), None) => return Err(END.to_owned()),
                    (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => {
                        open.pop();
                    }
                    (Some(b'{'), Some(b',')) => {
                        self.key()?;
                        break;
                    }
                    (Some(_), Some(b',')) => break,
                    (Some(b'{'), Some(byte)) => return Err(invalid(*byte, "after object key:value pair")),
                    (Some(_), Some(byte)) => return Err(invalid(*byte, "after array element")),
                }
            }
        }
    }

    fn next(&mut self) -> Result<u8, String> {
        self.0.next().copied().ok_or_else(|| END.to_owned())
    }

    fn skip_space(&mut self) {
        while self.0.next_if(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).is_some() {}
    }

    fn token(&mut self) -> Result<u8, String> {
        self.skip_space();
        self.next()
    }

    fn key(&mut self) -> Result<(), String> {
        match self.token()? {
            b'"' => self.string()?,
            other => return Err(invalid(other, "looking for beginning of object key string")),
        }
        match self.token()? {
            b':' => Ok(()),
            other => Err(invalid(other, "after object key")),
        }
    }

    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.next()?;
                            if !digit.is_ascii_hexdigit() {
                                return Err(invalid(digit, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    other => return Err(invalid(other, "in string escape code")),
                },
                control @ ..0x20 => return Err(invalid(control, "in string literal")),
                _ => {}
            }
        }
    }

    /// The rest of a word whose first letter has been read.
    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes().skip(1) {
            let found = self.next()?;
            if found != expected {
                let context = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(invalid(found, &context));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<(), String> {
        let leading = if first == b'-' { self.digit("in numeric literal")? } else { first };
        if leading != b'0' {
            self.digits();
        }
        if self.0.next_if(|byte| **byte == b'.').is_some() {
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if self.0.next_if(|byte| matches!(byte, b'e' | b'E')).is_some() {
            self.0.next_if(|byte| matches!(byte, b'+' | b'-'));
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, context: &str) -> Result<u8, String> {
        match self.next()? {
            digit @ b'0'..=b'9' => Ok(digit),
            other => Err(invalid(other, context)),
        }
    }

    fn digits(&mut self) {
        while self.0.next_if(|byte| byte.is_ascii_digit()).is_some() {}
    }
}

/// The character as `quoteChar` shows it.
fn invalid(byte: u8, context: &str) -> String {
    let shown = match byte {
        b'\'' => "\\'".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\\' => "\\\\".to_owned(),
        ..0x20 | 0x7f => format!("\\x{byte:02x}"),
        byte => char::from(byte).to_string(),
    };
    format!("invalid character '{shown}' {context}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_go() {
        for (text, expected) in [
            ("", END),
            ("{\"a\": 1", END),
            ("\"a", END),
            ("not json", "invalid character 'o' in literal null (expecting 'u')"),
            ("abc", "invalid character 'a' looking for beginning of value"),
            ("'", "invalid character '\\'' looking for beginning of value"),
            ("{a}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("01", "invalid character '1' after top-level value"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
        ] {
            assert_eq!(read(text.as_bytes()), Err(expected.to_owned()), "{text}");
        }
        assert_eq!(
            read(b" [{\"a\": -0.5e+1}, [], {}, true] "),
            Ok(serde_json::json!([{ "a": -5.0 }, [], {}, true]))
        );
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
        assert_eq!(read("[".repeat(500).as_bytes()).unwrap_err(), END);
    }
}
