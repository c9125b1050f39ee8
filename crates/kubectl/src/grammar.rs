//! The verbs that are allowed, and what each may be given. From the help of kubectl 1.32 to 1.36.

use crate::{
    flags::{Flag, flag, short},
    values::Value,
};

/// A verb that is allowed.
#[derive(Debug)]
pub(crate) struct Verb {
    /// One word, or two where `kubectl` has verbs below a verb.
    pub(crate) words: &'static [&'static str],
    /// Whether it changes the cluster.
    pub(crate) changes: bool,
    pub(crate) operands: Operands,
    pub(crate) flags: &'static [&'static [Flag]],
}

/// What stands beside the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operands {
    None,
    /// `TYPE[,TYPE…] [NAME…]` or `TYPE/NAME…`.
    Objects,
    /// The same, and then `KEY=VALUE` or `KEY-`.
    Assignments,
    /// `POD [CONTAINER]` or `TYPE/NAME [CONTAINER]`, or nothing beside a selector.
    Pod,
    /// Names of objects whose type the verb says, or none.
    Names,
    /// Names of nodes, or none beside a selector.
    Nodes,
    /// One name.
    Name,
    /// A type, and perhaps fields of it after dots.
    Type,
    /// A verb of the API, a type and perhaps a name, or nothing beside `--list`.
    Access,
}

impl Operands {
    /// For a person.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::None => "no operands",
            Self::Objects => "TYPE[,TYPE…] [NAME…] or TYPE/NAME…",
            Self::Assignments => "TYPE NAME… or TYPE/NAME…, and then KEY=VALUE… or KEY-…",
            Self::Pod => "POD [CONTAINER] or TYPE/NAME [CONTAINER]",
            Self::Names => "names",
            Self::Nodes => "names of nodes",
            Self::Name => "one name",
            Self::Type => "a type, such as pods or pods.spec.containers",
            Self::Access => "VERB TYPE [NAME]",
        }
    }
}

/// What every verb may have.
pub(crate) const GLOBAL: &[Flag] =
    &[short('n', "namespace", Value::Name), flag("request-timeout", Value::Duration)];

const SELECT: &[Flag] = &[
    short('l', "selector", Value::Text),
    short('A', "all-namespaces", Value::Switch),
    flag("field-selector", Value::Text),
];
const SELECTOR: &[Flag] = &[short('l', "selector", Value::Text)];
const ALL: &[Flag] = &[flag("all", Value::Switch)];
const HEADERS: &[Flag] = &[flag("no-headers", Value::Switch)];
const CHUNKS: &[Flag] = &[flag("chunk-size", Value::Number)];
const DRY_RUN: &[Flag] = &[flag("dry-run", Value::Choice(&["none", "client", "server"]))];
const OUTPUT: &[Flag] = &[
    short('o', "output", Value::Form(&["json", "yaml", "name", "jsonpath=", "jsonpath-as-json="])),
    flag("show-managed-fields", Value::Switch),
    flag("allow-missing-template-keys", Value::Switch),
];
const TABLE: &[Flag] = &[
    short(
        'o',
        "output",
        Value::Form(&["json", "yaml", "name", "wide", "jsonpath=", "jsonpath-as-json=", "custom-columns="]),
    ),
    flag("show-managed-fields", Value::Switch),
    flag("allow-missing-template-keys", Value::Switch),
];
const PLAIN: &[Flag] = &[short('o', "output", Value::Choice(&["json", "yaml"]))];

const fn reads(
    words: &'static [&'static str],
    operands: Operands,
    flags: &'static [&'static [Flag]],
) -> Verb {
    Verb { words, changes: false, operands, flags }
}

const fn changes(
    words: &'static [&'static str],
    operands: Operands,
    flags: &'static [&'static [Flag]],
) -> Verb {
    Verb { words, changes: true, operands, flags }
}

/// All of them.
pub(crate) const VERBS: &[Verb] = &[
    reads(
        &["get"],
        Operands::Objects,
        &[
            SELECT,
            TABLE,
            HEADERS,
            CHUNKS,
            &[
                flag("ignore-not-found", Value::Switch),
                short('L', "label-columns", Value::Text),
                flag("server-print", Value::Switch),
                flag("show-kind", Value::Switch),
                flag("show-labels", Value::Switch),
                flag("sort-by", Value::Text),
                flag("subresource", Value::Choice(&["status", "scale", "resize"])),
            ],
        ],
    ),
    reads(
        &["describe"],
        Operands::Objects,
        &[
            SELECTOR,
            CHUNKS,
            &[short('A', "all-namespaces", Value::Switch), flag("show-events", Value::Switch)],
        ],
    ),
    reads(
        &["logs"],
        Operands::Pod,
        &[
            SELECTOR,
            &[
                flag("all-containers", Value::Switch),
                flag("all-pods", Value::Switch),
                short('c', "container", Value::Name),
                flag("ignore-errors", Value::Switch),
                flag("limit-bytes", Value::Number),
                flag("max-log-requests", Value::Number),
                flag("prefix", Value::Switch),
                short('p', "previous", Value::Switch),
                flag("since", Value::Duration),
                flag("since-time", Value::Time),
                flag("tail", Value::Number),
                flag("timestamps", Value::Switch),
            ],
        ],
    ),
    reads(
        &["events"],
        Operands::None,
        &[
            HEADERS,
            CHUNKS,
            OUTPUT,
            &[
                short('A', "all-namespaces", Value::Switch),
                flag("for", Value::Text),
                flag("types", Value::Choice(&["Normal", "Warning", "Normal,Warning", "Warning,Normal"])),
            ],
        ],
    ),
    reads(&["top", "pod"], Operands::Names, TOP_PODS),
    reads(&["top", "pods"], Operands::Names, TOP_PODS),
    reads(&["top", "node"], Operands::Names, TOP_NODES),
    reads(&["top", "nodes"], Operands::Names, TOP_NODES),
    reads(
        &["rollout", "status"],
        Operands::Objects,
        &[
            SELECTOR,
            &[
                flag("revision", Value::Number),
                flag("timeout", Value::Duration),
                // It ends with the rollout, or with the time that the command has.
                flag("watch", Value::Switch),
            ],
        ],
    ),
    reads(
        &["rollout", "history"],
        Operands::Objects,
        &[SELECTOR, OUTPUT, &[flag("revision", Value::Number)]],
    ),
    reads(
        &["wait"],
        Operands::Objects,
        &[SELECT, ALL, OUTPUT, &[flag("for", Value::Text), flag("timeout", Value::Duration)]],
    ),
    reads(
        &["explain"],
        Operands::Type,
        &[&[
            flag("api-version", Value::Text),
            flag("recursive", Value::Switch),
            short('o', "output", Value::Choice(&["plaintext", "plaintext-openapiv2"])),
        ]],
    ),
    reads(
        &["api-resources"],
        Operands::None,
        &[
            HEADERS,
            &[
                flag("api-group", Value::Text),
                flag("categories", Value::Text),
                flag("namespaced", Value::Switch),
                short('o', "output", Value::Choice(&["wide", "name"])),
                flag("sort-by", Value::Choice(&["name", "kind"])),
                flag("verbs", Value::Text),
            ],
        ],
    ),
    reads(&["api-versions"], Operands::None, &[]),
    reads(&["version"], Operands::None, &[PLAIN, &[flag("client", Value::Switch)]]),
    reads(&["cluster-info"], Operands::None, &[]),
    reads(
        &["auth", "can-i"],
        Operands::Access,
        &[
            HEADERS,
            &[
                short('A', "all-namespaces", Value::Switch),
                flag("list", Value::Switch),
                short('q', "quiet", Value::Switch),
                flag("subresource", Value::Name),
            ],
        ],
    ),
    reads(&["auth", "whoami"], Operands::None, &[OUTPUT]),
    changes(
        &["scale"],
        Operands::Objects,
        &[
            SELECTOR,
            ALL,
            OUTPUT,
            DRY_RUN,
            &[
                flag("replicas", Value::Number),
                flag("current-replicas", Value::Number),
                flag("resource-version", Value::Name),
                flag("timeout", Value::Duration),
            ],
        ],
    ),
    changes(
        &["autoscale"],
        Operands::Objects,
        &[
            OUTPUT,
            DRY_RUN,
            &[
                flag("min", Value::Number),
                flag("max", Value::Number),
                flag("cpu-percent", Value::Number),
                flag("name", Value::Name),
            ],
        ],
    ),
    changes(&["rollout", "restart"], Operands::Objects, &[SELECTOR, OUTPUT]),
    changes(
        &["rollout", "undo"],
        Operands::Objects,
        &[SELECTOR, OUTPUT, DRY_RUN, &[flag("to-revision", Value::Number)]],
    ),
    changes(&["rollout", "pause"], Operands::Objects, &[SELECTOR, OUTPUT]),
    changes(&["rollout", "resume"], Operands::Objects, &[SELECTOR, OUTPUT]),
    changes(&["cordon"], Operands::Nodes, &[SELECTOR, DRY_RUN]),
    changes(&["uncordon"], Operands::Nodes, &[SELECTOR, DRY_RUN]),
    changes(
        &["drain"],
        Operands::Nodes,
        &[
            SELECTOR,
            CHUNKS,
            DRY_RUN,
            &[
                flag("delete-emptydir-data", Value::Switch),
                flag("force", Value::Switch),
                flag("grace-period", Value::Number),
                flag("ignore-daemonsets", Value::Switch),
                flag("pod-selector", Value::Text),
                flag("timeout", Value::Duration),
            ],
        ],
    ),
    changes(
        &["taint"],
        Operands::Assignments,
        &[SELECTOR, ALL, OUTPUT, DRY_RUN, &[flag("overwrite", Value::Switch)]],
    ),
    changes(&["label"], Operands::Assignments, LABELS),
    changes(&["annotate"], Operands::Assignments, LABELS),
    changes(&["set", "image"], Operands::Assignments, &[SELECTOR, ALL, OUTPUT, DRY_RUN]),
    changes(
        &["set", "env"],
        Operands::Assignments,
        &[
            SELECTOR,
            ALL,
            OUTPUT,
            DRY_RUN,
            &[short('c', "containers", Value::Text), flag("overwrite", Value::Switch)],
        ],
    ),
    changes(
        &["set", "resources"],
        Operands::Objects,
        &[
            SELECTOR,
            ALL,
            OUTPUT,
            DRY_RUN,
            &[
                short('c', "containers", Value::Text),
                flag("limits", Value::Text),
                flag("requests", Value::Text),
            ],
        ],
    ),
    changes(
        &["patch"],
        Operands::Objects,
        &[
            OUTPUT,
            DRY_RUN,
            &[
                short('p', "patch", Value::Text),
                flag("type", Value::Choice(&["json", "merge", "strategic"])),
                flag("subresource", Value::Choice(&["status", "scale", "resize"])),
            ],
        ],
    ),
    changes(
        &["delete"],
        Operands::Objects,
        &[
            SELECT,
            ALL,
            DRY_RUN,
            &[
                short('o', "output", Value::Choice(&["name"])),
                flag("cascade", Value::Choice(&["background", "orphan", "foreground"])),
                flag("force", Value::Switch),
                flag("grace-period", Value::Number),
                flag("ignore-not-found", Value::Switch),
                flag("now", Value::Switch),
                flag("timeout", Value::Duration),
                flag("wait", Value::Switch),
            ],
        ],
    ),
    changes(&["create", "namespace"], Operands::Name, &[OUTPUT, DRY_RUN]),
];

const TOP_PODS: &[&[Flag]] = &[
    SELECT,
    HEADERS,
    &[
        flag("containers", Value::Switch),
        flag("sort-by", Value::Choice(&["cpu", "memory"])),
        flag("sum", Value::Switch),
    ],
];
const TOP_NODES: &[&[Flag]] = &[
    SELECTOR,
    HEADERS,
    &[flag("show-capacity", Value::Switch), flag("sort-by", Value::Choice(&["cpu", "memory"]))],
];
const LABELS: &[&[Flag]] = &[
    SELECT,
    ALL,
    OUTPUT,
    DRY_RUN,
    &[flag("overwrite", Value::Switch), flag("resource-version", Value::Name)],
];

/// Why a verb never is allowed, where a reason is known.
pub(crate) fn never(verb: &str) -> Option<&'static str> {
    let reason = match verb {
        "exec" | "attach" | "debug" | "run" => "nothing is run in a cluster from here",
        "cp" => "no files are copied",
        "port-forward" | "proxy" => "no connections are held",
        "edit" => "there is no editor here",
        "apply" | "replace" | "diff" | "kustomize" => "no files and URLs are read here",
        "config" => "the cluster and its credentials are those that are stored",
        "plugin" | "krew" => "there are no plugins here",
        "completion" | "options" | "help" | "alpha" | "kuberc" => "it is of no use here",
        _ => return None,
    };
    Some(reason)
}

/// The verbs that may be used, for a person.
pub(crate) fn allowed(writes: bool) -> String {
    let mut names: Vec<String> =
        VERBS.iter().filter(|verb| writes || !verb.changes).map(|verb| verb.words.join(" ")).collect();
    names.dedup_by(|next, before| *next == format!("{before}s"));
    names.join(", ")
}
