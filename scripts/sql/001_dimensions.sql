-- Dimensions (SCD type 1: the job reads today's values) and the bucket directory of the seed.

CREATE TABLE IF NOT EXISTS customer (
  customer_id           INT NOT NULL,
  first_name            VARCHAR(100) DEFAULT NULL,
  last_name             VARCHAR(100) DEFAULT NULL,
  address               VARCHAR(300) DEFAULT NULL,
  pincode               VARCHAR(20)  DEFAULT NULL,
  phone_number          VARCHAR(30)  DEFAULT NULL,
  customer_joining_date DATE         DEFAULT NULL,
  PRIMARY KEY (customer_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per customer';

CREATE TABLE IF NOT EXISTS store (
  id                 INT NOT NULL,
  address            VARCHAR(300) DEFAULT NULL,
  store_pincode      VARCHAR(20)  DEFAULT NULL,
  store_manager_name VARCHAR(200) DEFAULT NULL,
  store_opening_date DATE         DEFAULT NULL,
  reviews            TEXT         DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per store';

CREATE TABLE IF NOT EXISTS product (
  id            INT NOT NULL,
  name          VARCHAR(255)   DEFAULT NULL,
  current_price DECIMAL(18, 4) DEFAULT NULL,
  old_price     DECIMAL(18, 4) DEFAULT NULL,
  created_date  TIMESTAMP NULL DEFAULT NULL,
  updated_date  TIMESTAMP NULL DEFAULT NULL,
  expiry_date   DATE           DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per product';

CREATE TABLE IF NOT EXISTS sales_team (
  id           INT NOT NULL,
  first_name   VARCHAR(100) DEFAULT NULL,
  last_name    VARCHAR(100) DEFAULT NULL,
  manager_id   INT          DEFAULT NULL,
  is_manager   CHAR(1)      DEFAULT NULL,
  address      VARCHAR(300) DEFAULT NULL,
  pincode      VARCHAR(20)  DEFAULT NULL,
  joining_date DATE         DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per seller';

CREATE TABLE IF NOT EXISTS s3_bucket_info (
  id            INT NOT NULL AUTO_INCREMENT,
  bucket_name   VARCHAR(255) DEFAULT NULL,
  file_location VARCHAR(255) DEFAULT NULL,
  created_date  TIMESTAMP NULL DEFAULT NULL,
  updated_date  TIMESTAMP NULL DEFAULT NULL,
  status        VARCHAR(20)  DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COMMENT = 'one row per bucket that sales may be dropped in';
