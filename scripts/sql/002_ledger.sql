-- The ledger: the only truth about which object version was read when, and what became of it. All times are UTC.

CREATE TABLE IF NOT EXISTS stream_owner (
  id           TINYINT NOT NULL,
  epoch        BIGINT NOT NULL DEFAULT 0,
  source       VARCHAR(700) NOT NULL DEFAULT '',
  holder       VARCHAR(255) NOT NULL DEFAULT '',
  started_at   DATETIME(6) DEFAULT NULL,
  heartbeat_at DATETIME(6) DEFAULT NULL,
  stopped_at   DATETIME(6) DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4
  COMMENT = 'one row: the epoch of the instance whose writes count; every protocol write reads it with a lock';

INSERT INTO stream_owner (id) VALUES (1) ON DUPLICATE KEY UPDATE id = id;

CREATE TABLE IF NOT EXISTS file_operation (
  id           BIGINT NOT NULL AUTO_INCREMENT,
  kind         VARCHAR(16) NOT NULL COMMENT 'RELEASE, REPLAY, RETRACT, REPLACE, COMPACT',
  state        VARCHAR(16) NOT NULL DEFAULT 'REQUESTED' COMMENT 'REQUESTED, CLAIMED, DONE, FAILED',
  file_id      BIGINT DEFAULT NULL,
  requested_by VARCHAR(255) NOT NULL,
  requested_at DATETIME(6) NOT NULL,
  claimed_at   DATETIME(6) DEFAULT NULL,
  finished_at  DATETIME(6) DEFAULT NULL,
  detail       VARCHAR(2000) DEFAULT NULL,
  PRIMARY KEY (id),
  KEY by_state (state, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4
  COMMENT = 'one row per operation on what was loaded; claimed by a micro-batch like a file';

CREATE TABLE IF NOT EXISTS micro_batch (
  id            BIGINT NOT NULL AUTO_INCREMENT,
  state         VARCHAR(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, STARTED, COMMITTED, SPLIT',
  operation_id  BIGINT DEFAULT NULL COMMENT 'the one operation this batch executes; NULL: it loads files',
  attempt       INT NOT NULL DEFAULT 0 COMMENT 'counts every start of the batch; part of batch_key',
  failures      INT NOT NULL DEFAULT 0 COMMENT 'counts failed attempts; decides when a poison file is isolated',
  batch_key     VARCHAR(64) DEFAULT NULL COMMENT '<batch>-<epoch>-<attempt> of the last attempt',
  contract_hash CHAR(64) DEFAULT NULL,
  dimension_version BIGINT DEFAULT NULL,
  files         INT NOT NULL DEFAULT 0,
  bytes         BIGINT NOT NULL DEFAULT 0,
  rows_read     BIGINT NOT NULL DEFAULT 0,
  rows_loaded   BIGINT NOT NULL DEFAULT 0,
  rows_rejected BIGINT NOT NULL DEFAULT 0,
  rows_pending  BIGINT NOT NULL DEFAULT 0,
  planned_at    DATETIME(6) NOT NULL COMMENT 'the clock that the batch is evaluated against',
  started_at    DATETIME(6) DEFAULT NULL,
  committed_at  DATETIME(6) DEFAULT NULL,
  error         VARCHAR(2000) DEFAULT NULL,
  PRIMARY KEY (id),
  KEY by_state (state, id),
  KEY by_operation (operation_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per micro-batch: a set of claimed files, or one operation';

CREATE TABLE IF NOT EXISTS batch_attempt (
  batch_key  VARCHAR(64) NOT NULL COMMENT '<batch>-<epoch>-<attempt>',
  batch_id   BIGINT NOT NULL,
  state      VARCHAR(16) NOT NULL DEFAULT 'OPEN' COMMENT 'OPEN, COMMITTED, DEAD (leftovers removed)',
  started_at DATETIME(6) NOT NULL,
  ended_at   DATETIME(6) DEFAULT NULL,
  error      VARCHAR(2000) DEFAULT NULL,
  PRIMARY KEY (batch_key),
  KEY by_state (state, batch_key),
  KEY by_batch (batch_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per attempt at a micro-batch; leftovers are known by its key';

CREATE TABLE IF NOT EXISTS source_file (
  id             BIGINT NOT NULL AUTO_INCREMENT,
  identity       BINARY(32) NOT NULL COMMENT 'SHA-256 over bucket, key, etag, size, last modified (or version id)',
  bucket         VARCHAR(255) NOT NULL,
  object_key     VARBINARY(1024) NOT NULL COMMENT 'UTF-8',
  etag           VARCHAR(255) NOT NULL,
  version_id     VARCHAR(1024) DEFAULT NULL,
  size_bytes     BIGINT NOT NULL,
  last_modified  DATETIME(6) NOT NULL,
  state          VARCHAR(16) NOT NULL DEFAULT 'DISCOVERED'
                 COMMENT 'DISCOVERED, CLAIMED, COMMITTED, REJECTED, DUPLICATE, FAILED, OVERWRITTEN, GONE',
  in_force       TINYINT NOT NULL DEFAULT 0 COMMENT '1: its rows count in the marts',
  batch_id       BIGINT DEFAULT NULL,
  rows_read      BIGINT NOT NULL DEFAULT 0,
  rows_loaded    BIGINT NOT NULL DEFAULT 0,
  rows_rejected  BIGINT NOT NULL DEFAULT 0,
  rows_pending   BIGINT NOT NULL DEFAULT 0,
  reason_code    VARCHAR(40) DEFAULT NULL,
  reason_detail  VARCHAR(2000) DEFAULT NULL,
  content_digest VARBINARY(32) DEFAULT NULL COMMENT 'SHA-256 over the size and the hashes of all blocks (16 bytes: an MD5, by an earlier version)',
  discovered_at  DATETIME(6) NOT NULL,
  claimed_at     DATETIME(6) DEFAULT NULL,
  finished_at    DATETIME(6) DEFAULT NULL,
  archived_at    DATETIME(6) DEFAULT NULL,
  archived_key   VARBINARY(1024) DEFAULT NULL,
  archived_etag  VARCHAR(255) DEFAULT NULL,
  archive_due    TINYINT NOT NULL DEFAULT 0 COMMENT '1: finished, and its object still waits for the move',
  PRIMARY KEY (id),
  UNIQUE KEY by_identity (identity),
  KEY by_state (state, id),
  KEY by_batch (batch_id),
  KEY by_archive (archive_due, id),
  KEY by_key (object_key(255)),
  KEY by_content (content_digest)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per object version ever seen below the source prefix';

CREATE TABLE IF NOT EXISTS stage_file (
  batch_key      VARCHAR(64) NOT NULL,
  file_id        BIGINT NOT NULL,
  state          VARCHAR(16) NOT NULL,
  reason_code    VARCHAR(40) DEFAULT NULL,
  reason_detail  VARCHAR(2000) DEFAULT NULL,
  rows_read      BIGINT NOT NULL,
  rows_loaded    BIGINT NOT NULL,
  rows_rejected  BIGINT NOT NULL,
  rows_pending   BIGINT NOT NULL,
  content_digest VARBINARY(32) DEFAULT NULL,
  PRIMARY KEY (batch_key, file_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per file of a batch on its way to the final transaction';

CREATE TABLE IF NOT EXISTS file_reject (
  file_id      BIGINT NOT NULL,
  batch_key    VARCHAR(64) NOT NULL,
  reason_code  VARCHAR(60) NOT NULL,
  row_count    BIGINT NOT NULL,
  first_line   BIGINT DEFAULT NULL,
  first_column VARCHAR(255) DEFAULT NULL,
  PRIMARY KEY (file_id, batch_key, reason_code)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per file, batch and reason of rejected rows';

CREATE TABLE IF NOT EXISTS fact_part (
  batch_key    VARCHAR(64) NOT NULL,
  sales_month  CHAR(7) NOT NULL,
  store_id     INT NOT NULL,
  state        VARCHAR(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, LIVE, DEAD',
  row_count    BIGINT NOT NULL,
  amount       DECIMAL(24, 4) NOT NULL,
  planned_at   DATETIME(6) NOT NULL,
  live_at      DATETIME(6) DEFAULT NULL,
  dead_at      DATETIME(6) DEFAULT NULL,
  PRIMARY KEY (batch_key, sales_month, store_id),
  KEY by_partition (sales_month, store_id, state),
  KEY by_state (state, batch_key)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per Parquet folder of facts: one partition of one batch attempt';

CREATE TABLE IF NOT EXISTS quarantine_part (
  batch_key  VARCHAR(64) NOT NULL,
  load_date  DATE NOT NULL,
  reason     VARCHAR(60) NOT NULL,
  state      VARCHAR(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, LIVE, DEAD',
  row_count  BIGINT NOT NULL,
  planned_at DATETIME(6) NOT NULL,
  PRIMARY KEY (batch_key, load_date, reason)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per Parquet folder of rejected rows';

CREATE TABLE IF NOT EXISTS pending_part (
  batch_key    VARCHAR(64) NOT NULL,
  state        VARCHAR(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, WAITING, CONSUMED, DEAD',
  operation_id BIGINT DEFAULT NULL COMMENT 'the RELEASE that will consume it',
  row_count    BIGINT NOT NULL,
  created_at   DATETIME(6) NOT NULL,
  consumed_at  DATETIME(6) DEFAULT NULL,
  deleted_at   DATETIME(6) DEFAULT NULL COMMENT 'when the Parquet of a consumed part was deleted',
  PRIMARY KEY (batch_key),
  KEY by_state (state, operation_id),
  KEY by_operation (operation_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per Parquet folder of rows that wait for a dimension row';

CREATE TABLE IF NOT EXISTS pending_key (
  batch_key VARCHAR(64) NOT NULL,
  file_id   BIGINT NOT NULL,
  dimension VARCHAR(32) NOT NULL,
  key_value BIGINT NOT NULL,
  row_count BIGINT NOT NULL,
  PRIMARY KEY (batch_key, file_id, dimension, key_value),
  KEY by_key (dimension, key_value)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per missing dimension key of a pending part and file';

CREATE OR REPLACE VIEW product_staging_table AS
SELECT id,
       CONVERT(SUBSTRING_INDEX(object_key, '/', -1) USING utf8mb4) AS file_name,
       CONVERT(object_key USING utf8mb4) AS file_location,
       discovered_at AS created_date,
       COALESCE(archived_at, finished_at, claimed_at, discovered_at) AS updated_date,
       CASE WHEN state IN ('DISCOVERED', 'CLAIMED') THEN 'A' ELSE 'I' END AS status
FROM source_file;
