-- pending, connected, stale or disconnected; and since when.
ALTER TABLE clusters ADD COLUMN state TEXT NOT NULL DEFAULT 'pending';
ALTER TABLE clusters ADD COLUMN state_since BIGINT;
-- Why the agent was refused last, and why its last session ended.
ALTER TABLE clusters ADD COLUMN refused_at BIGINT;
ALTER TABLE clusters ADD COLUMN refused_why TEXT;
ALTER TABLE clusters ADD COLUMN ended_at BIGINT;
ALTER TABLE clusters ADD COLUMN ended_why TEXT;
-- As the nodes tell.
ALTER TABLE clusters ADD COLUMN detected_provider TEXT;
ALTER TABLE clusters ADD COLUMN region TEXT;

UPDATE clusters SET state = 'disconnected' WHERE connected_at IS NOT NULL;

CREATE INDEX clusters_by_state ON clusters (state, last_heartbeat) WHERE deleted_at IS NULL;
