//! Who runs the cluster and where, as its nodes tell.

use contracts::resources::Node;

/// What is recognised of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    /// `eks`, `aks`, `gke`, `openshift` or `kops`, if it is one of them.
    pub(crate) provider: Option<&'static str>,
    /// The region of most nodes, where they are labelled with one.
    pub(crate) region: Option<String>,
}

/// What marks the nodes of a provider: the beginning of a label's name, and a part of the kubelet's version. OpenShift and kOps
/// come first: they run on machines of the others.
const MARKS: [(&str, &[&str], Option<&str>); 5] = [
    ("openshift", &["node.openshift.io/"], None),
    ("kops", &["kops.k8s.io/"], None),
    ("eks", &["eks.amazonaws.com/", "alpha.eksctl.io/"], Some("-eks-")),
    ("gke", &["cloud.google.com/gke-"], Some("-gke.")),
    ("aks", &["kubernetes.azure.com/"], None),
];

/// Looks at the nodes of a cluster.
pub(crate) fn locate<'a>(nodes: impl Iterator<Item = &'a Node> + Clone) -> Location {
    let is_of = |node: &Node, labels: &[&str], version: Option<&str>| {
        node.labels.keys().any(|name| labels.iter().any(|label| name.starts_with(label)))
            || version.is_some_and(|version| node.kubelet_version.contains(version))
    };
    let mut marks = MARKS.iter();
    let provider = marks.find(|(_, labels, version)| nodes.clone().any(|node| is_of(node, labels, *version)));
    Location {
        provider: provider.map(|(name, ..)| *name),
        region: most_frequent(nodes.filter_map(|node| node.region.as_deref())),
    }
}

fn most_frequent<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn node(labels: &[&str], version: &str, region: Option<&str>) -> Node {
        Node {
            name: String::new(),
            status: "Ready".to_owned(),
            unschedulable: false,
            roles: Vec::new(),
            kubelet_version: version.to_owned(),
            instance_type: None,
            zone: None,
            region: region.map(str::to_owned),
            capacity_type: None,
            capacity: BTreeMap::new(),
            allocatable: BTreeMap::new(),
            created_at: None,
            labels: labels.iter().map(|name| ((*name).to_owned(), String::new())).collect(),
        }
    }

    #[test]
    fn nodes_tell_their_provider() {
        for (labels, version, provider) in [
            (&["eks.amazonaws.com/nodegroup"][..], "v1.34.1", Some("eks")),
            (&[], "v1.34.1-eks-1552ad0", Some("eks")),
            (&["cloud.google.com/gke-nodepool"], "v1.34.1", Some("gke")),
            (&[], "v1.34.1-gke.1000", Some("gke")),
            (&["kubernetes.azure.com/cluster"], "v1.34.1", Some("aks")),
            (&["node.openshift.io/os_id", "eks.amazonaws.com/x"], "v1.34.1", Some("openshift")),
            (&["kops.k8s.io/instancegroup"], "v1.34.1", Some("kops")),
            (&["kubernetes.io/os"], "v1.34.1", None),
        ] {
            assert_eq!(
                locate([node(labels, version, None)].iter()).provider,
                provider,
                "{labels:?} {version}"
            );
        }
    }

    #[test]
    fn the_region_is_that_of_most_nodes() {
        let nodes = ["b", "a", "b"].map(|region| node(&[], "v1", Some(region)));
        assert_eq!(locate(nodes.iter()).region.as_deref(), Some("b"));
        assert_eq!(locate([].iter()), Location::default());
    }
}
