-- A file that was missing, overwritten or refused comes back: when it may be tried again, and what it was before.

CREATE TABLE IF NOT EXISTS file_return (
  id            BIGINT NOT NULL AUTO_INCREMENT,
  file_id       BIGINT NOT NULL,
  state         VARCHAR(16) NOT NULL COMMENT 'what it was until then: GONE, OVERWRITTEN',
  batch_id      BIGINT DEFAULT NULL COMMENT 'the batch that found it so',
  finished_at   DATETIME(6) DEFAULT NULL COMMENT 'when that batch found it so',
  returned_at   DATETIME(6) NOT NULL COMMENT 'when a listing showed it again',
  PRIMARY KEY (id),
  KEY by_file (file_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
  COMMENT = 'one row each time a listing showed a file again that was missing or overwritten; it is discovered again';

-- MySQL has no ADD COLUMN IF NOT EXISTS, and DDL commits by itself: after a crash right here this file runs again.
SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'source_file' AND column_name = 'retry_at') > 0,
  'DO 0',
  'ALTER TABLE source_file
     MODIFY state VARCHAR(16) NOT NULL DEFAULT ''DISCOVERED''
       COMMENT ''DISCOVERED, CLAIMED, COMMITTED, REJECTED, DUPLICATE, FAILED, OVERWRITTEN, GONE, UNREADABLE'',
     ADD COLUMN retries INT NOT NULL DEFAULT 0
       COMMENT ''how often its object was refused, missing or overwritten, or its move to the archive was refused'',
     ADD COLUMN retry_at DATETIME(6) DEFAULT NULL COMMENT ''not before this is its object tried again'',
     ADD KEY by_retry (state, retry_at),
     ADD KEY by_archive_retry (archive_due, retry_at, id)'
);
PREPARE add_retry_at FROM @change;
EXECUTE add_retry_at;
DEALLOCATE PREPARE add_retry_at;

CREATE OR REPLACE VIEW product_staging_table AS
SELECT id,
       CONVERT(SUBSTRING_INDEX(object_key, '/', -1) USING utf8mb4) AS file_name,
       CONVERT(object_key USING utf8mb4) AS file_location,
       discovered_at AS created_date,
       COALESCE(archived_at, finished_at, claimed_at, discovered_at) AS updated_date,
       CASE WHEN state IN ('DISCOVERED', 'CLAIMED', 'UNREADABLE') THEN 'A' ELSE 'I' END AS status
FROM source_file;
