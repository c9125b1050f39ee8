-- For how many milliseconds nobody has carried the saga on, of all the time since it was begun.
ALTER TABLE sagas ADD COLUMN unattended BIGINT NOT NULL DEFAULT 0;
