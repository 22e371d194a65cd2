-- Waiting rows whose release failed: they are free again, and are tried again after a pause that grows.

-- MySQL has no ADD COLUMN IF NOT EXISTS, and DDL commits by itself: after a crash right here this file runs again.
SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'pending_part' AND column_name = 'failed_contract') > 0,
  'DO 0',
  'ALTER TABLE pending_part
     ADD COLUMN failures INT NOT NULL DEFAULT 0 COMMENT ''releases of it that were given up'',
     ADD COLUMN not_before DATETIME(6) DEFAULT NULL COMMENT ''when it is tried again, under the same contract'',
     ADD COLUMN failed_contract CHAR(64) DEFAULT NULL COMMENT ''hash of the contract under which its last release failed'''
);
PREPARE add_failures FROM @change;
EXECUTE add_failures;
DEALLOCATE PREPARE add_failures;

-- Parts that a release holds which was given up earlier: nobody would have freed them.
UPDATE pending_part p JOIN file_operation o ON o.id = p.operation_id
SET p.operation_id = NULL, p.failures = p.failures + 1
WHERE p.state = 'WAITING' AND o.state = 'FAILED';

-- Parquet that `verify --repair` found unknown to a restored ledger, and that may hold the only copy of a row.
ALTER TABLE fact_part
  MODIFY state VARCHAR(16) NOT NULL DEFAULT 'PLANNED'
  COMMENT 'PLANNED, LIVE, DEAD (replaced, still there for a while), DELETED, KEPT (by verify --repair, does not count)';
ALTER TABLE quarantine_part
  MODIFY state VARCHAR(16) NOT NULL DEFAULT 'PLANNED'
  COMMENT 'PLANNED, LIVE, DEAD (never committed), DELETED (by clean), KEPT (by verify --repair, does not count)';
ALTER TABLE pending_part
  MODIFY state VARCHAR(16) NOT NULL DEFAULT 'PLANNED'
  COMMENT 'PLANNED, WAITING, CONSUMED, DEAD, KEPT (by verify --repair, does not count)';
