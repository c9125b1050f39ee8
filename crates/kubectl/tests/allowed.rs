//! What the grammar allows, and what `kubectl` is given then.

use kubectl::{Command, Permissions};

const ALL: Permissions = Permissions { writes: true, secrets: true };

/// A line, and the arguments that are written from it.
const LINES: &[(&str, &str)] = &[
    ("get pods", "get pods"),
    ("kubectl get pods", "get pods"),
    ("get pods -A", "get pods --all-namespaces"),
    ("get pods -A -o wide", "get pods --all-namespaces --output=wide"),
    ("get pods -Ao wide", "get pods --all-namespaces --output=wide"),
    ("get pods -Aowide", "get pods --all-namespaces --output=wide"),
    ("get -n kube-system pods", "get pods --namespace=kube-system"),
    ("get -nkube-system pods", "get pods --namespace=kube-system"),
    ("get -n=kube-system pods", "get pods --namespace=kube-system"),
    ("get pods --namespace kube-system", "get pods --namespace=kube-system"),
    ("get pods --all-namespaces=true", "get pods --all-namespaces"),
    ("get pods --all-namespaces=false", "get pods --all-namespaces=false"),
    ("get pod web-0 web-1", "get pod web-0 web-1"),
    ("get pod/web-0 deployment/web", "get pod/web-0 deployment/web"),
    ("get pods,services,deployments.apps", "get pods,services,deployments.apps"),
    ("get deployments.v1.apps", "get deployments.v1.apps"),
    ("get pods -l 'app=web,tier in (a, b)'", "get pods --selector=app=web,tier in (a, b)"),
    ("get pods -l=app=web", "get pods --selector=app=web"),
    (
        "get pods -o jsonpath='{.items[*].metadata.name}'",
        "get pods --output=jsonpath={.items[*].metadata.name}",
    ),
    (
        "get pods -o custom-columns=NAME:.metadata.name",
        "get pods --output=custom-columns=NAME:.metadata.name",
    ),
    ("get pods --field-selector=status.phase!=Running", "get pods --field-selector=status.phase!=Running"),
    ("get clusterrole system:node", "get clusterrole system:node"),
    ("get configmap secrets", "get configmap secrets"),
    ("get nodes --sort-by=.metadata.name -L zone", "get nodes --sort-by=.metadata.name --label-columns=zone"),
    ("describe node node-1", "describe node node-1"),
    ("logs web-0 -c app --tail=100 --since 10m", "logs web-0 --container=app --tail=100 --since=10m"),
    ("logs deployment/web", "logs deployment/web"),
    ("logs -l app=web --all-containers", "logs --selector=app=web --all-containers"),
    ("logs web-0 app -p", "logs web-0 app --previous"),
    ("events -n default --for pod/web-0", "events --namespace=default --for=pod/web-0"),
    ("top pods -A", "top pods --all-namespaces"),
    ("top node", "top node"),
    ("rollout status deployment/web --timeout=10s", "rollout status deployment/web --timeout=10s"),
    ("rollout history deployment web", "rollout history deployment web"),
    (
        "wait pod/web-0 --for=condition=Ready --timeout=5s",
        "wait pod/web-0 --for=condition=Ready --timeout=5s",
    ),
    ("explain pods.spec.containers --recursive", "explain pods.spec.containers --recursive"),
    ("api-resources --verbs=list -o name", "api-resources --verbs=list --output=name"),
    ("api-versions", "api-versions"),
    ("version -o json", "version --output=json"),
    ("cluster-info", "cluster-info"),
    ("auth can-i get pods -A", "auth can-i get pods --all-namespaces"),
    ("auth can-i '*' '*'", "auth can-i * *"),
    ("auth can-i --list", "auth can-i --list"),
    ("auth whoami", "auth whoami"),
    ("scale deployment/web --replicas 3", "scale deployment/web --replicas=3"),
    ("autoscale deployment web --min=1 --max=3", "autoscale deployment web --min=1 --max=3"),
    ("rollout restart deployment/web", "rollout restart deployment/web"),
    ("rollout undo deployment/web --to-revision=2", "rollout undo deployment/web --to-revision=2"),
    ("rollout pause deployment/web", "rollout pause deployment/web"),
    ("rollout resume deployment/web", "rollout resume deployment/web"),
    ("cordon node-1", "cordon node-1"),
    ("uncordon node-1", "uncordon node-1"),
    ("drain node-1 --ignore-daemonsets", "drain node-1 --ignore-daemonsets"),
    ("taint nodes node-1 key=value:NoSchedule", "taint nodes node-1 key=value:NoSchedule"),
    ("taint node node-1 key:NoSchedule-", "taint node node-1 key:NoSchedule-"),
    ("label pods web-0 app.example.com/tier=web old-", "label pods web-0 app.example.com/tier=web old-"),
    ("label pods --all a=b", "label pods a=b --all"),
    ("annotate pod/web-0 note='two words'", "annotate pod/web-0 note=two words"),
    ("set image deployment/web web=nginx:1.29", "set image deployment/web web=nginx:1.29"),
    ("set env deployment/web LEVEL=debug", "set env deployment/web LEVEL=debug"),
    ("set resources deployment web --limits=cpu=1", "set resources deployment web --limits=cpu=1"),
    (
        r#"patch deployment web --type=merge -p '{"spec":{"replicas":2}}'"#,
        r#"patch deployment web --type=merge --patch={"spec":{"replicas":2}}"#,
    ),
    ("delete pod web-0 --grace-period=0 --force", "delete pod web-0 --grace-period=0 --force"),
    ("create namespace shop", "create namespace shop"),
    ("get secrets", "get secrets"),
];

#[test]
fn what_is_allowed_is_written_anew() {
    for (line, expected) in LINES {
        let command = Command::parse(line, &ALL).unwrap_or_else(|refused| panic!("{line}: {refused}"));
        assert_eq!(command.arguments().join(" "), *expected, "{line}");
    }
}

/// The real `kubectl` knows every verb and every flag: it gets as far as the cluster, which is not there.
#[test]
fn kubectl_understands_what_is_written() {
    for (line, _) in LINES {
        let command = Command::parse(line, &ALL).unwrap();
        let output = std::process::Command::new("kubectl")
            .args(command.arguments())
            .env("KUBECONFIG", "/dev/null")
            .env("KUBERNETES_MASTER", "http://127.0.0.1:1")
            .output()
            .expect("kubectl is needed (`cargo xtask test` gets it)");
        let said = String::from_utf8_lossy(&output.stderr);
        for misunderstood in
            ["unknown", "invalid argument", "Usage:", "required", "must specify", "must be specified"]
        {
            assert!(!said.contains(misunderstood), "{line}: {said}");
        }
    }
}

#[test]
fn it_is_known_which_commands_change_something_and_which_print_json() {
    let parse = |line: &str| Command::parse(line, &ALL).unwrap();
    assert!(!parse("get pods").changes() && parse("scale deployment/web --replicas=1").changes());
    assert!(parse("get pods -o json").is_json() && !parse("get pods -o yaml").is_json());
}

#[test]
fn what_is_given_to_variables_and_secrets_is_not_recorded() {
    for (line, recorded) in [
        ("  kubectl get pods -A ", "kubectl get pods -A"),
        ("label pod web tier=front", "label pod web tier=front"),
        ("annotate pod web note=hunter2", "annotate pod web note=***"),
        ("patch deployment web -p '{\"spec\":{\"x\":\"hunter2\"}}'", "patch deployment web --patch=***"),
        ("set env deployment/web PASSWORD=hunter2 OLD-", "set env deployment/web PASSWORD=*** OLD-"),
        ("annotate secret db note=hunter2 -n shop", "annotate secret db note=*** --namespace=shop"),
        ("patch secret db -p '{\"stringData\":{\"a\":\"hunter2\"}}'", "patch secret db --patch=***"),
    ] {
        assert_eq!(Command::parse(line, &ALL).unwrap().recorded(), recorded);
    }
}
