//! Names that AWS gives, checked where they come in.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A text is not the name that it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no {what}: {form}")]
pub struct InvalidName {
    /// What it should be.
    pub what: &'static str,
    /// Its form, for a person.
    pub form: &'static str,
    /// What was given, cut.
    pub text: String,
}

/// So much of what was given is said again.
const SAID_AGAIN: usize = 64;

/// A text of a form of its own.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $form:literal, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let is_valid: fn(&str) -> bool = $is_valid;
                if is_valid(text) {
                    return Ok(Self(text.to_owned()));
                }
                let text = text.chars().take(SAID_AGAIN).collect();
                Err(InvalidName { what: $what, form: $form, text })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The id of an EC2 instance (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html>).
    InstanceId,
    "instance id",
    "i- and 8 or 17 hexadecimal digits",
    |text| {
        let digits = text.strip_prefix("i-").unwrap_or_default();
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }
);

name!(
    /// A type of EC2 instances, such as `m5.xlarge`, `c6gn.metal`, `u-6tb1.112xlarge`.
    InstanceType,
    "instance type",
    "a family and a size, such as m5.xlarge",
    |text| text.split_once('.').is_some_and(|(family, size)| is_family(family) && is_size(size))
);

name!(
    /// An availability zone or local zone, such as `us-east-1a`, `us-west-2-lax-1a`.
    Zone,
    "availability zone",
    "a region and a letter, such as us-east-1a",
    |text| {
        let Some((region, zone)) = text.rsplit_once('-') else { return false };
        let letter = zone.trim_start_matches(|c: char| c.is_ascii_digit());
        text.len() <= 32
            && region.split('-').count() >= 2
            && region.split('-').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            })
            && (1..=2).contains(&(zone.len() - letter.len()))
            && letter.len() == 1
            && letter.bytes().all(|b| b.is_ascii_lowercase())
    }
);

name!(
    /// The name of an Auto Scaling group (`XmlStringMaxLen255`).
    GroupName,
    "name of an Auto Scaling group",
    "1 to 255 printable characters without a colon",
    |text| {
        (1..=255).contains(&text.chars().count()) && text.chars().all(|c| !c.is_control() && c != ':')
    }
);

name!(
    /// The name of an EKS cluster (<https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html>).
    ClusterName,
    "name of an EKS cluster",
    "1 to 100 letters, digits, - and _, of which the first is a letter or a digit",
    |text| {
        (1..=100).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    }
);

/// `m5`, `c6gn`, `x2iedn`, `u-6tb1`, `mac2-m2pro`.
fn is_family(text: &str) -> bool {
    text.len() <= 24
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().any(|b| b.is_ascii_digit())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `micro`, `12xlarge`, `metal`, `metal-24xl`.
fn is_size(text: &str) -> bool {
    let multiple = |text: &str, unit: &str| {
        text.strip_suffix(unit)
            .is_some_and(|n| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(text, "nano" | "micro" | "small" | "medium" | "large" | "xlarge" | "metal")
        || multiple(text, "xlarge")
        || text.strip_prefix("metal-").is_some_and(|size| multiple(size, "xl"))
}

impl Zone {
    /// The region that it is in: `us-east-1` of `us-east-1a`, `us-west-2` of `us-west-2-lax-1a`.
    pub fn region(&self) -> &str {
        let is_numbered = |part: &str| part.bytes().next().is_some_and(|b| b.is_ascii_digit());
        let mut end = 0;
        for part in self.0.split('-') {
            if is_numbered(part) {
                let digits = part.bytes().take_while(u8::is_ascii_digit).count();
                return &self.0[..end + digits];
            }
            end += part.len() + 1;
        }
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_forms() {
        for good in ["i-0123456789abcdef0", "i-12345678"] {
            assert!(good.parse::<InstanceId>().is_ok(), "{good}");
        }
        for bad in ["", "i-", "i-1", "i-0123456789ABCDEF0", "0123456789abcdef0", "i-0123456789abcdef01"] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad}");
        }
        for good in
            ["m5.xlarge", "t3.nano", "c6gn.metal", "u-6tb1.112xlarge", "m7i.metal-24xl", "x2iedn.2xlarge"]
        {
            assert!(good.parse::<InstanceType>().is_ok(), "{good}");
        }
        for bad in
            ["", "m5", "m5.", ".large", "m5.huge", "M5.large", "m5.xlarge;", "m5.1234xlarge", "5m.large"]
        {
            assert!(bad.parse::<InstanceType>().is_err(), "{bad}");
        }
        for bad in ["", "us-east-1", "us-east-1aa", "useast1a", "us--1a", "US-EAST-1A"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
        for bad in ["", "-a", "_a", "a.b", "a b", "ä", &"a".repeat(101)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
        assert!(["shop", "1_a-B", &"a".repeat(100)].iter().all(|good| good.parse::<ClusterName>().is_ok()));
        assert!("a:b".parse::<GroupName>().is_err());
        assert!("eks-core-12c3".parse::<GroupName>().is_ok());
    }

    #[test]
    fn a_zone_knows_its_region() {
        for (zone, region) in [
            ("us-east-1a", "us-east-1"),
            ("us-west-2-lax-1a", "us-west-2"),
            ("us-gov-west-1b", "us-gov-west-1"),
        ] {
            assert_eq!(zone.parse::<Zone>().unwrap().region(), region);
        }
    }

    #[test]
    fn a_wrong_name_is_refused_where_it_is_read() {
        let error = serde_json::from_str::<InstanceId>("\"i-1\"").unwrap_err();
        assert!(error.to_string().contains("8 or 17 hexadecimal digits"), "{error}");
    }
}
