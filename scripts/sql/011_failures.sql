-- Failures: attempts that ended without a word, batches that are held back, and why.

-- MySQL has no ADD COLUMN IF NOT EXISTS, and DDL commits by itself: after a crash right here this file runs again.
SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'micro_batch' AND column_name = 'unexplained') > 0,
  'DO 0',
  'ALTER TABLE micro_batch
     ADD COLUMN unexplained INT NOT NULL DEFAULT 0
       COMMENT ''attempts that ended without a word, or by memory or disk; from the second on each counts as a failure'',
     ADD COLUMN cause VARCHAR(500) DEFAULT NULL COMMENT ''of a file that is held back or given up: the error without names and numbers'''
);
PREPARE add_unexplained FROM @change;
EXECUTE add_unexplained;
DEALLOCATE PREPARE add_unexplained;

ALTER TABLE micro_batch
  MODIFY state VARCHAR(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, STARTED, HELD (its file fails, and nothing is decided), COMMITTED, SPLIT';

ALTER TABLE file_operation
  MODIFY state VARCHAR(16) NOT NULL DEFAULT 'REQUESTED' COMMENT 'REQUESTED, CLAIMED, DONE, FAILED, CANCELLED';
