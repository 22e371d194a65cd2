-- Operations on what was loaded: which files and partitions they are about, and where a file's rows have gone since.

CREATE TABLE IF NOT EXISTS operation_file (
  operation_id  BIGINT NOT NULL,
  file_id       BIGINT NOT NULL,
  mended_key    VARBINARY(1024) DEFAULT NULL COMMENT 'MEND: the object that holds the mended rows',
  mended_etag   VARCHAR(255) DEFAULT NULL COMMENT 'NULL again: the object of mended rows has been deleted',
  mended_bytes  BIGINT DEFAULT NULL,
  read_batch    BIGINT DEFAULT NULL COMMENT 'MEND: the batch that rejected the rows; another one has read the file since: nothing is done',
  note          VARCHAR(2000) DEFAULT NULL COMMENT 'why nothing was done to this file',
  PRIMARY KEY (operation_id, file_id),
  KEY by_file (file_id),
  KEY by_mended (mended_etag)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per operation and file that it is about';

CREATE TABLE IF NOT EXISTS operation_partition (
  operation_id BIGINT NOT NULL,
  sales_month  CHAR(7) NOT NULL,
  store_id     INT NOT NULL,
  PRIMARY KEY (operation_id, sales_month, store_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per COMPACT and fact partition that it merges';

CREATE TABLE IF NOT EXISTS batch_file (
  file_id   BIGINT NOT NULL,
  batch_key VARCHAR(64) NOT NULL,
  PRIMARY KEY (file_id, batch_key),
  KEY by_batch (batch_key)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4
  COMMENT = 'one row per file and batch attempt that may hold rows of it, beside the batch that has read it (source_file.batch_id)';

CREATE TABLE IF NOT EXISTS file_withdrawal (
  file_id       BIGINT NOT NULL,
  batch_id      BIGINT NOT NULL,
  superseded_by BIGINT DEFAULT NULL COMMENT 'the file that took its place; NULL: it was retracted',
  rows_loaded   BIGINT NOT NULL COMMENT 'rows taken out of facts and marts',
  rows_pending  BIGINT NOT NULL COMMENT 'waiting rows dropped',
  withdrawn_at  DATETIME(6) NOT NULL,
  PRIMARY KEY (file_id, batch_id),
  KEY by_batch (batch_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row each time the rows of a file were taken out again';

-- Parquet of an attempt that never committed is gone when its parts are DEAD: only replaced parts still have objects to delete.
UPDATE fact_part SET state = 'DELETED' WHERE state = 'DEAD' AND live_at IS NULL;

ALTER TABLE quarantine_part
  MODIFY state VARCHAR(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, LIVE, DEAD (never committed), DELETED (by clean)';

ALTER TABLE fact_part
  MODIFY state VARCHAR(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, LIVE, DEAD (replaced, still there for a while), DELETED';

-- MySQL has no ADD KEY IF NOT EXISTS, and DDL commits by itself: after a crash right here this file runs again.
SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
   WHERE table_schema = DATABASE() AND table_name = 'fact_part' AND index_name = 'by_death') > 0,
  'DO 0',
  'ALTER TABLE fact_part ADD KEY by_death (state, dead_at)'
);
PREPARE add_by_death FROM @change;
EXECUTE add_by_death;
DEALLOCATE PREPARE add_by_death;
