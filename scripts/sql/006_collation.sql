-- One collation for every table of the ledger and the marts, whatever the server's default was when each was made: MySQL 5.7, 8 and
-- MariaDB have others, and two tables made under two of them cannot be joined (error 1267). Exact, as names and keys are compared.
-- The dimension tables are yours and stay as they are: no text of theirs is compared with ours.

-- A table is only written anew where a column of it differs; so this file can be run again after a crash anywhere in it.

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'stream_owner' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE stream_owner CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'file_operation' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE file_operation CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'micro_batch' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE micro_batch CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'batch_attempt' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE batch_attempt CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'source_file' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE source_file CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'stage_file' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE stage_file CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'file_reject' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE file_reject CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'fact_part' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE fact_part CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'quarantine_part' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE quarantine_part CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'pending_part' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE pending_part CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'pending_key' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE pending_key CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'customers_data_mart' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE customers_data_mart CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'stage_customers_data_mart' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE stage_customers_data_mart CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'sales_team_data_mart' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE sales_team_data_mart CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'stage_sales_team_data_mart' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE stage_sales_team_data_mart CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'file_header' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE file_header CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'file_warning' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE file_warning CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'warning_total' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE warning_total CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'operation_file' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE operation_file CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'operation_partition' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE operation_partition CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'batch_file' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE batch_file CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;

SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'file_withdrawal' AND collation_name <> 'utf8mb4_bin') = 0,
  'DO 0', 'ALTER TABLE file_withdrawal CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
PREPARE pin_collation FROM @change;
EXECUTE pin_collation;
DEALLOCATE PREPARE pin_collation;
