//! What keeps pods: deployments and their kin, jobs, autoscalers and disruption budgets.

use jiff::Timestamp;
use serde_json::Value;

use super::column::{AGE, CONTAINERS, Column, Field, IMAGES, NAME, Words, boolean, integer, text};
use super::read::{self, age, containers, count, name};
use super::{Printer, duration, labels};

const TEMPLATE: &str = "/spec/template/spec";
const READY: Column = text("Ready", Words("Number of the pod with ready state"));

pub(super) const DEPLOYMENT: Printer = Printer {
    columns: &[
        NAME,
        READY,
        text("Up-to-date", Field("status.updatedReplicas")),
        text("Available", Field("status.availableReplicas")),
        AGE,
        CONTAINERS,
        IMAGES,
        text("Selector", Field("spec.selector")).wide(),
    ],
    cells: |deployment, now| {
        let [names, images] = containers(deployment.pointer(TEMPLATE));
        let selector = labels::selector_text(deployment.pointer("/spec/selector"));
        vec![
            name(deployment),
            ready(deployment),
            count(deployment, "/status/updatedReplicas").into(),
            count(deployment, "/status/availableReplicas").into(),
            age(deployment, now),
            names,
            images,
            selector.unwrap_or_else(|| "<invalid>".to_owned()).into(),
        ]
    },
};

pub(super) const STATEFUL_SET: Printer = Printer {
    columns: &[NAME, READY, AGE, CONTAINERS, IMAGES],
    cells: |set, now| {
        let [names, images] = containers(set.pointer(TEMPLATE));
        vec![name(set), ready(set), age(set, now), names, images]
    },
};

/// Those that are ready of those that are wanted.
fn ready(object: &Value) -> Value {
    format!("{}/{}", count(object, "/status/readyReplicas"), count(object, "/spec/replicas")).into()
}

const REPLICAS: &[Column] = &[
    NAME,
    integer("Desired", Field("spec.replicas")),
    integer("Current", Field("status.replicas")),
    integer("Ready", Field("status.readyReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    text("Selector", Field("spec.selector")).wide(),
];

pub(super) const REPLICA_SET: Printer = Printer {
    columns: REPLICAS,
    cells: |set, now| replicas(set, labels::format_selector(set.pointer("/spec/selector")), now),
};

pub(super) const REPLICATION_CONTROLLER: Printer = Printer {
    columns: REPLICAS,
    cells: |controller, now| replicas(controller, labels::format(controller.pointer("/spec/selector")), now),
};

fn replicas(object: &Value, selector: String, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(object.pointer(TEMPLATE));
    vec![
        name(object),
        count(object, "/spec/replicas").into(),
        count(object, "/status/replicas").into(),
        count(object, "/status/readyReplicas").into(),
        age(object, now),
        names,
        images,
        selector.into(),
    ]
}

pub(super) const DAEMON_SET: Printer = Printer {
    columns: &[
        NAME,
        integer("Desired", Field("status.desiredNumberScheduled")),
        integer("Current", Field("status.currentNumberScheduled")),
        integer("Ready", Field("status.numberReady")),
        integer("Up-to-date", Field("status.updatedNumberScheduled")),
        integer("Available", Field("status.numberAvailable")),
        text("Node Selector", Field("spec.template.spec.nodeSelector")),
        AGE,
        CONTAINERS,
        IMAGES,
        text("Selector", Field("spec.selector")).wide(),
    ],
    cells: |set, now| {
        let [names, images] = containers(set.pointer(TEMPLATE));
        vec![
            name(set),
            count(set, "/status/desiredNumberScheduled").into(),
            count(set, "/status/currentNumberScheduled").into(),
            count(set, "/status/numberReady").into(),
            count(set, "/status/updatedNumberScheduled").into(),
            count(set, "/status/numberAvailable").into(),
            labels::format(set.pointer("/spec/template/spec/nodeSelector")).into(),
            age(set, now),
            names,
            images,
            labels::format_selector(set.pointer("/spec/selector")).into(),
        ]
    },
};

pub(super) const JOB: Printer = Printer {
    columns: &[
        NAME,
        text("Status", Words("Status of the job.")),
        text("Completions", Field("status.succeeded")),
        text("Duration", Words("Time required to complete the job.")),
        AGE,
        CONTAINERS,
        IMAGES,
        text("Selector", Field("spec.selector")).wide(),
    ],
    cells: |job, now| {
        let [names, images] = containers(job.pointer(TEMPLATE));
        let started = read::time(job, "/status/startTime");
        let ended = read::time(job, "/status/completionTime").unwrap_or(now);
        let took = started.map(|started| duration::human(ended.duration_since(started)));
        vec![
            name(job),
            job_status(job).into(),
            completions(job).into(),
            took.unwrap_or_default().into(),
            age(job, now),
            names,
            images,
            labels::format_selector(job.pointer("/spec/selector")).into(),
        ]
    },
};

fn job_status(job: &Value) -> &'static str {
    let is = |condition: &str| read::condition(job, condition) == Some("True");
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if read::terminating(job) => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () => "Running",
    }
}

fn completions(job: &Value) -> String {
    let succeeded = count(job, "/status/succeeded");
    match (job["spec"]["completions"].as_i64(), count(job, "/spec/parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

pub(super) const CRON_JOB: Printer = Printer {
    columns: &[
        NAME,
        text("Schedule", Field("spec.schedule")),
        text("Timezone", Field("spec.timeZone")),
        boolean("Suspend", Field("spec.suspend")),
        integer("Active", Field("status.active")),
        text("Last Schedule", Field("status.lastScheduleTime")),
        AGE,
        CONTAINERS,
        IMAGES,
        text("Selector", Field("spec.jobTemplate.spec.selector")).wide(),
    ],
    cells: |cron, now| {
        let [names, images] = containers(cron.pointer("/spec/jobTemplate/spec/template/spec"));
        let last = read::time(cron, "/status/lastScheduleTime");
        vec![
            name(cron),
            read::text(cron, "/spec/schedule").into(),
            read::text_or(cron, "/spec/timeZone", "<none>").into(),
            match cron["spec"]["suspend"].as_bool() {
                Some(true) => "True",
                Some(false) => "False",
                None => "<unset>",
            }
            .into(),
            read::size(cron, "/status/active").into(),
            last.map_or_else(|| "<none>".to_owned(), |last| duration::since(Some(last), now)).into(),
            age(cron, now),
            names,
            images,
            labels::format_selector(cron.pointer("/spec/jobTemplate/spec/selector")).into(),
        ]
    },
};

pub(super) const POD_TEMPLATE: Printer = Printer {
    columns: &[
        NAME,
        text("Containers", Words("Names of each container in the template.")),
        text("Images", Words("Images referenced by each container in the template.")),
        text("Pod Labels", Words("The labels for the pod template.")),
    ],
    cells: |template, _| {
        let [names, images] = containers(template.pointer("/template/spec"));
        vec![
            name(template),
            names,
            images,
            labels::format(template.pointer("/template/metadata/labels")).into(),
        ]
    },
};

pub(super) const CONTROLLER_REVISION: Printer = Printer {
    columns: &[
        NAME,
        text("Controller", Words("Controller of the object")),
        text("Revision", Field("revision")),
        AGE,
    ],
    cells: |revision, now| {
        let owners = read::list(revision, "/metadata/ownerReferences");
        let owner = owners.iter().find(|owner| owner["controller"] == true).map(|owner| {
            let group = read::text(owner, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
            let kind = read::text(owner, "/kind").to_lowercase();
            let dot = if group.is_empty() { "" } else { "." };
            format!("{kind}{dot}{group}/{}", read::text(owner, "/name"))
        });
        vec![
            name(revision),
            owner.unwrap_or_else(|| "<none>".to_owned()).into(),
            count(revision, "/revision").into(),
            age(revision, now),
        ]
    },
};

pub(super) const DISRUPTION_BUDGET: Printer = Printer {
    columns: &[
        NAME,
        text("Min Available", Words("The minimum number of pods that must be available.")),
        text("Max Unavailable", Words("The maximum number of pods that may be unavailable.")),
        integer(
            "Allowed Disruptions",
            Words("Calculated number of pods that may be disrupted at this time."),
        ),
        AGE,
    ],
    cells: |budget, now| {
        let bound =
            |pointer: &str| read::int_or_string(budget, pointer).unwrap_or_else(|| "N/A".to_owned()).into();
        vec![
            name(budget),
            bound("/spec/minAvailable"),
            bound("/spec/maxUnavailable"),
            count(budget, "/status/disruptionsAllowed").into(),
            age(budget, now),
        ]
    },
};

/// The subresource `scale` of any of them.
pub(super) const SCALE: Printer = Printer {
    columns: &[
        text("Name", Field("metadata.name")),
        integer("Desired", Field("spec.replicas")),
        integer("Available", Field("status.replicas")),
        AGE,
    ],
    cells: |scale, now| {
        vec![
            name(scale),
            count(scale, "/spec/replicas").into(),
            count(scale, "/status/replicas").into(),
            age(scale, now),
        ]
    },
};
