-- What of the source prefix is not loaded, by the rule that says so. Re-runnable.

CREATE TABLE IF NOT EXISTS ignored_object (
  rule_name VARCHAR(60) NOT NULL,
  objects   BIGINT NOT NULL COMMENT 'objects that the last whole listing passed over',
  example   VARBINARY(1024) NOT NULL COMMENT 'the first of their keys, UTF-8',
  seen_at   DATETIME(6) NOT NULL COMMENT 'since when it is so many',
  PRIMARY KEY (rule_name)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin COMMENT = 'one row per rule by which objects of the source prefix are not loaded, or not yet';
