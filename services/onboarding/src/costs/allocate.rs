//! Whose part of a cluster's cost is whose.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use contracts::resources::{Allocation, NodeCapacity, WorkloadShare};
use serde::Serialize;
use utoipa::ToSchema;

use super::money::{CENT, Cost, Money, Rates, hourly, monthly_cents};

/// No node has more: 10,000 processors and 256 TiB. Nothing vouches for what an agent says.
const MOST_CPU: i128 = 10_000_000;
const MOST_MEMORY: i128 = 1 << 48;
/// And all volumes together are no larger than an EiB.
const MOST_STORAGE: i128 = 1 << 60;
/// In bytes.
const GIB: f64 = 1_073_741_824.0;

/// What a cluster costs, and what for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Costs {
    /// All nodes and volumes. It is the sum of what is allocated, what is idle, and storage, to the last digit.
    pub(crate) total: Cost,
    /// All workloads.
    pub(crate) allocated: Cost,
    /// What nobody holds.
    pub(crate) idle: Part,
    /// All volumes; absent where their cost or their size is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage: Option<Storage>,
    /// The workloads' parts by namespace, the dearest first.
    pub(crate) namespaces: Vec<NamespaceCosts>,
}

/// A part of the cluster, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Part {
    pub(crate) cpu_cores: f64,
    pub(crate) memory_gib: f64,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

/// The cluster's volumes, and what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Storage {
    pub(crate) gib: f64,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct NamespaceCosts {
    pub(crate) namespace: String,
    #[serde(flatten)]
    pub(crate) part: Part,
    /// The dearest first.
    pub(crate) workloads: Vec<WorkloadCosts>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct WorkloadCosts {
    /// `Kind/name`
    pub(crate) workload: String,
    pub(crate) pods: u64,
    #[serde(flatten)]
    pub(crate) part: Part,
}

/// What a workload holds, or nobody does, on all nodes together.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    pods: u64,
    cpu_millis: i128,
    memory_bytes: i128,
}

impl Held {
    fn add(&mut self, pods: u64, cpu_millis: i128, memory_bytes: i128) {
        self.pods += pods;
        self.cpu_millis += cpu_millis;
        self.memory_bytes += memory_bytes;
    }

    fn part(&self, hourly: i64, cents: i64) -> Part {
        let cost = Cost { hourly: Money(hourly), monthly: Money(cents * CENT) };
        Part { cpu_cores: readable(self.cpu_millis, 1e3), memory_gib: readable(self.memory_bytes, GIB), cost }
    }
}

/// So much in a larger unit, to three decimals.
fn readable(amount: i128, unit: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for a person")]
    let amount = amount as f64 / unit;
    (amount * 1e3).round() / 1e3
}

/// Divides the cost of the nodes among those who hold them. What is held beyond what a node has is cut in proportion, so that
/// nobody pays for more than there is; what is held on nodes that are gone is left out.
pub(crate) fn allocate(rates: &Rates, allocation: &Allocation) -> Costs {
    let mut of_node = HashMap::<&str, Vec<&WorkloadShare>>::new();
    for share in &allocation.workloads {
        of_node.entry(&share.node).or_default().push(share);
    }
    let mut held = BTreeMap::<(&str, &str), Held>::new();
    let (mut idle, mut capacity) = (Held::default(), Held::default());
    for node in &allocation.nodes {
        let shares = of_node.remove(node.name.as_str()).unwrap_or_default();
        let NodeCapacity { cpu_millis, memory_bytes, .. } = node;
        let (has_cpu, has_memory) =
            (i128::from(*cpu_millis).min(MOST_CPU), i128::from(*memory_bytes).min(MOST_MEMORY));
        let cpu = cut(has_cpu, shares.iter().map(|share| share.cpu_millis));
        let memory = cut(has_memory, shares.iter().map(|share| share.memory_bytes));
        capacity.add(0, has_cpu, has_memory);
        idle.add(0, has_cpu - cpu.iter().sum::<i128>(), has_memory - memory.iter().sum::<i128>());
        for ((share, cpu), memory) in shares.iter().zip(cpu).zip(memory) {
            held.entry((&share.namespace, &share.workload)).or_default().add(share.pods, cpu, memory);
        }
    }
    let storage = allocation.storage_bytes.map(|bytes| i128::from(bytes).min(MOST_STORAGE));
    add_up(rates, &capacity, &idle, &held, storage)
}

/// What each holds of so much: as they say, or in proportion where that is more than there is.
fn cut(capacity: i128, wanted: impl Iterator<Item = u64> + Clone) -> Vec<i128> {
    let sum: i128 = wanted.clone().map(i128::from).sum();
    if sum <= capacity {
        return wanted.map(i128::from).collect();
    }
    apportion(capacity, &wanted.map(i128::from).collect::<Vec<_>>())
}

fn add_up(
    rates: &Rates,
    capacity: &Held,
    idle: &Held,
    held: &BTreeMap<(&str, &str), Held>,
    storage_bytes: Option<i128>,
) -> Costs {
    let exact = |held: &Held| rates.of(held.cpu_millis, held.memory_bytes);
    // The last one is idle.
    let exacts: Vec<i128> = held.values().chain([idle]).map(|held| exact(held).0).collect();
    let total = exact(capacity);
    let mut hours = apportion(hourly(total).into(), &exacts);
    let mut cents = apportion(monthly_cents(total).into(), &exacts);
    let narrow = |amount: Option<i128>| i64::try_from(amount.unwrap_or_default()).unwrap_or(i64::MAX);
    let idle = idle.part(narrow(hours.pop()), narrow(cents.pop()));

    let mut namespaces = BTreeMap::<&str, (Held, i64, i64, Vec<WorkloadCosts>)>::new();
    for (((namespace, workload), held), (hour, cent)) in held.iter().zip(hours.into_iter().zip(cents)) {
        let (hour, cent) = (narrow(Some(hour)), narrow(Some(cent)));
        let (sum, hours, cents, workloads) = namespaces.entry(namespace).or_default();
        sum.add(held.pods, held.cpu_millis, held.memory_bytes);
        *hours += hour;
        *cents += cent;
        workloads.push(WorkloadCosts {
            workload: (*workload).to_owned(),
            pods: held.pods,
            part: held.part(hour, cent),
        });
    }
    let nodes = Cost::rounded(total);
    let storage = storage_bytes.and_then(|bytes| {
        Some(Storage { gib: readable(bytes, GIB), cost: Cost::rounded(rates.of_storage(bytes)?) })
    });
    let of_namespace =
        |(namespace, (sum, hours, cents, mut workloads)): (&str, (Held, i64, i64, Vec<WorkloadCosts>))| {
            workloads.sort_by_key(|workload| Reverse(workload.part.cost.monthly));
            NamespaceCosts { namespace: namespace.to_owned(), part: sum.part(hours, cents), workloads }
        };
    let mut namespaces: Vec<NamespaceCosts> = namespaces.into_iter().map(of_namespace).collect();
    namespaces.sort_by_key(|namespace| Reverse(namespace.part.cost.monthly));
    let allocated = Cost {
        hourly: Money(nodes.hourly.0 - idle.cost.hourly.0),
        monthly: Money(nodes.monthly.0 - idle.cost.monthly.0),
    };
    let total = storage.map_or(nodes, |storage| nodes.plus(storage.cost));
    Costs { total, allocated, idle, storage, namespaces }
}

/// Divides a whole number in proportion to weights, so that the parts add up to it: each is rounded down, and what is left
/// goes to those that lost most (the largest remainder, Hamilton's method).
fn apportion(whole: i128, weights: &[i128]) -> Vec<i128> {
    let sum: i128 = weights.iter().sum();
    // So that products fit: a weight's last bits make no difference then.
    let shift = (i128::BITS - sum.leading_zeros()).saturating_sub(62);
    let weights: Vec<i128> = weights.iter().map(|weight| weight >> shift).collect();
    let sum: i128 = weights.iter().sum();
    if sum <= 0 {
        let mut parts = vec![0; weights.len()];
        if let Some(last) = parts.last_mut() {
            *last = whole;
        }
        return parts;
    }
    let mut parts: Vec<i128> = weights.iter().map(|weight| mul_div(whole, *weight, sum).0).collect();
    let left = whole - parts.iter().sum::<i128>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|at| Reverse(mul_div(whole, weights[*at], sum).1));
    for at in order.into_iter().take(usize::try_from(left).unwrap_or_default()) {
        parts[at] += 1;
    }
    parts
}

/// `a × b / c` and the remainder.
fn mul_div(a: i128, b: i128, c: i128) -> (i128, i128) {
    let product = a * b;
    (product / c, product % c)
}

#[cfg(test)]
mod tests {
    use contracts::resources::{Provenance, Source};
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn node(name: &str, cpu_millis: u64, memory_bytes: u64) -> NodeCapacity {
        NodeCapacity { name: name.to_owned(), cpu_millis, memory_bytes }
    }

    fn share(
        namespace: &str,
        workload: &str,
        node: &str,
        cpu_millis: u64,
        memory_bytes: u64,
    ) -> WorkloadShare {
        WorkloadShare {
            namespace: namespace.to_owned(),
            workload: workload.to_owned(),
            node: node.to_owned(),
            pods: 1,
            cpu_millis,
            memory_bytes,
        }
    }

    fn allocation(nodes: Vec<NodeCapacity>, workloads: Vec<WorkloadShare>) -> Allocation {
        let provenance = Provenance { source: Source::Api, age_ms: 0, simulated: false };
        Allocation {
            nodes,
            total_count: workloads.len(),
            workloads,
            storage_bytes: None,
            usage_known: false,
            provenance,
        }
    }

    fn rates() -> Rates {
        Rates { cpu_cost: Some(Money(400)), memory_cost: Some(Money(100)), ..Rates::default() }
    }

    #[test]
    fn workloads_pay_what_they_hold_and_the_rest_is_idle() {
        // 2 processors at 4 cents and 4 GiB at a cent: 12 cents an hour.
        let nodes = vec![node("a", 2000, 4 * GIB)];
        let shares =
            vec![share("shop", "Deployment/web", "a", 500, GIB), share("ops", "DaemonSet/log", "a", 250, 0)];
        let costs = allocate(&rates(), &allocation(nodes, shares));
        assert_eq!(costs.total, Cost { hourly: Money(1200), monthly: Money(876_000) });
        assert_eq!(
            (costs.namespaces[0].namespace.as_str(), costs.namespaces[0].part.cost.hourly),
            ("shop", Money(300))
        );
        assert_eq!(costs.namespaces[1].workloads[0].part.cost.hourly, Money(100));
        assert_eq!((costs.idle.cpu_cores, costs.idle.memory_gib), (1.25, 3.0));
        assert_eq!((costs.idle.cost.hourly, costs.allocated.hourly), (Money(800), Money(400)));
    }

    #[test]
    fn a_node_that_is_asked_for_more_than_it_has_is_divided() {
        let nodes = vec![node("a", 1000, 0), node("b", 1000, 0)];
        let shares = vec![
            share("x", "Pod/1", "a", 1500, 0),
            share("x", "Pod/2", "a", 500, 0),
            share("x", "Pod/3", "gone", 9, 9),
        ];
        let costs = allocate(&rates(), &allocation(nodes, shares));
        let hourly: Vec<Money> =
            costs.namespaces[0].workloads.iter().map(|workload| workload.part.cost.hourly).collect();
        assert_eq!(hourly, [Money(300), Money(100)]);
        assert_eq!(costs.idle.cost.hourly, Money(400));
    }

    #[test]
    fn storage_is_a_line_of_its_own() {
        let mut counted = allocation(vec![node("a", 1000, 0)], Vec::new());
        counted.storage_bytes = Some(100 * GIB);
        assert_eq!(allocate(&rates(), &counted).storage, None, "its cost is unknown");
        let rates = Rates { storage_cost: Some(Money(2)), ..rates() };
        let costs = allocate(&rates, &counted);
        let storage = Cost { hourly: Money(200), monthly: Money(146_000) };
        assert_eq!(costs.storage, Some(Storage { gib: 100.0, cost: storage }));
        assert_eq!(costs.total.hourly, Money(400 + 200));
        assert_eq!(costs.idle.cost.hourly, Money(400));
    }

    #[test]
    fn an_empty_cluster_costs_nothing() {
        let costs = allocate(&rates(), &allocation(Vec::new(), Vec::new()));
        assert_eq!(costs.total, Cost { hourly: Money(0), monthly: Money(0) });
        assert!(costs.namespaces.is_empty());
    }

    #[test]
    fn nonsense_of_an_agent_is_bounded() {
        let nodes = vec![node("a", u64::MAX, u64::MAX), node("b", u64::MAX, u64::MAX)];
        let shares =
            vec![share("x", "Pod/1", "a", u64::MAX, u64::MAX), share("x", "Pod/2", "a", u64::MAX, 1)];
        let most = Rates {
            cpu_cost: Some(Money(10_000_000_000)),
            memory_cost: Some(Money(10_000_000_000)),
            ..Rates::default()
        };
        let costs = allocate(&most, &allocation(nodes, shares));
        assert_eq!(costs.allocated.hourly.0 + costs.idle.cost.hourly.0, costs.total.hourly.0);
    }

    proptest! {
        #[test]
        fn sums_add_up_to_the_last_digit(
            nodes in proptest::collection::vec((1_u64..256_000, 1_u64..(1 << 42)), 1..6),
            shares in proptest::collection::vec((0..4_usize, 0..6_usize, 0..6_usize, 0_u64..64_000, 0_u64..(1 << 38)), 0..40),
            cpu in 0_i64..100_000, memory in 0_i64..100_000,
        ) {
            let nodes = nodes.into_iter().enumerate().map(|(at, (cpu, memory))| node(&at.to_string(), cpu, memory)).collect();
            let shares = shares.into_iter()
                .map(|(namespace, workload, node, cpu, memory)| {
                    share(&namespace.to_string(), &workload.to_string(), &node.to_string(), cpu, memory)
                })
                .collect();
            let rates = Rates { cpu_cost: Some(Money(cpu)), memory_cost: Some(Money(memory)), ..Rates::default() };
            let costs = allocate(&rates, &allocation(nodes, shares));
            for of in [|cost: &Cost| cost.hourly.0, |cost: &Cost| cost.monthly.0] {
                let namespaces: i64 = costs.namespaces.iter().map(|namespace| of(&namespace.part.cost)).sum();
                prop_assert_eq!(namespaces, of(&costs.allocated));
                prop_assert_eq!(namespaces + of(&costs.idle.cost), of(&costs.total));
                for namespace in &costs.namespaces {
                    let workloads: i64 = namespace.workloads.iter().map(|workload| of(&workload.part.cost)).sum();
                    prop_assert_eq!(workloads, of(&namespace.part.cost));
                }
                prop_assert!(of(&costs.idle.cost) >= 0);
            }
        }
    }
}
