-- One row: until then no replica looks for orphans.
CREATE TABLE reaping (
    id BIGINT PRIMARY KEY,
    next_at BIGINT NOT NULL
);
INSERT INTO reaping (id, next_at) VALUES (1, 0);
