-- Clusters by stored credentials. Times are epoch milliseconds. What is sealed is an envelope of the store's sealer.
CREATE TABLE clusters (
    id              BIGINT PRIMARY KEY,
    user_id         TEXT NOT NULL,
    name            TEXT NOT NULL,
    server_url      TEXT NOT NULL,
    context_name    TEXT,
    provider_name   TEXT,
    tags            TEXT,
    -- 1 when the server's certificate is checked.
    use_secure_tls  BIGINT NOT NULL,
    -- PEM; without it, the authorities that the machine trusts.
    ca_data         TEXT,
    tls_server_name TEXT,
    sealed_token    TEXT,
    sealed_tls_cert TEXT,
    sealed_tls_key  TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    -- When something was last done with it that is told as an event. Writing it takes the row's lock and the next time, which puts the
    -- events of a cluster into the order in which they are committed.
    touched_at      BIGINT NOT NULL
);

CREATE UNIQUE INDEX clusters_of_user ON clusters (user_id, name);

-- Ids are never given twice.
CREATE TABLE cluster_ids (
    id   BIGINT PRIMARY KEY,
    last BIGINT NOT NULL
);

INSERT INTO cluster_ids (id, last) VALUES (1, 0);

-- The one cluster of a user that is active.
CREATE TABLE selections (
    user_id     TEXT PRIMARY KEY,
    cluster_id  BIGINT NOT NULL,
    selected_at BIGINT NOT NULL
);
