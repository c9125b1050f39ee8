# syntax=docker/dockerfile:1
# One image for each target: user-auth, cluster, onboarding, optimizer, agent, kubesage (all of them in one process).
#   docker build --target onboarding --tag kubesage/onboarding:1.0.0 .

ARG RUST_VERSION=1.95
# Kubernetes supports a kubectl of one minor version above and below the API server's
# (https://kubernetes.io/releases/version-skew-policy/#kubectl).
ARG KUBECTL_VERSION=1.36.2

# Builds all binaries, once; the targets below share it.
FROM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --bins \
        --package user-auth --package cluster --package onboarding --package optimizer --package agent --package kubesage \
    && cd target/release \
    && install -D --target-directory=/out user-auth cluster onboarding optimizer agent kubesage \
    && install --directory --mode=0700 /data

# Kubernetes' own image, of which the program alone is taken: /bin/kubectl
# (https://github.com/kubernetes/kubernetes/blob/v1.36.2/build/server-image/kubectl/Dockerfile).
FROM registry.k8s.io/kubectl:v${KUBECTL_VERSION} AS kubectl

# glibc, the roots of TLS and user 65532; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot AS base
ARG VERSION=1.0.0
LABEL org.opencontainers.image.vendor="Kubesage" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV HOST=0.0.0.0 LOG_FORMAT=json
USER 65532:65532

FROM base AS user-auth
LABEL org.opencontainers.image.title="kubesage/user-auth" \
      org.opencontainers.image.description="Users, API keys, and the answer to whose a key is"
COPY --from=build /out/user-auth /usr/local/bin/user-auth
EXPOSE 8001
ENTRYPOINT ["/usr/local/bin/user-auth"]

FROM base AS cluster
LABEL org.opencontainers.image.title="kubesage/cluster" \
      org.opencontainers.image.description="Queries of users to their clusters, clusters by stored credentials, and the audit log"
COPY --from=build /out/cluster /usr/local/bin/cluster
# Users run commands on clusters by stored credentials, and the real kubectl does what they say. Each run has a folder of its own in
# /tmp, which must be writable and better is in memory.
COPY --from=kubectl /bin/kubectl /usr/local/bin/kubectl
ENV KUBECTL=/usr/local/bin/kubectl
EXPOSE 8008
ENTRYPOINT ["/usr/local/bin/cluster"]

FROM base AS onboarding
LABEL org.opencontainers.image.title="kubesage/onboarding" \
      org.opencontainers.image.description="Install scripts, the sessions of agents, and the relay of queries to them"
COPY --from=build /out/onboarding /usr/local/bin/onboarding
EXPOSE 8009
ENTRYPOINT ["/usr/local/bin/onboarding"]

FROM base AS optimizer
LABEL org.opencontainers.image.title="kubesage/optimizer" \
      org.opencontainers.image.description="Replaces instances by cheaper ones, and is not noticed"
COPY --from=build /out/optimizer /usr/local/bin/optimizer
EXPOSE 8010
ENTRYPOINT ["/usr/local/bin/optimizer"]

FROM base AS agent
LABEL org.opencontainers.image.title="kubesage/agent" \
      org.opencontainers.image.description="Runs in a cluster, read-only, dials home and answers queries"
COPY --from=build /out/agent /usr/local/bin/agent
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/agent"]

# The last target is the one that is built when none is named.
FROM base AS kubesage
LABEL org.opencontainers.image.title="kubesage/kubesage" \
      org.opencontainers.image.description="Every service in one process"
COPY --from=build /out/kubesage /usr/local/bin/kubesage
# As in `cluster`.
COPY --from=kubectl /bin/kubectl /usr/local/bin/kubectl
ENV KUBECTL=/usr/local/bin/kubectl
COPY --from=build --chown=65532:65532 /data /data
ENV DATA_DIR=/data
VOLUME /data
EXPOSE 8008
ENTRYPOINT ["/usr/local/bin/kubesage"]
