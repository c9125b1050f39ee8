-- Times are milliseconds since 1970; what is true is 1.

-- Accounts of AWS, or the simulated one. An account's region belongs to one user, so that what works on it never meets another's work.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The twelve digits of the role's ARN.
    aws_account TEXT NOT NULL,
    role_arn TEXT NOT NULL,
    external_id TEXT NOT NULL,
    region TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (aws_account, region),
    UNIQUE (user_id, name)
);

-- Instances that may be replaced.
CREATE TABLE lab_instances (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    instance_id TEXT NOT NULL,
    instance_type TEXT NOT NULL,
    availability_zone TEXT NOT NULL,
    pipeline_mode TEXT NOT NULL,
    is_shadow_mode BIGINT NOT NULL,
    asg_name TEXT,
    cluster_name TEXT,
    node_group TEXT,
    role TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, instance_id)
);
CREATE INDEX lab_instances_by_user ON lab_instances (user_id, created_at);

-- Instances that an operation has bought and left behind.
CREATE TABLE orphans (
    account_id TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    saga_id TEXT NOT NULL,
    found_at BIGINT NOT NULL,
    removed_at BIGINT,
    PRIMARY KEY (account_id, instance_id)
);
