//! The script that installs an agent.

use std::{collections::BTreeSet, sync::LazyLock};

use contracts::Token;
use minijinja::{Environment, Error, ErrorKind, context};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;

use super::{Feature, role_rules};
use crate::provider::Provider;

/// Takes an agent out of its cluster; the same for all of them.
pub(crate) const UNINSTALL: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../k8s/agent/uninstall.sh"));

const INSTALL: &str = "install.sh";

/// What the script is made of.
pub(crate) struct Install<'a> {
    pub(crate) cluster_name: &'a str,
    pub(crate) cluster_id: &'a str,
    pub(crate) agent_id: &'a str,
    pub(crate) provider: Provider,
    pub(crate) features: &'a BTreeSet<Feature>,
    /// Where the agent connects to, and the script fetches what it applies.
    pub(crate) endpoint: &'a Url,
    pub(crate) token: &'a Token,
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.add_filter("sh", quoted);
    templates.add_template(INSTALL, include_str!("install.sh")).expect("the tests read the template");
    templates
});

impl Install<'_> {
    /// A POSIX script that checks what is needed, applies the agent's objects with kubectl and waits for the agent.
    pub(crate) fn to_script(&self) -> Result<String, Error> {
        TEMPLATES.get_template(INSTALL)?.render(context! {
            cluster_name => self.cluster_name,
            cluster_id => self.cluster_id,
            agent_id => self.agent_id,
            provider => self.provider.as_str(),
            endpoint => self.endpoint.as_str().trim_end_matches('/'),
            token => self.token.secret().expose_secret(),
            rights => rights(&role_rules(self.features)),
        })
    }
}

/// A word for a shell.
fn quoted(text: &str) -> Result<String, Error> {
    let quoted =
        shlex::try_quote(text).map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    Ok(quoted.into_owned())
}

/// The rules of a role, as `kubectl auth can-i` takes them: `verb resource[.group] [--subresource=part]`.
fn rights(rules: &Value) -> Vec<String> {
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        let texts = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let mut rights = Vec::new();
    for rule in rules.as_array().into_iter().flatten() {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                // `pods/log` would be a pod called `log`.
                let (resource, part) =
                    resource.split_once('/').map_or((&*resource, None), |(name, part)| (name, Some(part)));
                let group = if group.is_empty() { String::new() } else { format!(".{group}") };
                let part = part.map_or_else(String::new, |part| format!(" --subresource={part}"));
                let resource = format!("{resource}{group}{part}");
                rights.extend(texts(rule, "verbs").iter().map(|verb| format!("{verb} {resource}")));
            }
        }
    }
    rights
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_is_its_rights() {
        let rules = json!([
            { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"] },
            { "apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"] },
        ]);
        assert_eq!(
            rights(&rules),
            ["get deployments.apps", "list deployments.apps", "get pods --subresource=log"]
        );
    }

    #[test]
    fn a_name_is_one_word() {
        assert_eq!(quoted("a b; rm 'x'").unwrap(), "\"a b; rm 'x'\"");
        assert!(quoted("a\0").is_err());
    }
}
