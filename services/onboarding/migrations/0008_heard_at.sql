-- When the agent was last known to have a session, beside what is written of its heartbeats: a replica that was gone had perhaps not
-- written what it heard.
ALTER TABLE agent_sessions ADD COLUMN heard_at BIGINT;
