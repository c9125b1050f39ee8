#!/bin/sh
# Installs the read-only Kubesage agent into the cluster of the current kubectl context.
# It may be run again: what is there already is brought up to date.
set -eu

command -v kubectl >/dev/null 2>&1 || { echo "kubectl is missing: install it and run this script again" >&2; exit 1; }

for kind in namespaces clusterroles.rbac.authorization.k8s.io clusterrolebindings.rbac.authorization.k8s.io \
  serviceaccounts secrets deployments.apps; do
  kubectl auth can-i create "$kind" -n spot-optimizer-system >/dev/null 2>&1 ||
    { echo "you may not create $kind in this cluster, or it cannot be reached: ask an administrator of it" >&2; exit 1; }
done

kubectl apply -f - <<'MANIFEST'
apiVersion: v1
kind: Namespace
metadata:
  name: spot-optimizer-system
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: spot-optimizer-agent
  namespace: spot-optimizer-system
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: spot-optimizer-reader
rules:
{{rules}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: spot-optimizer-reader-binding
subjects:
  - kind: ServiceAccount
    name: spot-optimizer-agent
    namespace: spot-optimizer-system
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: spot-optimizer-reader
---
apiVersion: v1
kind: Secret
metadata:
  name: spot-optimizer-agent
  namespace: spot-optimizer-system
type: Opaque
stringData:
  api-key: "{{api_key}}"
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: spot-optimizer-agent
  namespace: spot-optimizer-system
  labels:
    app: spot-optimizer-agent
spec:
  replicas: 1
  # Two agents of one id would take turns in replacing each other.
  strategy:
    type: Recreate
  selector:
    matchLabels:
      app: spot-optimizer-agent
  template:
    metadata:
      labels:
        app: spot-optimizer-agent
    spec:
      serviceAccountName: spot-optimizer-agent
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: agent
          image: {{image}}
          env:
            - name: CLUSTER_ID
              value: "{{cluster_id}}"
            - name: AGENT_ID
              value: "{{agent_id}}"
            - name: API_ENDPOINT
              value: "{{endpoint}}"
            - name: API_KEY
              valueFrom:
                secretKeyRef:
                  name: spot-optimizer-agent
                  key: api-key
          ports:
            - name: health
              containerPort: 8080
          livenessProbe:
            httpGet:
              path: /livez
              port: health
          readinessProbe:
            httpGet:
              path: /readyz
              port: health
          resources:
            requests:
              cpu: 20m
              memory: 64Mi
            limits:
              memory: 256Mi
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: ["ALL"]
MANIFEST

# Ready means that the agent is connected and its relay works.
if kubectl rollout status deployment/spot-optimizer-agent -n spot-optimizer-system --timeout=120s; then
  echo "The agent of cluster {{cluster_id}} is connected."
else
  echo "The agent of cluster {{cluster_id}} did not connect within two minutes; see:" >&2
  echo "  kubectl logs -n spot-optimizer-system deployment/spot-optimizer-agent" >&2
  exit 1
fi
