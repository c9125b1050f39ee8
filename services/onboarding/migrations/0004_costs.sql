-- What a cluster's resources cost, in 1/10000 of a dollar: a processor and a GiB of memory or storage for an hour, a GiB of traffic
-- once. NULL: unknown.
ALTER TABLE clusters ADD COLUMN cpu_cost_per_hour BIGINT;
ALTER TABLE clusters ADD COLUMN memory_cost_per_hour BIGINT;
ALTER TABLE clusters ADD COLUMN storage_cost_per_hour BIGINT;
ALTER TABLE clusters ADD COLUMN ingress_cost BIGINT;
ALTER TABLE clusters ADD COLUMN egress_cost BIGINT;
ALTER TABLE clusters ADD COLUMN costs_entered_at BIGINT;
-- What the nodes have together, as the agent told last.
ALTER TABLE clusters ADD COLUMN cpu_millis BIGINT;
ALTER TABLE clusters ADD COLUMN memory_bytes BIGINT;
