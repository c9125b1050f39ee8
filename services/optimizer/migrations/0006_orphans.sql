-- When an orphan was seen last: one that is not seen any more has gone by itself.
ALTER TABLE orphans ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;
UPDATE orphans SET seen_at = found_at;
