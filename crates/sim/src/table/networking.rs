//! Services, endpoints, ingresses and network policies.

use serde_json::Value;

use super::column::{AGE, Field, NAME, Words, text};
use super::read::{self, age, count, list, name};
use super::{Printer, labels};

/// Lists in cells show this many.
const MOST: usize = 3;

pub(super) const SERVICE: Printer = Printer {
    columns: &[
        NAME,
        text("Type", Field("spec.type")),
        text("Cluster-IP", Field("spec.clusterIP")),
        text("External-IP", Field("spec.externalIPs")),
        text("Port(s)", Field("spec.ports")),
        AGE,
        text("Selector", Field("spec.selector")).wide(),
    ],
    cells: |service, now| {
        vec![
            name(service),
            read::text(service, "/spec/type").into(),
            read::text_or(service, "/spec/clusterIPs/0", "<none>").into(),
            external_address(service).into(),
            ports(service).into(),
            age(service, now),
            labels::format(service.pointer("/spec/selector")).into(),
        ]
    },
};

fn external_address(service: &Value) -> String {
    let own = list(service, "/spec/externalIPs").iter().filter_map(Value::as_str);
    match read::text(service, "/spec/type") {
        "ClusterIP" | "NodePort" => joined(&own.collect::<Vec<&str>>(), "<none>"),
        "LoadBalancer" => {
            let balanced = load_balancer(service);
            let balanced = balanced.iter().map(String::as_str);
            joined(&balanced.chain(own).collect::<Vec<&str>>(), "<pending>")
        }
        "ExternalName" => read::text(service, "/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn joined(parts: &[&str], otherwise: &str) -> String {
    if parts.is_empty() { otherwise.to_owned() } else { parts.join(",") }
}

/// Where a load balancer listens, each address once.
fn load_balancer(object: &Value) -> Vec<String> {
    let ingress = list(object, "/status/loadBalancer/ingress").iter();
    let mut addresses: Vec<String> = ingress
        .map(|point| read::text_or(point, "/ip", read::text(point, "/hostname")).to_owned())
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

fn ports(service: &Value) -> String {
    let ports = list(service, "/spec/ports").iter().map(|port| {
        let node_port = match count(port, "/nodePort") {
            number @ 1.. => format!(":{number}"),
            _ => String::new(),
        };
        format!("{}{node_port}/{}", count(port, "/port"), read::text(port, "/protocol"))
    });
    let ports: Vec<String> = ports.collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}

pub(super) const ENDPOINTS: Printer = Printer {
    columns: &[NAME, text("Endpoints", Field("subsets")), AGE],
    cells: |endpoints, now| vec![name(endpoints), addresses(endpoints).into(), age(endpoints, now)],
};

/// Every address with every port of its subset (`formatEndpoints`).
fn addresses(endpoints: &Value) -> String {
    let subsets = list(endpoints, "/subsets");
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = list(subset, "/addresses").iter().map(|address| read::text(address, "/ip"));
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            all.extend(addresses.clone().map(str::to_owned));
        }
        for port in ports {
            all.extend(addresses.clone().map(|address| host_port(address, count(port, "/port"))));
        }
    }
    read::first_of(&all, MOST, ",")
}

fn host_port(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

pub(super) const ENDPOINT_SLICE: Printer = Printer {
    columns: &[
        NAME,
        text("AddressType", Field("addressType")),
        text("Ports", Field("ports")),
        text("Endpoints", Field("endpoints")),
        AGE,
    ],
    cells: |slice, now| {
        let ports = list(slice, "/ports").iter().map(|port| match port["port"].as_i64() {
            Some(number) => number.to_string(),
            None => port["name"].as_str().unwrap_or("*").to_owned(),
        });
        let endpoints = list(slice, "/endpoints").iter();
        let addresses = endpoints.flat_map(|endpoint| list(endpoint, "/addresses")).filter_map(Value::as_str);
        vec![
            name(slice),
            read::text(slice, "/addressType").into(),
            some_of(&ports.collect::<Vec<String>>()).into(),
            some_of(&addresses.map(str::to_owned).collect::<Vec<String>>()).into(),
            age(slice, now),
        ]
    },
};

fn some_of(parts: &[String]) -> String {
    match read::first_of(parts, MOST, ",") {
        text if text.is_empty() => "<unset>".to_owned(),
        text => text,
    }
}

pub(super) const INGRESS: Printer = Printer {
    columns: &[
        NAME,
        text(
            "Class",
            Words("The name of the IngressClass resource that should be used for additional configuration"),
        ),
        text("Hosts", Words("Hosts that incoming requests are matched against before the ingress rule")),
        text("Address", Words("Address is a list containing ingress points for the load-balancer")),
        text("Ports", Words("Ports of TLS configurations that open")),
        AGE,
    ],
    cells: |ingress, now| {
        let tls = !list(ingress, "/spec/tls").is_empty();
        vec![
            name(ingress),
            read::text_or(ingress, "/spec/ingressClassName", "<none>").into(),
            hosts(ingress).into(),
            load_balancer(ingress).join(",").into(),
            if tls { "80, 443" } else { "80" }.into(),
            age(ingress, now),
        ]
    },
};

/// The hosts of the first rules; rules without a host are counted among those that are left out (`formatHosts`).
fn hosts(ingress: &Value) -> String {
    let rules = list(ingress, "/spec/rules");
    let named: Vec<&str> =
        rules.iter().map(|rule| read::text(rule, "/host")).filter(|host| !host.is_empty()).collect();
    let full = rules.iter().scan(0, |named, rule| {
        let before = *named;
        *named += usize::from(!read::text(rule, "/host").is_empty());
        Some(before)
    });
    match named.len() {
        0 => "*".to_owned(),
        _ if full.max() >= Some(MOST) => {
            format!("{} + {} more...", named[..MOST].join(","), rules.len() - MOST)
        }
        _ => named.join(","),
    }
}

pub(super) const INGRESS_CLASS: Printer = Printer {
    columns: &[
        NAME,
        text("Controller", Words("Controller that is responsible for handling this class")),
        text("Parameters", Words("A reference to a resource with additional parameters")),
        AGE,
    ],
    cells: |class, now| {
        let parameters = match &class["spec"]["parameters"] {
            Value::Null => "<none>".to_owned(),
            parameters => {
                let group = parameters["apiGroup"].as_str().map(|group| format!(".{group}"));
                let kind = read::text(parameters, "/kind");
                format!("{kind}{}/{}", group.unwrap_or_default(), read::text(parameters, "/name"))
            }
        };
        vec![name(class), read::text(class, "/spec/controller").into(), parameters.into(), age(class, now)]
    },
};

pub(super) const NETWORK_POLICY: Printer = Printer {
    columns: &[NAME, text("Pod-Selector", Field("spec.podSelector")), AGE],
    cells: |policy, now| {
        vec![
            name(policy),
            labels::format_selector(policy.pointer("/spec/podSelector")).into(),
            age(policy, now),
        ]
    },
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_of_services() {
        for (spec, status, expected) in [
            (json!({ "type": "ClusterIP" }), json!({}), "<none>"),
            (
                json!({ "type": "NodePort", "externalIPs": ["1.1.1.1", "2.2.2.2"] }),
                json!({}),
                "1.1.1.1,2.2.2.2",
            ),
            (json!({ "type": "LoadBalancer" }), json!({}), "<pending>"),
            (
                json!({ "type": "LoadBalancer", "externalIPs": ["9.9.9.9"] }),
                json!({ "loadBalancer": { "ingress": [{ "hostname": "b.example" }, { "ip": "1.2.3.4" }] } }),
                "1.2.3.4,b.example,9.9.9.9",
            ),
            (json!({ "type": "ExternalName", "externalName": "example.com" }), json!({}), "example.com"),
            (json!({}), json!({}), "<unknown>"),
        ] {
            assert_eq!(external_address(&json!({ "spec": spec, "status": status })), expected);
        }
    }

    #[test]
    fn ports_of_services() {
        let service = json!({ "spec": { "ports": [
            { "port": 80, "protocol": "TCP" }, { "port": 53, "nodePort": 30053, "protocol": "UDP" },
        ] } });
        assert_eq!(ports(&service), "80/TCP,53:30053/UDP");
    }

    #[test]
    fn many_endpoints() {
        let endpoints = json!({ "subsets": [{
            "addresses": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }],
            "ports": [{ "port": 80 }, { "port": 443 }],
        }] });
        assert_eq!(addresses(&endpoints), "10.0.0.1:80,[fd00::1]:80,10.0.0.1:443 + 1 more...");
    }

    #[test]
    fn hosts_of_ingresses() {
        let ingress = |hosts: &[&str]| {
            let rules: Vec<Value> = hosts.iter().map(|host| json!({ "host": host })).collect();
            super::hosts(&json!({ "spec": { "rules": rules } }))
        };
        assert_eq!(ingress(&[]), "*");
        assert_eq!(ingress(&["a", "", "b"]), "a,b");
        assert_eq!(ingress(&["a", "b", "c"]), "a,b,c");
        assert_eq!(ingress(&["a", "b", "c", ""]), "a,b,c + 1 more...");
    }
}
