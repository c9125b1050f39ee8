-- What is to be said to ALERT_WEBHOOK_URL. What could not be said is kept, dead, until somebody asks for another try.
CREATE TABLE alerts (
    id              TEXT PRIMARY KEY,
    cluster_id      TEXT NOT NULL REFERENCES clusters (id),
    user_id         TEXT NOT NULL,
    kind            TEXT NOT NULL,
    -- JSON, byte for byte what is sent and signed.
    body            TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    attempts        BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT NOT NULL,
    delivered_at    BIGINT,
    dead_at         BIGINT,
    last_error      TEXT
);

CREATE INDEX alerts_due ON alerts (next_attempt_at) WHERE delivered_at IS NULL AND dead_at IS NULL;
CREATE INDEX alerts_of_user ON alerts (user_id, created_at);
