//! The parser of label selectors: tokens, recursive descent, and checks of keys and values, with the words of
//! `k8s.io/apimachinery/pkg/labels` and `pkg/util/validation`.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::label::{Requirement, Test};
use crate::validation::format;

/// The requirements that `text` holds, or why it is not a selector.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    Parser { tokens: tokens(text).into_iter().peekable() }.selector()
}

/// A word or a symbol; the end of the text is the empty symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Symbol(&'static str),
}

const END: Token = Token::Symbol("");
const SYMBOLS: &[&str] = &["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Word(text) => text,
            Token::Symbol(text) => text,
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let is_special = |character: char| "=!(),><".contains(character);
    let is_space = |character: char| " \t\r\n".contains(character);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let token = match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => Token::Symbol(symbol),
            None => {
                let end = rest.find(|character| is_special(character) || is_space(character));
                Token::Word(rest[..end.unwrap_or(rest.len())].to_owned())
            }
        };
        rest = rest[token.text().len()..].trim_start_matches(is_space);
        tokens.push(token);
    }
    tokens
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
}

impl Parser {
    fn next(&mut self) -> Token {
        self.tokens.next().unwrap_or(END)
    }

    fn peek(&mut self) -> &Token {
        self.tokens.peek().unwrap_or(&END)
    }

    fn selector(mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        if *self.peek() == END {
            return Ok(requirements);
        }
        if !self.at_requirement() {
            return Err(format!(
                "found '{}', expected: !, identifier, or 'end of string'",
                self.peek().text()
            ));
        }
        loop {
            let requirement =
                self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?;
            requirements.push(requirement);
            match self.next() {
                END => return Ok(requirements),
                Token::Symbol(",") if self.at_requirement() => {}
                Token::Symbol(",") => {
                    return Err(format!("found '{}', expected: identifier after ','", self.peek().text()));
                }
                other => {
                    return Err(format!("found '{}', expected: ',' or 'end of string'", other.text()));
                }
            }
        }
    }

    fn at_requirement(&mut self) -> bool {
        matches!(self.peek(), Token::Word(_) | Token::Symbol("!"))
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = *self.peek() == Token::Symbol("!");
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other @ Token::Symbol(_) => {
                return Err(format!("found '{}', expected: identifier", other.text()));
            }
        };
        check_key(&key)?;
        if matches!(self.peek(), &END | Token::Symbol(",")) {
            let test = if absent { Test::Absent } else { Test::Exists };
            return Ok(Requirement { key, test });
        }
        let operator = self.next();
        let test = match operator.text() {
            "in" => Test::In(self.values(&key)?),
            "notin" => Test::NotIn(self.values(&key)?),
            "=" | "==" => Test::In(BTreeSet::from([self.value(&key)?])),
            "!=" => Test::NotIn(BTreeSet::from([self.value(&key)?])),
            ">" => Test::Greater(self.number(&key)?),
            "<" => Test::Less(self.number(&key)?),
            other => return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        Ok(Requirement { key, test })
    }

    fn value(&mut self, key: &str) -> Result<String, String> {
        if matches!(self.peek(), &END | Token::Symbol(",")) {
            return Ok(String::new());
        }
        match self.next() {
            Token::Word(value) => check_value(key, 0, &value).map(|()| value),
            other @ Token::Symbol(_) => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    fn number(&mut self, key: &str) -> Result<i64, String> {
        let value = self.value(key)?;
        value.parse().map_err(|_| {
            format!(
                "values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
            )
        })
    }

    /// `(x,y)`; an element may be empty.
    fn values(&mut self, key: &str) -> Result<BTreeSet<String>, String> {
        match self.next() {
            Token::Symbol("(") => {}
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        let mut values = BTreeSet::new();
        loop {
            let value = match self.peek() {
                Token::Word(value) => value.clone(),
                Token::Symbol("," | ")") => String::new(),
                other @ Token::Symbol(_) => {
                    return Err(format!("found '{}', expected: ',', ')' or identifier", other.text()));
                }
            };
            if !value.is_empty() {
                self.next();
            }
            values.insert(value);
            match self.next() {
                Token::Symbol(",") => {}
                Token::Symbol(")") => break,
                other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
            }
        }
        for (index, value) in values.iter().enumerate() {
            check_value(key, index, value)?;
        }
        Ok(values)
    }
}

fn check_key(key: &str) -> Result<(), String> {
    let broken = format::qualified_name(key);
    if broken.is_empty() {
        return Ok(());
    }
    Err(format!("<nil>: Invalid value: \"{key}\": {}", broken.join("; ")))
}

fn check_value(key: &str, index: usize, value: &str) -> Result<(), String> {
    let broken = format::label_value(value);
    if broken.is_empty() {
        return Ok(());
    }
    Err(format!("values[{index}][{key}]: Invalid value: \"{value}\": {}", broken.join("; ")))
}
