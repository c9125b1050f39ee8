-- Those that are not over are few, and looked through each time that one is taken on.
CREATE INDEX sagas_live ON sagas (user_id, lease_until) WHERE ended_at IS NULL;
