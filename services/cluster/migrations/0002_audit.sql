-- What has happened, as the services have told it.
CREATE TABLE audit (
    event_id     TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL,
    event_type   TEXT NOT NULL,
    -- Of the cluster that it happened to, if it was one.
    cluster_id   TEXT,
    cluster_name TEXT,
    occurred_at  BIGINT NOT NULL,
    -- The whole event, JSON.
    event        TEXT NOT NULL
);

CREATE INDEX audit_of_user ON audit (user_id, occurred_at, event_id);
CREATE INDEX audit_by_age ON audit (occurred_at);
