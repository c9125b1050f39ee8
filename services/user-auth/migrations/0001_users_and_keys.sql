CREATE TABLE users (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    -- JSON, a list of names.
    roles TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    deactivated_at BIGINT
);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    -- SHA-256 of the key, lower-case hex; the key itself is nowhere.
    hash TEXT NOT NULL UNIQUE,
    preview TEXT NOT NULL,
    -- JSON, a list of names.
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    -- At most one minute behind.
    last_used_at BIGINT,
    replaced_by TEXT REFERENCES api_keys (id)
);

CREATE INDEX api_keys_of_a_user ON api_keys (user_id, id);
