-- Times are milliseconds since 1970.

-- Operations. Where one is, is in its journal alone.
CREATE TABLE sagas (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    -- What it began with, as JSON.
    saga TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- How often somebody has taken it on. What is written with an earlier one is refused.
    epoch BIGINT NOT NULL,
    owner TEXT,
    -- Until then nobody else takes it on.
    lease_until BIGINT NOT NULL,
    cancel_requested_at BIGINT,
    ended_at BIGINT
);
CREATE INDEX sagas_by_user ON sagas (user_id, created_at);
CREATE INDEX sagas_by_lease ON sagas (ended_at, lease_until);

-- What happened in them. Nothing is ever changed here.
CREATE TABLE journal (
    saga_id TEXT NOT NULL REFERENCES sagas (id),
    seq BIGINT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (saga_id, seq)
);

-- What a saga that is not over has for itself alone.
CREATE TABLE subjects (
    subject TEXT PRIMARY KEY,
    saga_id TEXT NOT NULL REFERENCES sagas (id)
);
CREATE INDEX subjects_by_saga ON subjects (saga_id);
