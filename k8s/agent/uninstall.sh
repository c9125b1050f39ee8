#!/bin/sh
# Takes the Kubesage agent out of the cluster of the current kubectl context. It may be run again.
#
#   sh uninstall.sh [--context NAME]
#
# The cluster stays known to Kubesage until it is deleted there: kubesage clusters delete NAME
set -eu

NAMESPACE=spot-optimizer-system
AGENT=spot-optimizer-agent

fail() {
  printf 'NOT REMOVED: %s\n' "$*" >&2
  exit 1
}

kube() { "$KUBECTL" ${context:+"--context=$context"} "$@"; }
delete() { kube delete --ignore-not-found --wait=true --timeout=120s "$@"; }

main() {
  context=''
  case $#:${1-} in
    0:) ;;
    2:--context) context=$2 ;;
    *) fail "the only option is --context NAME" ;;
  esac
  KUBECTL=${KUBECTL:-kubectl}
  command -v "$KUBECTL" >/dev/null 2>&1 || KUBECTL=oc
  command -v "$KUBECTL" >/dev/null 2>&1 || fail "kubectl is missing"
  reason=$(kube get --raw /version --request-timeout=20s 2>&1 >/dev/null) || fail "the cluster cannot be reached: $reason"
  # The agent before its rights, so that it does not complain of having lost them.
  delete --namespace "$NAMESPACE" deployment "$AGENT" || fail "the agent's deployment stays; see above"
  delete namespace "$NAMESPACE" || fail "the namespace $NAMESPACE stays; see above"
  delete clusterrolebinding spot-optimizer-reader-binding || fail "the agent's role binding stays; see above"
  delete clusterrole spot-optimizer-reader || fail "the agent's role stays; see above"
  printf '%s\n' "REMOVED: the agent is gone from this cluster."
}

main "$@" </dev/null
