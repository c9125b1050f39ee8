-- 1 where it is in the simulated account. An operation may outlive what is known of its account.
ALTER TABLE sagas ADD COLUMN is_simulated BIGINT NOT NULL DEFAULT 0;
ALTER TABLE lab_instances ADD COLUMN is_simulated BIGINT NOT NULL DEFAULT 0;

-- Twelve zeros are no account of AWS.
UPDATE sagas SET is_simulated = 1 WHERE EXISTS
    (SELECT 1 FROM accounts WHERE aws_account = '000000000000' AND sagas.saga LIKE '%"' || accounts.id || '"%');
UPDATE lab_instances SET is_simulated = 1 WHERE account_id IN (SELECT id FROM accounts WHERE aws_account = '000000000000');
