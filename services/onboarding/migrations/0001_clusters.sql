-- A cluster and its agent. Times are epoch milliseconds; a state is the time at which it was entered.
CREATE TABLE clusters (
    id                 TEXT PRIMARY KEY,
    user_id            TEXT NOT NULL,
    name               TEXT NOT NULL,
    provider           TEXT NOT NULL,
    features           TEXT NOT NULL,
    agent_id           TEXT NOT NULL UNIQUE,
    created_at         BIGINT NOT NULL,
    deleted_at         BIGINT,
    -- What the agent has told last.
    agent_version      TEXT,
    kubernetes_version TEXT,
    connected_at       BIGINT,
    last_heartbeat     BIGINT,
    nodes              BIGINT,
    pods               BIGINT,
    -- 1 when the cluster says that it is a simulated one.
    simulated          BIGINT NOT NULL DEFAULT 0
);

CREATE UNIQUE INDEX clusters_of_user ON clusters (user_id, name) WHERE deleted_at IS NULL;

CREATE TABLE agent_keys (
    id            TEXT PRIMARY KEY,
    cluster_id    TEXT NOT NULL REFERENCES clusters (id),
    hash          TEXT NOT NULL UNIQUE,
    preview       TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    -- Until its first use a key ends on its own.
    unused_until  BIGINT NOT NULL,
    first_used_at BIGINT,
    revoked_at    BIGINT
);

CREATE INDEX agent_keys_of_cluster ON agent_keys (cluster_id);
