-- What an install script fetches its manifest with. The key is in the manifest once.
CREATE TABLE install_tokens (
    hash       TEXT PRIMARY KEY,
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    created_at BIGINT NOT NULL,
    -- Until its use a token ends on its own.
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,
    -- The key that its use has made.
    key_id     TEXT REFERENCES agent_keys (id)
);

CREATE INDEX install_tokens_of_cluster ON install_tokens (cluster_id);
