-- The least that each user needs. An administrator runs this in the job's database after every init-db:
--   mysql ... salestream < scripts/sql/grants.sql
-- Make the users first, with passwords of your own and, where the server has a certificate, only over TLS:
--   CREATE USER 'salestream_admin'@'%' IDENTIFIED BY '...' REQUIRE SSL;    -- init-db
--   CREATE USER 'salestream_job'@'%' IDENTIFIED BY '...' REQUIRE SSL;      -- run, clean, check, status, files, facts, quarantine
--   CREATE USER 'salestream_reader'@'%' IDENTIFIED BY '...' REQUIRE SSL;   -- people and tools that read the marts
-- Re-runnable. A table without a database in front of it is one of the current database.

-- init-db: tables, views and the list of applied files.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, CREATE VIEW ON * TO 'salestream_admin'@'%';

-- The job reads the dimensions.
GRANT SELECT ON customer TO 'salestream_job'@'%';
GRANT SELECT ON store TO 'salestream_job'@'%';
GRANT SELECT ON product TO 'salestream_job'@'%';
GRANT SELECT ON sales_team TO 'salestream_job'@'%';
GRANT SELECT ON s3_bucket_info TO 'salestream_job'@'%';
GRANT SELECT ON schema_migration TO 'salestream_job'@'%';

-- DELETE on the ledger is for what an attempt planned and did not do, and for `clean`: what is older than retention.ledger_days and does
-- not count.
GRANT SELECT, UPDATE ON stream_owner TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON file_operation TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON operation_file TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON operation_partition TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON file_return TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON file_withdrawal TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON batch_file TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON micro_batch TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON batch_attempt TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON source_file TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON fact_part TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON quarantine_part TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON pending_part TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON pending_key TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON file_reject TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON file_warning TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON file_header TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE ON warning_total TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON ignored_object TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON stage_file TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON stage_customers_data_mart TO 'salestream_job'@'%';
GRANT SELECT, INSERT, DELETE ON stage_sales_team_data_mart TO 'salestream_job'@'%';

-- The marts; a row that no fact is behind any more is deleted.
GRANT SELECT, INSERT, UPDATE, DELETE ON customers_data_mart TO 'salestream_job'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON sales_team_data_mart TO 'salestream_job'@'%';

-- Readers see the marts, the list of committed Parquet, and what became of each file.
GRANT SELECT ON customers_data_mart TO 'salestream_reader'@'%';
GRANT SELECT ON sales_team_data_mart TO 'salestream_reader'@'%';
GRANT SELECT ON fact_part TO 'salestream_reader'@'%';
GRANT SELECT ON product_staging_table TO 'salestream_reader'@'%';
