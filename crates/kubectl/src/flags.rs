//! A flag of a verb.

use crate::values::Value;

/// A flag that a verb may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// Its name, without the dashes.
    pub(crate) name: &'static str,
    /// The letter by which it goes as well.
    pub(crate) short: Option<char>,
    pub(crate) value: Value,
}

pub(crate) const fn flag(name: &'static str, value: Value) -> Flag {
    Flag { name, short: None, value }
}

pub(crate) const fn short(short: char, name: &'static str, value: Value) -> Flag {
    Flag { name, short: Some(short), value }
}

const ENDLESS: &str = "what has no end is not run: ask again";

/// Why a flag of a verb never is allowed, by its name or its letter.
pub(crate) fn never(verb: &str, flag: &str) -> Option<&'static str> {
    let reason = match flag {
        "f" if verb == "logs" => ENDLESS,
        "filename" | "f" | "kustomize" | "k" | "patch-file" | "recursive" | "R" => {
            "no files and URLs are read here"
        }
        "follow" | "watch" | "w" | "watch-only" | "output-watch-events" => ENDLESS,
        "raw" => "it reads any path of the API",
        "kubeconfig"
        | "context"
        | "cluster"
        | "server"
        | "s"
        | "user"
        | "token"
        | "username"
        | "password"
        | "client-certificate"
        | "client-key"
        | "certificate-authority"
        | "tls-server-name"
        | "insecure-skip-tls-verify"
        | "insecure-skip-tls-verify-backend" => "the cluster and its credentials are those that are stored",
        "as" | "as-group" | "as-uid" => "nobody is impersonated",
        "cache-dir" | "profile" | "profile-output" | "log-file" | "log-dir" => "no files are written here",
        "v" | "vmodule" | "alsologtostderr" | "logtostderr" => "its log shows requests and answers",
        "template" => "use -o jsonpath=… or -o custom-columns=…",
        "from" | "resolve" => "it reads Secrets",
        _ => return None,
    };
    Some(reason)
}
