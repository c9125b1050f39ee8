//! What a drain has to know of a cluster before it starts.

use std::fmt::Debug;

use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, PersistentVolume, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client,
    api::{ListParams, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{
    ANSWER, DrainOptions,
    budgets::{Budget, Budgets},
    controllers::{self, Complete},
    filter::{DaemonSets, daemon_set},
    placement::{Place, claims},
};
use crate::AccessError;

/// So many objects are asked for at once, as kubectl does.
const PAGE: u32 = 500;

/// What is there before a drain.
pub(super) struct Seen {
    pub(super) pods: Vec<Pod>,
    pub(super) daemon_sets: DaemonSets,
    pub(super) budgets: Budgets,
    /// Whether they may be read.
    pub(super) budgets_are_seen: bool,
    pub(super) complete: Complete,
    /// All nodes but the one that is drained. None: they may not be read.
    pub(super) places: Option<Vec<Place>>,
    pub(super) volumes: Vec<PersistentVolume>,
    /// What may not be read, and why: the forecast knows nothing of it.
    pub(super) gaps: Vec<String>,
}

impl Seen {
    pub(super) async fn of(client: &Client, node: &str, options: &DrainOptions) -> Result<Self, AccessError> {
        let of_node = pods_of(node, options);
        let (mut pods, mut daemon_sets) = (Vec::new(), DaemonSets::new());
        pages(&Api::<Pod>::all(client.clone()), &of_node, |pod| pods.push(pod)).await?;
        let everything = ListParams::default();
        // Nobody needs the right to read what none of the pods is of.
        if pods.iter().any(|pod| daemon_set(pod).is_some()) {
            let named: Api<PartialObjectMeta<DaemonSet>> = Api::all(client.clone());
            pages(&named, &everything, |daemon_set| {
                let metadata = daemon_set.metadata;
                daemon_sets.extend(metadata.namespace.zip(metadata.name));
            })
            .await?;
        }

        let has_claims = pods.iter().any(|pod| claims(pod).next().is_some());
        let mut seen = Self {
            pods,
            daemon_sets,
            budgets: Budgets::default(),
            budgets_are_seen: false,
            complete: Complete::new(),
            places: None,
            volumes: Vec::new(),
            gaps: Vec::new(),
        };
        let Self { budgets, volumes, gaps, .. } = &mut seen;
        let mut places = Vec::new();
        let all: Api<PodDisruptionBudget> = Api::all(client.clone());
        let listed = pages(&all, &everything, |budget| budgets.put(Budget::of(&budget))).await;
        let budgets_are_seen = may_be_hidden("disruption budgets", listed, gaps)?;
        let listed = pages(&Api::<Node>::all(client.clone()), &everything, |other| {
            if other.metadata.name.as_deref() != Some(node) {
                places.push(Place::of(other));
            }
        })
        .await;
        let places = may_be_hidden("other nodes", listed, gaps)?.then_some(places);
        if has_claims {
            let all: Api<PersistentVolume> = Api::all(client.clone());
            let listed = pages(&all, &everything, |volume| volumes.push(volume)).await;
            may_be_hidden("volumes", listed, gaps)?;
        }
        seen.complete = controllers::complete(client, &seen.pods, &seen.budgets).await;
        seen.places = places;
        seen.budgets_are_seen = budgets_are_seen;
        Ok(seen)
    }
}

/// All pods of a node.
pub(super) fn of_node(node: &str) -> ListParams {
    ListParams::default().fields(&format!("spec.nodeName={node}"))
}

/// The pods of a node that a drain is about.
pub(super) fn pods_of(node: &str, options: &DrainOptions) -> ListParams {
    let list = of_node(node);
    match &options.pod_selector {
        Some(selector) => list.labels(selector),
        None => list,
    }
}

/// Who may not read something drains without it. Whether it was read.
fn may_be_hidden(
    what: &str,
    listed: Result<(), AccessError>,
    gaps: &mut Vec<String>,
) -> Result<bool, AccessError> {
    match listed {
        Err(error @ AccessError::Refused { status: 403, .. }) => {
            gaps.push(format!("{what} cannot be read: {error}"));
            Ok(false)
        }
        listed => listed.map(|()| true),
    }
}

/// All objects, page by page.
pub(super) async fn pages<K>(
    api: &Api<K>,
    list: &ListParams,
    mut each: impl FnMut(K),
) -> Result<(), AccessError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut list = list.clone().limit(PAGE);
    loop {
        let page = answered(api.list(&list)).await?;
        page.items.into_iter().for_each(&mut each);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) if list.continue_token.as_deref() != Some(&token) => {
                list.continue_token = Some(token)
            }
            _ => return Ok(()),
        }
    }
}

/// An answer, in time.
pub(super) async fn answered<T>(asked: impl Future<Output = kube::Result<T>>) -> Result<T, AccessError> {
    let answered = timeout(ANSWER, asked).await.map_err(|_| AccessError::TimedOut(ANSWER))?;
    answered.map_err(|error| AccessError::of(&error))
}
