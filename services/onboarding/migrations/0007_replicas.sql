-- The processes of this service that can be reached, each by the queue that is its own. One whose queue is gone is taken out by another.
CREATE TABLE replicas (
    address   TEXT PRIMARY KEY,
    joined_at BIGINT NOT NULL
);

-- Which replica holds an agent's session.
CREATE TABLE agent_sessions (
    agent_id          TEXT PRIMARY KEY,
    -- How many sessions the agent has had; of two that are taken for the current one, that with the larger epoch is.
    epoch             BIGINT NOT NULL,
    -- NULL: there is no session.
    replica           TEXT,
    -- The process of the agent, and the key with which it came.
    instance          TEXT,
    key_id            TEXT NOT NULL,
    -- 1 once it is certain that no other replica takes a session of the agent for its own.
    is_settled        BIGINT NOT NULL DEFAULT 1,
    -- What was so before this epoch.
    previous_replica  TEXT,
    previous_instance TEXT,
    was_settled       BIGINT NOT NULL DEFAULT 1
);

CREATE INDEX agent_sessions_of_replica ON agent_sessions (replica);
CREATE INDEX agent_sessions_of_key ON agent_sessions (key_id);
