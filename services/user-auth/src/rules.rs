//! What names, addresses, roles and scopes may be.

use contracts::auth::Scope;
use web::FieldError;

use crate::Error;

const MAX_USERNAME_CHARS: usize = 63;
/// RFC 5321, 4.5.3.1: the part before the `@`, and the path as a whole without its brackets.
const MAX_LOCAL_PART_BYTES: usize = 64;
const MAX_EMAIL_BYTES: usize = 254;
const MAX_ROLES: usize = 16;
const MAX_ROLE_CHARS: usize = 32;
const MAX_KEY_NAME_CHARS: usize = 100;
/// The longest that a key may be made for.
pub(crate) const MAX_EXPIRES_IN_DAYS: u32 = 3650;

/// Collects what is wrong with a request.
#[derive(Default)]
pub(crate) struct Check(Vec<FieldError>);

impl Check {
    /// Notes that `field` must be what `message` says, unless it is.
    pub(crate) fn that(mut self, field: &str, is_fine: bool, message: &str) -> Self {
        if !is_fine {
            self.0.push(FieldError { field: field.to_owned(), message: message.to_owned() });
        }
        self
    }

    pub(crate) fn username(self, name: &str) -> Self {
        let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let rest = |c: char| first(c) || matches!(c, '.' | '_' | '-');
        let fine = name.starts_with(first) && name.len() <= MAX_USERNAME_CHARS && name.chars().all(rest);
        self.that(
            "username",
            fine,
            "must be 1 to 63 lower-case letters, digits, dots, underscores and hyphens, the first a letter or digit",
        )
    }

    /// Plausible, not proven: whether mail arrives only a mail can tell.
    pub(crate) fn email(self, email: &str) -> Self {
        let fine = email.len() <= MAX_EMAIL_BYTES
            && email.chars().all(is_visible)
            && email.split_once('@').is_some_and(|(local, domain)| {
                (1..=MAX_LOCAL_PART_BYTES).contains(&local.len())
                    && domain.split('.').all(|label| {
                        !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-')
                    })
            });
        self.that("email", fine, "must be an address such as ada@example.com")
    }

    pub(crate) fn roles(self, roles: &[String]) -> Self {
        let role_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let role = |role: &String| (1..=MAX_ROLE_CHARS).contains(&role.len()) && role.chars().all(role_char);
        self.that(
            "roles",
            roles.len() <= MAX_ROLES && roles.iter().all(role),
            "must be at most 16 names of 1 to 32 lower-case letters, digits, underscores and hyphens",
        )
    }

    pub(crate) fn key_name(self, name: &str) -> Self {
        let fine = (1..=MAX_KEY_NAME_CHARS).contains(&name.chars().count())
            && name.chars().all(|c| is_visible(c) || c == ' ')
            && name.trim() == name;
        self.that("name", fine, "must be 1 to 100 visible characters")
    }

    pub(crate) fn scopes(self, scopes: &[Scope]) -> Self {
        let known = |scope: &Scope| !matches!(scope, Scope::Other(_));
        self.that(
            "scopes",
            !scopes.is_empty() && scopes.iter().all(known),
            "must be one or more of read, operate and admin",
        )
    }

    pub(crate) fn expires_in_days(self, days: Option<u32>) -> Self {
        let fine = days.is_none_or(|days| (1..=MAX_EXPIRES_IN_DAYS).contains(&days));
        self.that("expires_in_days", fine, "must be a whole number from 1 to 3650")
    }

    /// # Errors
    /// [`Error::Invalid`] with all that was noted.
    pub(crate) fn done(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

fn is_visible(c: char) -> bool {
    !c.is_control() && !c.is_whitespace()
}

/// Each once, in the order in which they first stand.
pub(crate) fn distinct<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fine(check: Check) -> bool {
        check.done().is_ok()
    }

    #[test]
    fn names_and_addresses() {
        for name in ["a", "0", "ada.lovelace-1_x", &"a".repeat(63)] {
            assert!(fine(Check::default().username(name)), "{name}");
        }
        for name in ["", ".a", "-a", "Ada", "a b", "ä", "a\0", &"a".repeat(64)] {
            assert!(!fine(Check::default().username(name)), "{name}");
        }
        for email in ["ada@example.com", "a+b@localhost", "ä@bücher.example"] {
            assert!(fine(Check::default().email(email)), "{email}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for email in ["", "ada", "@example.com", "ada@", "a@b@c", "a@b..c", "a b@c", "a@b\n", &long] {
            assert!(!fine(Check::default().email(email)), "{email}");
        }
        for name in ["", " a", "a ", "a\nb", "\0", &"a".repeat(101)] {
            assert!(!fine(Check::default().key_name(name)), "{name}");
        }
        assert!(fine(Check::default().key_name(&format!("CI {}", "ü".repeat(97)))));
    }

    #[test]
    fn roles_scopes_and_days() {
        assert!(fine(Check::default().roles(&[])));
        for role in ["", "Admin", "a\"b", &"a".repeat(33)] {
            assert!(!fine(Check::default().roles(&[role.to_owned()])), "{role}");
        }
        assert!(!fine(Check::default().roles(&vec!["a".to_owned(); 17])));
        assert!(!fine(Check::default().scopes(&[])));
        assert!(!fine(Check::default().scopes(&[Scope::Read, Scope::Other("root".into())])));
        for (days, expected) in [(0, false), (1, true), (3650, true), (3651, false)] {
            assert_eq!(fine(Check::default().expires_in_days(Some(days))), expected);
        }
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let Err(Error::Invalid(fields)) = Check::default().username("").email("").roles(&[]).done() else {
            panic!("not refused")
        };
        let fields: Vec<_> = fields.iter().map(|field| field.field.as_str()).collect();
        assert_eq!(fields, ["username", "email"]);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_harmless(text in "\\PC{0,70}|[a-z0-9._@-]{0,70}") {
            for check in [Check::default().username(&text), Check::default().email(&text), Check::default().key_name(&text)] {
                if fine(check) {
                    prop_assert!(!text.is_empty() && !text.contains(char::is_control));
                }
            }
        }
    }
}
