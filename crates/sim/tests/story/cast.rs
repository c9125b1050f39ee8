//! Who plays in this run what the recorded one named: a namespace, a label, nodes.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::{Api, ListParams};
use kube::{Resource as _, ResourceExt as _};
use testkit::Cluster;

/// The scenes about a node as such.
const NODE_SCENES: std::ops::RangeInclusive<u32> = 18..=22;

/// The names of this run.
pub(crate) struct Cast {
    /// The namespace `rec`.
    pub(crate) namespace: String,
    /// The role and the binding of the reader.
    pub(crate) reader: String,
    /// The label `team`, by which the recorded run found its namespace among all.
    team: String,
    /// The nodes that the story makes.
    pub(crate) nodes: [String; 3],
    /// The node with the pods: the first of the story's own, or on a real cluster one that has a kubelet already.
    pub(crate) pods_on: String,
    /// The image of the job, which must end well.
    image: &'static str,
}

impl Cast {
    pub(crate) async fn new(cluster: &Cluster) -> Result<Cast> {
        let namespace = cluster.unique("rec");
        cluster.remove_at_end::<Namespace>(&namespace);
        let nodes = [1, 2, 3].map(|number| cluster.unique(&format!("node-{number}")));
        for node in &nodes {
            cluster.remove_at_end::<Node>(node);
        }
        let (pods_on, image) = match cluster.sim() {
            Some(_) => (nodes[0].clone(), "worker"),
            None => (ready_node(cluster).await?, "busybox"),
        };
        let (reader, team) = (cluster.unique("reader"), cluster.unique("team"));
        Ok(Cast { namespace, reader, team, nodes, pods_on, image })
    }

    /// The text of a recording with the names of this run.
    pub(crate) fn rename(&self, number: u32, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, own) in self.nodes.iter().enumerate() {
            let has_pods = index == 0 && !NODE_SCENES.contains(&number);
            let node = if has_pods { &self.pods_on } else { own };
            text = text.replace(&format!("ip-10-0-0-{}.ec2.internal", index + 1), node);
        }
        let words = [("rec", self.namespace.as_str()), ("team", &self.team), ("worker", self.image)];
        words.into_iter().fold(text, |text, (word, other)| replace_word(&text, word, other))
    }
}

/// A node that takes pods.
async fn ready_node(cluster: &Cluster) -> Result<String> {
    let nodes = Api::<Node>::all(cluster.client()).list(&ListParams::default()).await?.items;
    let takes_pods = |node: &&Node| {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let is_ready = conditions.into_iter().any(|state| state.type_ == "Ready" && state.status == "True");
        let is_free = node.spec.as_ref().is_none_or(|spec| spec.taints.is_none());
        is_ready && is_free && node.meta().deletion_timestamp.is_none()
    };
    Ok(nodes.iter().find(takes_pods).context("no node is ready and without taints")?.name_any())
}

/// Replaces a word, but not where it is a part of another.
fn replace_word(text: &str, word: &str, other: &str) -> String {
    let joins = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let mut replaced = String::with_capacity(text.len());
    let mut rest = 0;
    for (start, _) in text.match_indices(word) {
        let end = start + word.len();
        let stands_alone = !text[..start].ends_with(joins) && !text[end..].starts_with(joins);
        replaced.push_str(&text[rest..start]);
        replaced.push_str(if stands_alone { other } else { word });
        rest = end;
    }
    replaced + &text[rest..]
}
