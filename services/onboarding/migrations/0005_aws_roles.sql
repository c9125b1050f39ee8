-- The read-only role that the cluster's user has handed over, and the external id that was made for it.
ALTER TABLE clusters ADD COLUMN aws_external_id TEXT;
ALTER TABLE clusters ADD COLUMN aws_role_arn TEXT;
ALTER TABLE clusters ADD COLUMN aws_role_proven_at BIGINT;
