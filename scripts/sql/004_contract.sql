-- What a contract says about a file stays visible: its header, first errors and warnings. And totals that cannot overflow.

CREATE TABLE IF NOT EXISTS file_header (
  file_id   BIGINT NOT NULL,
  batch_key VARCHAR(64) NOT NULL,
  header    MEDIUMTEXT NOT NULL COMMENT 'as it is written in the file, without its line break',
  PRIMARY KEY (file_id, batch_key),
  KEY by_batch (batch_key)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per file with rejected rows and batch: what an export begins with';

CREATE TABLE IF NOT EXISTS file_warning (
  file_id    BIGINT NOT NULL,
  batch_key  VARCHAR(64) NOT NULL,
  rule_name  VARCHAR(60) NOT NULL,
  row_count  BIGINT NOT NULL,
  first_line BIGINT DEFAULT NULL,
  PRIMARY KEY (file_id, batch_key, rule_name),
  KEY by_batch (batch_key)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per file, batch and warn rule that accepted rows broke';

CREATE TABLE IF NOT EXISTS warning_total (
  rule_name  VARCHAR(60) NOT NULL,
  row_count  BIGINT NOT NULL COMMENT 'accepted rows of all committed batches that broke the rule',
  updated_at DATETIME(6) NOT NULL,
  PRIMARY KEY (rule_name)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per warn rule; the final transaction adds to it, so that nobody has to sum up history';

-- The sum of n decimals of 18 digits has 18 + log10(n) digits: 30 are enough for more rows than a month can have.
ALTER TABLE customers_data_mart MODIFY total_sales DECIMAL(30, 4) NOT NULL;
ALTER TABLE stage_customers_data_mart MODIFY total_sales DECIMAL(30, 4) NOT NULL;
ALTER TABLE sales_team_data_mart MODIFY total_sales DECIMAL(30, 4) NOT NULL, MODIFY incentive DECIMAL(30, 2) NOT NULL DEFAULT 0;
ALTER TABLE stage_sales_team_data_mart MODIFY total_sales DECIMAL(30, 4) NOT NULL;
ALTER TABLE fact_part MODIFY amount DECIMAL(30, 4) NOT NULL;

-- MySQL has no ADD COLUMN IF NOT EXISTS, and DDL commits by itself: after a crash right here this file runs again.
SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'file_reject' AND column_name = 'first_text') > 0,
  'DO 0',
  'ALTER TABLE file_reject
     ADD COLUMN first_text VARCHAR(200) DEFAULT NULL COMMENT ''what stood there, *** in a sensitive column'',
     ADD KEY by_batch (batch_key)'
);
PREPARE add_first_text FROM @change;
EXECUTE add_first_text;
DEALLOCATE PREPARE add_first_text;
