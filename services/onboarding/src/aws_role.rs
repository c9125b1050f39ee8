//! The read-only role by which Kubesage looks at the AWS account of a cluster: what its owner pastes to make it.

use serde_json::{Value, json};
use serde_saphyr::SerializeError;

/// All that the role may do. Nothing of it changes anything.
const ACTIONS: [&str; 7] = [
    "ec2:Describe*",
    "eks:Describe*",
    "eks:List*",
    "autoscaling:Describe*",
    "cloudwatch:GetMetricStatistics",
    "cloudwatch:ListMetrics",
    "pricing:GetProducts",
];

/// Whom a role is to trust that we ask as this. A session ends; the role that it is of cannot be told from its name, because the
/// path is missing there, so its account is trusted, which says by its own policies who of it may assume roles.
pub(crate) fn lasting_principal(arn: &str) -> String {
    let mut parts = arn.split(':');
    let (_, partition, service, _, account) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    match (partition, service, account) {
        (Some(partition), Some("sts"), Some(account)) => format!("arn:{partition}:iam::{account}:root"),
        _ => arn.to_owned(),
    }
}

/// Who may assume the role, and with what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust<'a> {
    /// Kubesage's own account, user or role.
    pub(crate) principal: &'a str,
    /// Made for one cluster, so that nobody can have Kubesage use the role for another one
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html>).
    pub(crate) external_id: &'a str,
}

impl Trust<'_> {
    /// The role's trust policy.
    pub(crate) fn policy(&self) -> Value {
        json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "AWS": self.principal },
                "Action": "sts:AssumeRole",
                "Condition": { "StringEquals": { "sts:ExternalId": self.external_id } },
            }],
        })
    }

    /// A CloudFormation template of the role, as YAML.
    pub(crate) fn template(&self) -> Result<String, SerializeError> {
        let template = json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": "Read-only access of Kubesage to this account",
            "Resources": {
                "Role": {
                    "Type": "AWS::IAM::Role",
                    "Properties": {
                        "MaxSessionDuration": 3600,
                        "AssumeRolePolicyDocument": self.policy(),
                        "Policies": [{ "PolicyName": "Read", "PolicyDocument": permissions() }],
                    },
                },
            },
            "Outputs": { "RoleArn": { "Value": { "Fn::GetAtt": ["Role", "Arn"] } } },
        });
        serde_saphyr::to_string(&template)
    }
}

/// The role's permissions policy.
pub(crate) fn permissions() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": ACTIONS, "Resource": "*" }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_holds_both_policies() {
        let trust = Trust { principal: "arn:aws:iam::123456789012:root", external_id: "ks-1" };
        let yaml = trust.template().unwrap();
        let template: Value = serde_saphyr::from_str(&yaml).unwrap();
        let role = &template["Resources"]["Role"]["Properties"];
        assert_eq!(role["AssumeRolePolicyDocument"], trust.policy());
        assert_eq!(role["Policies"][0]["PolicyDocument"], permissions());
        let condition = &trust.policy()["Statement"][0]["Condition"]["StringEquals"];
        assert_eq!(condition["sts:ExternalId"], "ks-1");
    }

    #[test]
    fn a_session_is_trusted_by_its_account() {
        let session = "arn:aws-us-gov:sts::123456789012:assumed-role/kubesage/i-0123";
        assert_eq!(lasting_principal(session), "arn:aws-us-gov:iam::123456789012:root");
        let user = "arn:aws:iam::123456789012:user/kubesage";
        assert_eq!(lasting_principal(user), user);
    }

    #[test]
    fn the_role_only_reads() {
        for action in ACTIONS {
            let verb = action.split_once(':').unwrap().1;
            assert!(["Describe", "List", "Get"].iter().any(|reads| verb.starts_with(reads)), "{action}");
        }
    }
}
