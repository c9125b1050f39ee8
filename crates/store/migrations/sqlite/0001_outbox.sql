-- Events that were written with a change and wait for the broker, in the order in which they were written.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL
);

-- The one process that relays the outbox now, and until when (epoch ms, the database's clock).
CREATE TABLE outbox_lease (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    holder TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

INSERT INTO outbox_lease (id, holder, expires_at) VALUES (1, '', 0);
