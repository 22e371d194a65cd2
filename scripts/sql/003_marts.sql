-- Marts, and for each the stage table that executors fill before the final transaction.

CREATE TABLE IF NOT EXISTS customers_data_mart (
  customer_id      INT NOT NULL,
  full_name        VARCHAR(250) DEFAULT NULL,
  address          VARCHAR(300) DEFAULT NULL,
  phone_number     VARCHAR(30)  DEFAULT NULL,
  sales_date_month CHAR(7) NOT NULL COMMENT 'YYYY-MM',
  total_sales      DECIMAL(20, 4) NOT NULL,
  row_count        BIGINT NOT NULL,
  updated_at       DATETIME(6) NOT NULL,
  PRIMARY KEY (customer_id, sales_date_month)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per customer and month';

CREATE TABLE IF NOT EXISTS stage_customers_data_mart (
  batch_key        VARCHAR(64) NOT NULL,
  customer_id      INT NOT NULL,
  full_name        VARCHAR(250) DEFAULT NULL,
  address          VARCHAR(300) DEFAULT NULL,
  phone_number     VARCHAR(30)  DEFAULT NULL,
  sales_date_month CHAR(7) NOT NULL,
  total_sales      DECIMAL(20, 4) NOT NULL,
  row_count        BIGINT NOT NULL,
  PRIMARY KEY (batch_key, customer_id, sales_date_month)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per batch attempt, customer and month';

CREATE TABLE IF NOT EXISTS sales_team_data_mart (
  store_id        INT NOT NULL,
  sales_person_id INT NOT NULL,
  full_name       VARCHAR(250) DEFAULT NULL,
  sales_month     CHAR(7) NOT NULL COMMENT 'YYYY-MM',
  total_sales     DECIMAL(20, 4) NOT NULL,
  incentive       DECIMAL(20, 2) NOT NULL DEFAULT 0,
  row_count       BIGINT NOT NULL,
  updated_at      DATETIME(6) NOT NULL,
  PRIMARY KEY (store_id, sales_month, sales_person_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per store, seller and month';

CREATE TABLE IF NOT EXISTS stage_sales_team_data_mart (
  batch_key       VARCHAR(64) NOT NULL,
  store_id        INT NOT NULL,
  sales_person_id INT NOT NULL,
  full_name       VARCHAR(250) DEFAULT NULL,
  sales_month     CHAR(7) NOT NULL,
  total_sales     DECIMAL(20, 4) NOT NULL,
  row_count       BIGINT NOT NULL,
  PRIMARY KEY (batch_key, store_id, sales_month, sales_person_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per batch attempt, store, seller and month';
