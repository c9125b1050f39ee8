//! Names of roles.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The longest path and name of a role (`RoleName` and `Path` of IAM's API reference).
const MAX_ROLE: usize = 64 + 512;

/// The name of an IAM role: `arn:aws:iam::123456789012:role/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleArn(String);

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be the ARN of a role, such as arn:aws:iam::123456789012:role/KubesageReader")]
pub struct InvalidArn;

impl RoleArn {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account that the role is of.
    pub fn account_id(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }
}

impl FromStr for RoleArn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or(InvalidArn);
        let (arn, partition, service, region, account, resource) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        let is_partition = ["aws", "aws-cn", "aws-us-gov"].contains(&partition);
        let is_account = account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit());
        let role = resource.strip_prefix("role/").ok_or(InvalidArn)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "+=,.@_/-".contains(c);
        let is_role =
            !role.is_empty() && !role.ends_with('/') && role.len() <= MAX_ROLE && role.chars().all(is_name);
        if arn == "arn" && is_partition && service == "iam" && region.is_empty() && is_account && is_role {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidArn)
        }
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_recognised() {
        for text in
            ["arn:aws:iam::123456789012:role/Reader", "arn:aws-us-gov:iam::123456789012:role/a/b/c+=,.@_-"]
        {
            let arn: RoleArn = text.parse().unwrap();
            assert_eq!((arn.as_str(), arn.account_id()), (text, "123456789012"));
        }
        for text in [
            "",
            "Reader",
            "arn:aws:iam::123456789012:user/Reader",
            "arn:aws:iam::12345678901:role/Reader",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a b",
            "arn:aws:iam:us-east-1:123456789012:role/a",
            "arn:aws:sts::123456789012:role/a",
            "arn:other:iam::123456789012:role/a",
        ] {
            assert_eq!(text.parse::<RoleArn>(), Err(InvalidArn), "{text}");
        }
    }
}
