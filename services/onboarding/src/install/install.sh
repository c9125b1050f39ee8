#!/bin/sh
# Connects the cluster of the current kubectl context to Kubesage, by its read-only agent.
#
# It holds no key: it fetches the agent's key once, with a token that is worth nothing afterwards. It may be run again: what
# is there already is brought up to date.
set -eu

CLUSTER={{ cluster_name | sh }}
CLUSTER_ID={{ cluster_id | sh }}
AGENT_ID={{ agent_id | sh }}
PROVIDER={{ provider | sh }}
ENDPOINT={{ endpoint | sh }}
TOKEN={{ token | sh }}

NAMESPACE=spot-optimizer-system
AGENT=spot-optimizer-agent

usage() {
  cat <<'TEXT'
Usage: sh install.sh [OPTION…]        or, where it comes through a pipe:  … | sh -s -- [OPTION…]

  --context NAME          the kubectl context; without it: the current one
  --ca-file FILE          trust these certificates (PEM) too, for a relay with a private authority
  --https-proxy URL       the agent connects through this proxy; one with a password is better given in the variable
                          AGENT_HTTPS_PROXY: arguments can be seen by other processes
  --no-proxy LIST         hosts, domains and networks that it reaches without the proxy
  --replace               take the place of the agent of another cluster that is installed here
  --allow-insecure        connect although the relay's address is not encrypted
  --timeout SECONDS       how long to wait for the agent; 180 unless said otherwise
  --check                 only check what is needed, and change nothing
  --help                  this text
TEXT
}

say() { printf '%s\n' "$*"; }
verdict=''
fail() {
  verdict=no
  printf 'NOT CONNECTED: %s\n' "$*" >&2
  exit 1
}
# Whatever ends the script, its last line says how it went.
trap '[ -n "$verdict" ] || fail "this was interrupted, or a command failed; see above, and run this again"' EXIT

# Not https_proxy and no_proxy: where these are exported they are curl's and kubectl's, which go their own way.
context='' ca_file='' agent_proxy="${AGENT_HTTPS_PROXY:-}" agent_no_proxy='' allow_insecure='' timeout=180 only_check='' replace=''

options() {
  while [ $# -gt 0 ]; do
    case $1 in
      --context | --ca-file | --https-proxy | --no-proxy | --timeout)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in
          --context) context=$2 ;;
          --ca-file) ca_file=$2 ;;
          --https-proxy) agent_proxy=$2 ;;
          --no-proxy) agent_no_proxy=$2 ;;
          --timeout) timeout=$2 ;;
        esac
        shift 2
        ;;
      --allow-insecure) allow_insecure=true && shift ;;
      --replace) replace=true && shift ;;
      --check) only_check=true && shift ;;
      --help) usage && verdict=none && exit 0 ;;
      *) usage >&2 && fail "there is no option $1" ;;
    esac
  done
  case $timeout in '' | *[!0-9]*) fail "--timeout must be a number of seconds" ;; esac
  # They are written into a manifest.
  case $agent_proxy$agent_no_proxy in *[!]A-Za-z0-9.:/,*_~%@+=[-]*) fail "the proxy's settings hold a character that has no place there" ;; esac
  [ -z "$ca_file" ] || [ -r "$ca_file" ] || fail "the certificates $ca_file cannot be read"
}

kube() { "$KUBECTL" ${context:+"--context=$context"} "$@"; }
in_namespace() { kube --namespace "$NAMESPACE" "$@"; }
# Not with client-side apply, which keeps a copy of a Secret in an annotation.
apply() { kube apply --server-side --force-conflicts --field-manager=kubesage -f -; }

# How a person gets the rights of an administrator, and a context for the cluster.
advice() {
  case $PROVIDER in
    eks) say "aws eks update-kubeconfig --name CLUSTER --region REGION, as who is an administrator by the cluster's access entries" ;;
    aks) say "az aks get-credentials --resource-group GROUP --name CLUSTER --admin" ;;
    gke) say "gcloud container clusters get-credentials CLUSTER --location LOCATION, with the role Kubernetes Engine Admin" ;;
    openshift) say "oc login, as who has the cluster role cluster-admin" ;;
    kops) say "kops export kubeconfig --admin" ;;
    *) say "a kubeconfig of an administrator" ;;
  esac
}

find_kubectl() {
  KUBECTL=${KUBECTL:-kubectl}
  if ! command -v "$KUBECTL" >/dev/null 2>&1; then
    # OpenShift's client does what kubectl does.
    command -v oc >/dev/null 2>&1 || fail "kubectl is missing: install it (https://kubernetes.io/docs/tasks/tools/) and run this again"
    KUBECTL=oc
  fi
  command -v curl >/dev/null 2>&1 || fail "curl is missing: install it and run this again"
}

check_endpoint() {
  case $ENDPOINT in
    https://* | http://localhost | http://localhost[:/]* | http://127.* | 'http://[::1]'*) ;;
    *) [ -n "$allow_insecure" ] || fail "$ENDPOINT is not encrypted, so the agent would refuse it; use --allow-insecure if nobody else can listen on the way" ;;
  esac
}

check_cluster() {
  : "${context:=$(kube config current-context 2>/dev/null || true)}"
  [ -n "$context" ] || fail "kubectl has no current context: $(advice)"
  say "Cluster:  $CLUSTER ($PROVIDER)"
  say "Context:  $context"
  reason=$(kube get --raw /version --request-timeout=20s 2>&1 >/dev/null) ||
    fail "the cluster of the context $context cannot be reached: $reason; try: $(advice)"
}

can() { [ "$(in_namespace auth can-i "$@" 2>/dev/null </dev/null || true)" = yes ]; }

# One right, as `kubectl auth can-i` takes it: verb resource [--subresource=part].
need() {
  can "$@" || missing="$missing
  - $*"
}

# What this script does, and what the role grants: nobody can grant what they may not do themselves.
check_rights() {
  missing=''
  for kind in namespaces serviceaccounts clusterroles.rbac.authorization.k8s.io \
    clusterrolebindings.rbac.authorization.k8s.io secrets deployments.apps ${ca_file:+configmaps}; do
    need create "$kind"
    need patch "$kind"
  done
  for verb in get list watch; do need "$verb" deployments.apps; done
  need get secrets
  if ! can escalate clusterroles.rbac.authorization.k8s.io || ! can bind clusterroles.rbac.authorization.k8s.io; then
    while read -r verb kind part; do
      need "$verb" "$kind" --all-namespaces ${part:+"$part"}
    done <<'RIGHTS'
{% for right in rights -%}
{{ right }}
{% endfor -%}
RIGHTS
  fi
  [ -z "$missing" ] || fail "you lack rights in this cluster:$missing
Ask an administrator of it, or become one: $(advice)"
  say "Rights:   all there"
}

# Two agents would have one name.
check_other() {
  other=$(in_namespace get deployment "$AGENT" --ignore-not-found \
    --output='jsonpath={.spec.template.spec.containers[0].env[?(@.name=="AGENT_ID")].value}')
  case $other in
    '' | "$AGENT_ID") ;;
    *) [ -n "$replace" ] || fail "the agent $other of another cluster of Kubesage is installed here; --replace takes its place" ;;
  esac
}

# The answer of the relay to a GET, and in the last line its status. The address holds the token, so it goes to curl on its
# standard input: arguments can be seen by other processes.
fetch() {
  printf 'url = "%s"\n' "$1" |
    curl -q --config - --silent --show-error --max-time 30 ${ca_file:+--cacert "$ca_file"} --write-out '\n%{http_code}'
}

fetch_manifest() {
  answer=$(fetch "$ENDPOINT/api/v1/install/$AGENT_ID/manifest.yaml?token=$TOKEN") ||
    fail "$ENDPOINT cannot be reached from here"
  manifest=${answer%????}
  case $answer in
    *200) ;;
    *)
      detail=$(printf '%s\n' "$manifest" | sed -n 's/.*"detail":"\([^"]*\)".*/\1/p')
      fail "${detail:-$ENDPOINT answered with an error}"
      ;;
  esac
}

# Settings of this cluster come before the agent, so that it starts with them.
apply_settings() {
  [ -n "$agent_proxy$agent_no_proxy$ca_file$allow_insecure" ] || return 0
  kube get namespace "$NAMESPACE" >/dev/null 2>&1 || kube create namespace "$NAMESPACE"
  if [ -n "$agent_proxy$agent_no_proxy$allow_insecure" ]; then
    {
      cat <<YAML
apiVersion: v1
kind: Secret
metadata:
  name: $AGENT-settings
  namespace: $NAMESPACE
stringData:
YAML
      [ -z "$agent_proxy" ] || say "  HTTPS_PROXY: '$agent_proxy'"
      [ -z "$agent_no_proxy" ] || say "  NO_PROXY: '$agent_no_proxy'"
      [ -z "$allow_insecure" ] || say "  ALLOW_INSECURE_ENDPOINT: 'true'"
    } | apply
  fi
  if [ -n "$ca_file" ]; then
    in_namespace create configmap "$AGENT-ca" --from-file="ca.crt=$ca_file" --dry-run=client --output=yaml | apply
  fi
  settings_changed=true
}

install() {
  settings_changed=''
  apply_settings
  was_there=$(in_namespace get deployment "$AGENT" --ignore-not-found --output=name)
  printf '%s\n' "$manifest" | apply || fail "the objects of the agent were not all taken; see above, and run this again"
  secret=$(in_namespace get secret "$AGENT" --ignore-not-found --output=name) || fail "the agent's Secret cannot be read; see above"
  [ -n "$secret" ] ||
    fail "the agent's key was handed out before, and its Secret is gone: make a new script (kubesage connect, or POST $ENDPOINT/api/v1/clusters/$CLUSTER_ID/install-script)"
  [ -z "$settings_changed" ] || [ -z "$was_there" ] || in_namespace rollout restart "deployment/$AGENT"
}

await_agent() {
  # Ready means that the agent is connected and its cluster answers it.
  if in_namespace rollout status "deployment/$AGENT" --timeout="${timeout}s"; then
    verdict=yes
    say "CONNECTED: the agent of cluster $CLUSTER ($CLUSTER_ID) is connected."
    return
  fi
  {
    say "What the agent says:"
    in_namespace get pods --selector="app=$AGENT" || true
    in_namespace logs "deployment/$AGENT" --tail=10 || true
  } >&2
  fail "the agent of cluster $CLUSTER did not connect to $ENDPOINT within $timeout seconds; its log says why: kubectl logs -n $NAMESPACE deployment/$AGENT"
}

main() {
  options "$@"
  find_kubectl
  check_endpoint
  check_cluster
  check_rights
  check_other
  if [ -n "$only_check" ]; then
    verdict=none
    say "Nothing was changed."
    return
  fi
  fetch_manifest
  install
  await_agent
}

# At the end, so that half a script does nothing; and without the rest of the pipe that it may come through.
main "$@" </dev/null
exit
