CREATE TABLE `_yoyo_log` (
  `id` varchar(36) NOT NULL,
  `migration_hash` varchar(64) DEFAULT NULL,
  `migration_id` varchar(255) DEFAULT NULL,
  `operation` varchar(10) DEFAULT NULL,
  `username` varchar(255) DEFAULT NULL,
  `hostname` varchar(255) DEFAULT NULL,
  `comment` varchar(255) DEFAULT NULL,
  `created_at_utc` timestamp NULL DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `_yoyo_log` (`id`, `migration_hash`, `migration_id`, `operation`, `username`, `hostname`, `comment`, `created_at_utc`) VALUES
('70b0af06-eb36-11f1-9955-02fc00000001', 'f6edbd770210799e89076bd3ba448aab77bc6a4efd828ddf0eadf978ee6c1954', '001_dimensions', 'apply', 'root', 'localhost', NULL, '2026-11-28 14:17:27'),
('70f0384c-eb36-11f1-9955-02fc00000001', '7e64f182f6717e19541d1efb19bfd68d593ce3cef13362e7ba82178ecb69a14e', '002_ledger', 'apply', 'root', 'localhost', NULL, '2026-11-28 14:17:28'),
('7100700e-eb36-11f1-9955-02fc00000001', '0665860c0729c39ecafffed341a6838f5c549073f9b28d4a3eac9298aad7078d', '003_marts', 'apply', 'root', 'localhost', NULL, '2026-11-28 14:17:28'),
('71173e88-eb36-11f1-9955-02fc00000001', 'e21cbfa88a2463b411c16ce7772aaf304fbf6e09ac2c9faad7eb0ddd58faf58f', '004_contract', 'apply', 'root', 'localhost', NULL, '2026-11-28 14:17:28'),
('71227d70-eb36-11f1-9955-02fc00000001', 'ee0d7626dcdda681107519402d203452317d5997c8be0b144efcc6ce8f874108', '005_operations', 'apply', 'root', 'localhost', NULL, '2026-11-28 14:17:28');
CREATE TABLE `_yoyo_version` (
  `version` int(11) NOT NULL,
  `installed_at_utc` timestamp NULL DEFAULT NULL,
  PRIMARY KEY (`version`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `_yoyo_version` (`version`, `installed_at_utc`) VALUES
(2, '2026-11-28 14:17:27');
CREATE TABLE `batch_attempt` (
  `batch_key` varchar(64) NOT NULL COMMENT '<batch>-<epoch>-<attempt>',
  `batch_id` bigint(20) NOT NULL,
  `state` varchar(16) NOT NULL DEFAULT 'OPEN' COMMENT 'OPEN, COMMITTED, DEAD (leftovers removed)',
  `started_at` datetime(6) NOT NULL,
  `ended_at` datetime(6) DEFAULT NULL,
  `error` varchar(2000) DEFAULT NULL,
  PRIMARY KEY (`batch_key`),
  KEY `by_state` (`state`,`batch_key`),
  KEY `by_batch` (`batch_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per attempt at a micro-batch; leftovers are known by its key';
INSERT INTO `batch_attempt` (`batch_key`, `batch_id`, `state`, `started_at`, `ended_at`, `error`) VALUES
('1-1-1', 1, 'DEAD', '2026-11-28 14:17:38.626802', '2026-11-28 14:17:46.299592', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
('1-1-2', 1, 'DEAD', '2026-11-28 14:17:46.290958', '2026-11-28 14:17:47.437918', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
('10-3-1', 10, 'COMMITTED', '2026-11-28 14:18:06.563316', '2026-11-28 14:18:11.364808', NULL),
('11-4-1', 11, 'COMMITTED', '2026-11-28 14:18:12.644760', '2026-11-28 14:18:14.835597', NULL),
('12-4-1', 12, 'COMMITTED', '2026-11-28 14:18:15.029235', '2026-11-28 14:18:17.287841', NULL),
('13-4-1', 13, 'COMMITTED', '2026-11-28 14:18:17.450514', '2026-11-28 14:18:17.477454', NULL),
('14-4-1', 14, 'COMMITTED', '2026-11-28 14:18:17.602683', '2026-11-28 14:18:20.425615', NULL),
('15-5-1', 15, 'DEAD', '2026-11-28 14:18:22.119574', '2026-11-28 14:18:24.797107', 'BATCH mended rows of file 6: line 2 is none of its rejected rows; the job retries by itself; see the log for the first cause'),
('15-5-2', 15, 'DEAD', '2026-11-28 14:18:24.791847', '2026-11-28 14:18:26.338109', 'BATCH mended rows of file 6: line 2 is none of its rejected rows; the job retries by itself; see the log for the first cause'),
('16-6-1', 16, 'COMMITTED', '2026-11-28 14:18:27.828414', '2026-11-28 14:18:29.849980', NULL),
('17-7-1', 17, 'COMMITTED', '2026-11-28 14:18:31.426724', '2026-11-28 14:18:31.988833', NULL),
('18-8-1', 18, 'DEAD', '2026-11-28 14:18:33.829314', '2026-11-28 14:18:35.224150', 'INJECTED fail point after_facts hit 1 raised; unset SALESTREAM_FAILPOINT'),
('18-9-2', 18, 'COMMITTED', '2026-11-28 14:18:35.226198', '2026-11-28 14:18:36.537078', NULL),
('19-11-1', 19, 'COMMITTED', '2026-11-28 14:18:38.678891', '2026-11-28 14:18:39.893252', NULL),
('2-1-1', 2, 'COMMITTED', '2026-11-28 14:17:47.433083', '2026-11-28 14:17:48.935298', NULL),
('20-11-1', 20, 'OPEN', '2026-11-28 14:18:39.931449', NULL, NULL),
('3-1-1', 3, 'DEAD', '2026-11-28 14:17:48.960615', '2026-11-28 14:17:49.881820', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
('4-1-1', 4, 'DEAD', '2026-11-28 14:17:49.873532', '2026-11-28 14:17:50.944603', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
('5-1-1', 5, 'COMMITTED', '2026-11-28 14:17:50.935836', '2026-11-28 14:17:52.113447', NULL),
('6-1-1', 6, 'DEAD', '2026-11-28 14:17:52.131328', '2026-11-28 14:17:54.095592', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
('6-1-2', 6, 'DEAD', '2026-11-28 14:17:54.089806', '2026-11-28 14:17:54.717983', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
('7-1-1', 7, 'COMMITTED', '2026-11-28 14:17:54.710068', '2026-11-28 14:17:55.735940', NULL),
('8-2-1', 8, 'COMMITTED', '2026-11-28 14:17:57.060947', '2026-11-28 14:18:03.277151', NULL),
('9-2-1', 9, 'COMMITTED', '2026-11-28 14:18:03.536519', '2026-11-28 14:18:04.381042', NULL);
CREATE TABLE `batch_file` (
  `file_id` bigint(20) NOT NULL,
  `batch_key` varchar(64) NOT NULL,
  PRIMARY KEY (`file_id`,`batch_key`),
  KEY `by_batch` (`batch_key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per file and batch attempt that may hold rows of it, beside the batch that has read it (source_file.batch_id)';
INSERT INTO `batch_file` (`file_id`, `batch_key`) VALUES
(2, '10-3-1'),
(3, '10-3-1'),
(7, '11-4-1'),
(3, '14-4-1'),
(10, '14-4-1'),
(2, '16-6-1'),
(3, '16-6-1'),
(6, '16-6-1'),
(7, '16-6-1'),
(10, '16-6-1'),
(2, '2-1-1'),
(6, '7-1-1'),
(3, '8-2-1');
CREATE TABLE `customer` (
  `customer_id` int(11) NOT NULL,
  `first_name` varchar(100) DEFAULT NULL,
  `last_name` varchar(100) DEFAULT NULL,
  `address` varchar(300) DEFAULT NULL,
  `pincode` varchar(20) DEFAULT NULL,
  `phone_number` varchar(30) DEFAULT NULL,
  `customer_joining_date` date DEFAULT NULL,
  PRIMARY KEY (`customer_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per customer';
INSERT INTO `customer` (`customer_id`, `first_name`, `last_name`, `address`, `pincode`, `phone_number`, `customer_joining_date`) VALUES
(1, 'Aarti', 'Deshmukh', '12 Laxmi Road, Pune', '411030', '9000000001', '2021-01-14'),
(2, 'Bhavesh', 'Trivedi', '4 Ashram Road, Ahmedabad', '380009', '9000000002', '2021-03-02'),
(3, 'Chitra', 'Venkatesan', '77 Pondy Bazaar, Chennai', '600017', '9000000003', '2021-04-21'),
(4, 'Devendra', 'Rawat', '9 Rajpur Road, Dehradun', '248001', '9000000004', '2021-06-30'),
(5, 'Esha', 'Mukherjee', '31 Gariahat Road, Kolkata', '700019', '9000000005', '2021-08-08'),
(6, 'Feroz', 'Qureshi', '18 Charminar Lane, Hyderabad', '500002', '9000000006', '2021-09-17'),
(7, 'Gowri', NULL, '5 Temple Tank Street, Madurai', '625001', '9000000007', '2021-11-25'),
(8, 'Harpreet', 'Gill', '63 Mall Road, Amritsar', '143001', '9000000008', '2021-12-31'),
(9, 'Indira', 'Hegde', '22 Car Street, Mangaluru', '575001', '9000000009', '2022-01-05'),
(10, 'Jatin', 'Solanki', '40 Palace Road, Vadodara', '390001', '9000000010', '2022-02-28'),
(11, 'Kevin', 'D\'Souza', '8 Church Street, Panaji', '403001', '9000000011', '2022-04-10'),
(12, 'Lalita', 'Mahapatra', '15 Puri Road, Bhubaneswar', '751001', '9000000012', '2022-05-19'),
(13, 'मीरा', 'जोशी', '27 Tilak Road, Nagpur', '440002', '9000000013', '2022-07-01'),
(14, 'Naveen', 'Poojary', '3 Beach Road, Udupi', '576101', '9000000014', '2022-08-15'),
(15, 'Oviya', 'Selvam', '50 Cross Cut Road, Coimbatore', '641012', '9000000015', '2022-09-22'),
(16, 'Parveen', 'Siddiqui', '11 Hazratganj, Lucknow', '226001', '9000000016', '2022-10-03'),
(17, 'Queenie', 'Lyngdoh', '6 Police Bazaar, Shillong', '793001', '9000000017', '2022-12-12'),
(18, 'Ramesh', NULL, '90 Gandhi Bazaar, Bengaluru', '560004', '9000000018', '2023-01-26'),
(19, 'Sunita', 'Chaudhary', '14 Johari Bazaar, Jaipur', '302003', '9000000019', '2023-02-14'),
(20, 'Tenzin', 'Bhutia', '2 Lal Bazaar, Gangtok', '737101', '9000000020', '2023-03-31'),
(21, 'Uday', 'Barua', '36 Fancy Bazaar, Guwahati', '781001', '9000000021', '2023-05-05'),
(22, 'Zoë', 'Fernandes', '19 Hill Road, Mumbai', '400050', '9000000022', '2023-06-18'),
(23, 'Wasim', 'Mir', '7 Residency Road, Srinagar', '190001', '9000000023', '2023-08-09'),
(24, 'Yamini', 'Naidu', '28 Dwaraka Nagar, Visakhapatnam', '530016', '9000000024', '2023-10-20'),
(25, 'Zubin', 'Contractor', '33 Dadar East, Mumbai', '400014', '9000000025', '2023-12-29'),
(9001, 'Lætitia', NULL, NULL, NULL, NULL, NULL),
(9002, 'Late', NULL, NULL, NULL, NULL, NULL);
CREATE TABLE `customers_data_mart` (
  `customer_id` int(11) NOT NULL,
  `full_name` varchar(250) DEFAULT NULL,
  `address` varchar(300) DEFAULT NULL,
  `phone_number` varchar(30) DEFAULT NULL,
  `sales_date_month` char(7) NOT NULL COMMENT 'YYYY-MM',
  `total_sales` decimal(30,4) NOT NULL,
  `row_count` bigint(20) NOT NULL,
  `updated_at` datetime(6) NOT NULL,
  PRIMARY KEY (`customer_id`,`sales_date_month`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per customer and month';
INSERT INTO `customers_data_mart` (`customer_id`, `full_name`, `address`, `phone_number`, `sales_date_month`, `total_sales`, `row_count`, `updated_at`) VALUES
(1, 'Aarti Deshmukh', '12 Laxmi Road, Pune', '9000000001', '2024-01', 10.0000, 1, '2026-11-28 14:18:20.410823'),
(2, 'Bhavesh Trivedi', '4 Ashram Road, Ahmedabad', '9000000002', '2024-02', 20.0000, 1, '2026-11-28 14:18:20.410823'),
(3, 'Chitra Venkatesan', '77 Pondy Bazaar, Chennai', '9000000003', '2024-01', 30.0000, 1, '2026-11-28 14:17:55.729806'),
(3, 'Chitra Venkatesan', '77 Pondy Bazaar, Chennai', '9000000003', '2024-12', 31.0000, 1, '2026-11-28 14:18:17.282420'),
(5, 'Esha Mukherjee', '31 Gariahat Road, Kolkata', '9000000005', '2024-01', 40.0000, 1, '2026-11-28 14:17:48.925656'),
(6, 'Feroz Qureshi', '18 Charminar Lane, Hyderabad', '9000000006', '2024-01', 55.0000, 1, '2026-11-28 14:17:52.108748'),
(8, 'Harpreet Gill', '63 Mall Road, Amritsar', '9000000008', '2024-01', 62.0000, 1, '2026-11-28 14:18:11.341594'),
(9, 'Indira Hegde', '22 Car Street, Mangaluru', '9000000009', '2024-01', 61.0000, 1, '2026-11-28 14:18:11.341594'),
(11, 'Kevin D\'Souza', '8 Church Street, Panaji', '9000000011', '2024-03', 82.0000, 1, '2026-11-28 14:18:36.529777'),
(13, 'मीरा जोशी', '27 Tilak Road, Nagpur', '9000000013', '2024-03', 83.0000, 1, '2026-11-28 14:18:36.529777'),
(14, 'Naveen Poojary', '3 Beach Road, Udupi', '9000000014', '2024-03', 101.0000, 1, '2026-11-28 14:18:39.868584'),
(15, 'Oviya Selvam', '50 Cross Cut Road, Coimbatore', '9000000015', '2024-04', 102.0000, 1, '2026-11-28 14:18:39.868584'),
(9001, 'Lætitia', NULL, NULL, '2024-01', 41.0000, 1, '2026-11-28 14:18:03.262642');
CREATE TABLE `fact_part` (
  `batch_key` varchar(64) NOT NULL,
  `sales_month` char(7) NOT NULL,
  `store_id` int(11) NOT NULL,
  `state` varchar(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, LIVE, DEAD (replaced, still there for a while), DELETED',
  `row_count` bigint(20) NOT NULL,
  `amount` decimal(30,4) NOT NULL,
  `planned_at` datetime(6) NOT NULL,
  `live_at` datetime(6) DEFAULT NULL,
  `dead_at` datetime(6) DEFAULT NULL,
  PRIMARY KEY (`batch_key`,`sales_month`,`store_id`),
  KEY `by_partition` (`sales_month`,`store_id`,`state`),
  KEY `by_state` (`state`,`batch_key`),
  KEY `by_death` (`state`,`dead_at`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per Parquet folder of facts: one partition of one batch attempt';
INSERT INTO `fact_part` (`batch_key`, `sales_month`, `store_id`, `state`, `row_count`, `amount`, `planned_at`, `live_at`, `dead_at`) VALUES
('10-3-1', '2024-01', 121, 'DEAD', 4, 173.0000, '2026-11-28 14:18:09.322105', '2026-11-28 14:18:11.351250', '2026-11-28 14:18:20.425242'),
('11-4-1', '2024-01', 121, 'DEAD', 1, 55.0000, '2026-11-28 14:18:13.390184', '2026-11-28 14:18:14.834908', '2026-11-28 14:18:29.849308'),
('12-4-1', '2024-12', 121, 'LIVE', 1, 31.0000, '2026-11-28 14:18:17.073161', '2026-11-28 14:18:17.287249', NULL),
('14-4-1', '2024-01', 121, 'DEAD', 4, 173.0000, '2026-11-28 14:18:18.564361', '2026-11-28 14:18:20.424850', '2026-11-28 14:18:29.849308'),
('14-4-1', '2024-02', 122, 'LIVE', 1, 20.0000, '2026-11-28 14:18:18.564361', '2026-11-28 14:18:20.424850', NULL),
('16-6-1', '2024-01', 121, 'LIVE', 7, 299.0000, '2026-11-28 14:18:29.147715', '2026-11-28 14:18:29.848922', NULL),
('18-8-1', '2024-03', 121, 'DELETED', 2, 165.0000, '2026-11-28 14:18:34.481392', NULL, '2026-11-28 14:18:35.222494'),
('18-9-2', '2024-03', 121, 'LIVE', 2, 165.0000, '2026-11-28 14:18:36.086229', '2026-11-28 14:18:36.536480', NULL),
('19-11-1', '2024-03', 121, 'LIVE', 1, 101.0000, '2026-11-28 14:18:39.520660', '2026-11-28 14:18:39.879749', NULL),
('19-11-1', '2024-04', 122, 'LIVE', 1, 102.0000, '2026-11-28 14:18:39.520660', '2026-11-28 14:18:39.879749', NULL),
('2-1-1', '2024-01', 121, 'DEAD', 4, 171.0000, '2026-11-28 14:17:48.279402', '2026-11-28 14:17:48.934579', '2026-11-28 14:18:11.360708'),
('2-1-1', '2024-02', 122, 'DEAD', 1, 20.0000, '2026-11-28 14:17:48.279402', '2026-11-28 14:17:48.934579', '2026-11-28 14:18:20.425242'),
('20-11-1', '2024-04', 122, 'PLANNED', 1, 104.0000, '2026-11-28 14:18:40.447314', NULL, NULL),
('20-11-1', '2024-05', 122, 'PLANNED', 1, 103.0000, '2026-11-28 14:18:40.447314', NULL, NULL),
('5-1-1', '2024-01', 121, 'DEAD', 2, 125.0000, '2026-11-28 14:17:51.768294', '2026-11-28 14:17:52.112744', '2026-11-28 14:18:14.835263'),
('7-1-1', '2024-01', 121, 'DEAD', 1, 30.0000, '2026-11-28 14:17:55.173249', '2026-11-28 14:17:55.735230', '2026-11-28 14:18:29.849308'),
('8-2-1', '2024-01', 121, 'DEAD', 1, 41.0000, '2026-11-28 14:18:01.586294', '2026-11-28 14:18:03.273098', '2026-11-28 14:18:29.849308');
CREATE TABLE `file_header` (
  `file_id` bigint(20) NOT NULL,
  `batch_key` varchar(64) NOT NULL,
  `header` mediumtext NOT NULL COMMENT 'as it is written in the file, without its line break',
  PRIMARY KEY (`file_id`,`batch_key`),
  KEY `by_batch` (`batch_key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per file with rejected rows and batch: what an export begins with';
INSERT INTO `file_header` (`file_id`, `batch_key`, `header`) VALUES
(6, '7-1-1', 'customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost'),
(14, '18-9-2', 'customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost'),
(17, '20-11-1', 'customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost');
CREATE TABLE `file_operation` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `kind` varchar(16) NOT NULL COMMENT 'RELEASE, REPLAY, RETRACT, REPLACE, COMPACT',
  `state` varchar(16) NOT NULL DEFAULT 'REQUESTED' COMMENT 'REQUESTED, CLAIMED, DONE, FAILED',
  `file_id` bigint(20) DEFAULT NULL,
  `requested_by` varchar(255) NOT NULL,
  `requested_at` datetime(6) NOT NULL,
  `claimed_at` datetime(6) DEFAULT NULL,
  `finished_at` datetime(6) DEFAULT NULL,
  `detail` varchar(2000) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `by_state` (`state`,`id`)
) ENGINE=InnoDB AUTO_INCREMENT=12 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per operation on what was loaded; claimed by a micro-batch like a file';
INSERT INTO `file_operation` (`id`, `kind`, `state`, `file_id`, `requested_by`, `requested_at`, `claimed_at`, `finished_at`, `detail`) VALUES
(1, 'RELEASE', 'DONE', NULL, 'stream', '2026-11-28 14:17:56.230675', '2026-11-28 14:17:56.965778', '2026-11-28 14:18:03.272687', '1 pending parts'),
(2, 'REPLACE', 'DONE', NULL, 'redelivery: replace', '2026-11-28 14:18:11.349868', '2026-11-28 14:18:11.349868', '2026-11-28 14:18:11.349868', 'batch 10'),
(3, 'RETRACT', 'DONE', NULL, 'somebody', '2026-11-28 14:18:11.553448', '2026-11-28 14:18:12.541129', '2026-11-28 14:18:14.834765', '1 files'),
(4, 'MEND', 'DONE', NULL, 'somebody', '2026-11-28 14:18:11.576023', '2026-11-28 14:18:14.929864', '2026-11-28 14:18:17.287100', '1 file'),
(5, 'MEND', 'DONE', NULL, 'somebody', '2026-11-28 14:18:11.605315', '2026-11-28 14:18:17.367639', '2026-11-28 14:18:17.476734', '1 file'),
(6, 'REPLAY', 'DONE', NULL, 'somebody', '2026-11-28 14:18:11.612257', '2026-11-28 14:18:17.539359', '2026-11-28 14:18:20.424691', '1 files'),
(7, 'MEND', 'FAILED', NULL, 'somebody', '2026-11-28 14:18:20.588042', '2026-11-28 14:18:22.034511', '2026-11-28 14:18:26.021366', 'BATCH mended rows of file 6: line 2 is none of its rejected rows; the job retries by itself; see the log for the first cause'),
(8, 'COMPACT', 'DONE', NULL, 'somebody', '2026-11-28 14:18:26.293907', '2026-11-28 14:18:27.714489', '2026-11-28 14:18:29.848668', 'merge small parts'),
(9, 'RETRACT', 'REQUESTED', NULL, 'somebody', '2026-11-28 14:18:41.308620', NULL, NULL, '1 files'),
(10, 'REPLAY', 'REQUESTED', NULL, 'somebody', '2026-11-28 14:18:41.320094', NULL, NULL, '1 files'),
(11, 'COMPACT', 'REQUESTED', NULL, 'somebody', '2026-11-28 14:18:41.328566', NULL, NULL, 'merge small parts');
CREATE TABLE `file_reject` (
  `file_id` bigint(20) NOT NULL,
  `batch_key` varchar(64) NOT NULL,
  `reason_code` varchar(60) NOT NULL,
  `row_count` bigint(20) NOT NULL,
  `first_line` bigint(20) DEFAULT NULL,
  `first_column` varchar(255) DEFAULT NULL,
  `first_text` varchar(200) DEFAULT NULL COMMENT 'what stood there, *** in a sensitive column',
  PRIMARY KEY (`file_id`,`batch_key`,`reason_code`),
  KEY `by_batch` (`batch_key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per file, batch and reason of rejected rows';
INSERT INTO `file_reject` (`file_id`, `batch_key`, `reason_code`, `row_count`, `first_line`, `first_column`, `first_text`) VALUES
(6, '12-4-1', 'INVALID_DATE', 1, 4, 'sales_date', 'never'),
(6, '12-4-1', 'QUANTITY_NOT_ZERO', 1, 5, 'quantity', '0'),
(14, '18-9-2', 'INVALID_DATE', 1, 3, 'sales_date', 'never'),
(17, '20-11-1', 'INVALID_DATE', 1, 3, 'sales_date', 'never');
CREATE TABLE `file_warning` (
  `file_id` bigint(20) NOT NULL,
  `batch_key` varchar(64) NOT NULL,
  `rule_name` varchar(60) NOT NULL,
  `row_count` bigint(20) NOT NULL,
  `first_line` bigint(20) DEFAULT NULL,
  PRIMARY KEY (`file_id`,`batch_key`,`rule_name`),
  KEY `by_batch` (`batch_key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per file, batch and warn rule that accepted rows broke';
INSERT INTO `file_warning` (`file_id`, `batch_key`, `rule_name`, `row_count`, `first_line`) VALUES
(7, '5-1-1', 'product_known', 1, 2),
(7, '5-1-1', 'total_matches', 1, 2);
CREATE TABLE `file_withdrawal` (
  `file_id` bigint(20) NOT NULL,
  `batch_id` bigint(20) NOT NULL,
  `superseded_by` bigint(20) DEFAULT NULL COMMENT 'the file that took its place; NULL: it was retracted',
  `rows_loaded` bigint(20) NOT NULL COMMENT 'rows taken out of facts and marts',
  `rows_pending` bigint(20) NOT NULL COMMENT 'waiting rows dropped',
  `withdrawn_at` datetime(6) NOT NULL,
  PRIMARY KEY (`file_id`,`batch_id`),
  KEY `by_batch` (`batch_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row each time the rows of a file were taken out again';
INSERT INTO `file_withdrawal` (`file_id`, `batch_id`, `superseded_by`, `rows_loaded`, `rows_pending`, `withdrawn_at`) VALUES
(1, 10, 10, 2, 0, '2026-11-28 14:18:11.348920'),
(8, 11, NULL, 1, 0, '2026-11-28 14:18:14.833849');
CREATE TABLE `micro_batch` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `state` varchar(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, STARTED, COMMITTED, SPLIT',
  `operation_id` bigint(20) DEFAULT NULL COMMENT 'the one operation this batch executes; NULL: it loads files',
  `attempt` int(11) NOT NULL DEFAULT 0 COMMENT 'counts every start of the batch; part of batch_key',
  `failures` int(11) NOT NULL DEFAULT 0 COMMENT 'counts failed attempts; decides when a poison file is isolated',
  `batch_key` varchar(64) DEFAULT NULL COMMENT '<batch>-<epoch>-<attempt> of the last attempt',
  `contract_hash` char(64) DEFAULT NULL,
  `dimension_version` bigint(20) DEFAULT NULL,
  `files` int(11) NOT NULL DEFAULT 0,
  `bytes` bigint(20) NOT NULL DEFAULT 0,
  `rows_read` bigint(20) NOT NULL DEFAULT 0,
  `rows_loaded` bigint(20) NOT NULL DEFAULT 0,
  `rows_rejected` bigint(20) NOT NULL DEFAULT 0,
  `rows_pending` bigint(20) NOT NULL DEFAULT 0,
  `planned_at` datetime(6) NOT NULL COMMENT 'the clock that the batch is evaluated against',
  `started_at` datetime(6) DEFAULT NULL,
  `committed_at` datetime(6) DEFAULT NULL,
  `error` varchar(2000) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `by_state` (`state`,`id`),
  KEY `by_operation` (`operation_id`)
) ENGINE=InnoDB AUTO_INCREMENT=22 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per micro-batch: a set of claimed files, or one operation';
INSERT INTO `micro_batch` (`id`, `state`, `operation_id`, `attempt`, `failures`, `batch_key`, `contract_hash`, `dimension_version`, `files`, `bytes`, `rows_read`, `rows_loaded`, `rows_rejected`, `rows_pending`, `planned_at`, `started_at`, `committed_at`, `error`) VALUES
(1, 'SPLIT', NULL, 2, 2, '1-1-2', 'c0a08cd9e61a2645e0c03b15c41ed8a6530bcaa84ff62d306100c484feca386b', NULL, 8, 1094, 0, 0, 0, 0, '2026-11-28 14:17:35.067090', '2026-11-28 14:17:46.290758', '2026-11-28 14:17:47.430425', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
(2, 'COMMITTED', NULL, 1, 1, '2-1-1', 'c0a08cd9e61a2645e0c03b15c41ed8a6530bcaa84ff62d306100c484feca386b', 1795875458639, 4, 511, 7, 5, 0, 2, '2026-11-28 14:17:47.429699', '2026-11-28 14:17:47.432799', '2026-11-28 14:17:48.935116', NULL),
(3, 'SPLIT', NULL, 1, 2, '3-1-1', 'c0a08cd9e61a2645e0c03b15c41ed8a6530bcaa84ff62d306100c484feca386b', NULL, 4, 583, 0, 0, 0, 0, '2026-11-28 14:17:47.430143', '2026-11-28 14:17:48.960281', '2026-11-28 14:17:49.854883', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
(4, 'SPLIT', NULL, 1, 2, '4-1-1', 'c0a08cd9e61a2645e0c03b15c41ed8a6530bcaa84ff62d306100c484feca386b', NULL, 2, 334, 0, 0, 0, 0, '2026-11-28 14:17:49.852973', '2026-11-28 14:17:49.872887', '2026-11-28 14:17:50.931360', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
(5, 'COMMITTED', NULL, 1, 1, '5-1-1', 'c0a08cd9e61a2645e0c03b15c41ed8a6530bcaa84ff62d306100c484feca386b', 1795875458639, 2, 249, 2, 2, 0, 0, '2026-11-28 14:17:49.853941', '2026-11-28 14:17:50.932878', '2026-11-28 14:17:52.113282', NULL),
(6, 'COMMITTED', NULL, 2, 2, '6-1-2', 'c0a08cd9e61a2645e0c03b15c41ed8a6530bcaa84ff62d306100c484feca386b', NULL, 1, 122, 0, 0, 0, 0, '2026-11-28 14:17:50.930848', '2026-11-28 14:17:54.089472', '2026-11-28 14:17:54.707396', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause'),
(7, 'COMMITTED', NULL, 1, 0, '7-1-1', 'c0a08cd9e61a2645e0c03b15c41ed8a6530bcaa84ff62d306100c484feca386b', 1795875458639, 1, 212, 4, 1, 3, 0, '2026-11-28 14:17:50.931140', '2026-11-28 14:17:54.709835', '2026-11-28 14:17:55.735733', NULL),
(8, 'COMMITTED', 1, 1, 0, '8-2-1', 'e2e83c2818a01279272cb3625a5860ea2c6a006b14ef7c463c0394ad4ac9211d', 1795875477062, 0, 0, 2, 1, 0, 1, '2026-11-28 14:17:56.966045', '2026-11-28 14:17:57.060623', '2026-11-28 14:18:03.276995', NULL),
(9, 'COMMITTED', NULL, 1, 0, '9-2-1', 'e2e83c2818a01279272cb3625a5860ea2c6a006b14ef7c463c0394ad4ac9211d', 1795875477062, 1, 153, 0, 0, 0, 0, '2026-11-28 14:18:03.426673', '2026-11-28 14:18:03.536293', '2026-11-28 14:18:04.380763', NULL),
(10, 'COMMITTED', NULL, 1, 0, '10-3-1', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', 1795875486569, 1, 153, 2, 2, 0, 0, '2026-11-28 14:18:06.448883', '2026-11-28 14:18:06.563023', '2026-11-28 14:18:11.364092', NULL),
(11, 'COMMITTED', 3, 1, 0, '11-4-1', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', 1795875492646, 0, 0, 0, 0, 0, 0, '2026-11-28 14:18:12.541331', '2026-11-28 14:18:12.644520', '2026-11-28 14:18:14.835460', NULL),
(12, 'COMMITTED', 4, 1, 0, '12-4-1', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', 1795875492646, 0, 0, 3, 1, 2, 0, '2026-11-28 14:18:14.930157', '2026-11-28 14:18:15.028833', '2026-11-28 14:18:17.287658', NULL),
(13, 'COMMITTED', 5, 1, 0, '13-4-1', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', 1795875492646, 0, 0, 0, 0, 0, 0, '2026-11-28 14:18:17.368696', '2026-11-28 14:18:17.450294', '2026-11-28 14:18:17.477311', NULL),
(14, 'COMMITTED', 6, 1, 0, '14-4-1', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', 1795875492646, 0, 0, 2, 2, 0, 0, '2026-11-28 14:18:17.539553', '2026-11-28 14:18:17.602465', '2026-11-28 14:18:20.425469', NULL),
(15, 'COMMITTED', 7, 2, 2, '15-5-2', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', NULL, 0, 0, 0, 0, 0, 0, '2026-11-28 14:18:22.034735', '2026-11-28 14:18:24.791478', '2026-11-28 14:18:26.021200', 'BATCH mended rows of file 6: line 2 is none of its rejected rows; the job retries by itself; see the log for the first cause'),
(16, 'COMMITTED', 8, 1, 0, '16-6-1', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', 1795875507836, 0, 0, 0, 0, 0, 0, '2026-11-28 14:18:27.714703', '2026-11-28 14:18:27.828178', '2026-11-28 14:18:29.849785', NULL),
(17, 'COMMITTED', NULL, 1, 0, '17-7-1', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', 1795875511532, 2, 242, 0, 0, 0, 0, '2026-11-28 14:18:31.353296', '2026-11-28 14:18:31.426239', '2026-11-28 14:18:31.988637', NULL),
(18, 'COMMITTED', NULL, 2, 0, '18-9-2', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', 1795875515227, 2, 307, 4, 2, 1, 1, '2026-11-28 14:18:33.729159', '2026-11-28 14:18:35.226018', '2026-11-28 14:18:36.536932', NULL),
(19, 'COMMITTED', NULL, 1, 0, '19-11-1', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', 1795875518692, 2, 246, 2, 2, 0, 0, '2026-11-28 14:18:38.532262', '2026-11-28 14:18:38.678634', '2026-11-28 14:18:39.892468', NULL),
(20, 'STARTED', NULL, 1, 0, '20-11-1', '0b4295e15ae5e737d5a08be308d39a5613a747821fc72409c67249be2c049101', NULL, 2, 311, 0, 0, 0, 0, '2026-11-28 14:18:38.541968', '2026-11-28 14:18:39.931116', NULL, NULL),
(21, 'PLANNED', NULL, 0, 0, NULL, NULL, NULL, 2, 246, 0, 0, 0, 0, '2026-11-28 14:18:41.297469', NULL, NULL, NULL);
CREATE TABLE `operation_file` (
  `operation_id` bigint(20) NOT NULL,
  `file_id` bigint(20) NOT NULL,
  `mended_key` varbinary(1024) DEFAULT NULL COMMENT 'MEND: the object that holds the mended rows',
  `mended_etag` varchar(255) DEFAULT NULL COMMENT 'NULL again: the object of mended rows has been deleted',
  `mended_bytes` bigint(20) DEFAULT NULL,
  `read_batch` bigint(20) DEFAULT NULL COMMENT 'MEND: the batch that rejected the rows; another one has read the file since: nothing is done',
  `note` varchar(2000) DEFAULT NULL COMMENT 'why nothing was done to this file',
  PRIMARY KEY (`operation_id`,`file_id`),
  KEY `by_file` (`file_id`),
  KEY `by_mended` (`mended_etag`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per operation and file that it is about';
INSERT INTO `operation_file` (`operation_id`, `file_id`, `mended_key`, `mended_etag`, `mended_bytes`, `read_batch`, `note`) VALUES
(2, 10, NULL, NULL, NULL, NULL, NULL),
(3, 8, NULL, NULL, NULL, NULL, NULL),
(4, 6, _binary'sales_data_error/mended/6/3d6655a8ed844a9e9b839ae346927f83.csv', NULL, 128, 7, NULL),
(5, 6, _binary'sales_data_error/mended/6/c99fd954c7cd4257a2cb79cd78246e04.csv', NULL, 128, 7, 'its rejected rows are not those any more that were mended'),
(6, 2, NULL, NULL, NULL, NULL, NULL),
(7, 6, _binary'sales_data_error/mended/6/9da047023d154440a0841513b8c6046a.csv', NULL, 128, 12, NULL),
(9, 7, NULL, NULL, NULL, NULL, NULL),
(10, 3, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE `operation_partition` (
  `operation_id` bigint(20) NOT NULL,
  `sales_month` char(7) NOT NULL,
  `store_id` int(11) NOT NULL,
  PRIMARY KEY (`operation_id`,`sales_month`,`store_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per COMPACT and fact partition that it merges';
INSERT INTO `operation_partition` (`operation_id`, `sales_month`, `store_id`) VALUES
(8, '2024-01', 121),
(11, '2024-03', 121);
CREATE TABLE `pending_key` (
  `batch_key` varchar(64) NOT NULL,
  `file_id` bigint(20) NOT NULL,
  `dimension` varchar(32) NOT NULL,
  `key_value` bigint(20) NOT NULL,
  `row_count` bigint(20) NOT NULL,
  PRIMARY KEY (`batch_key`,`file_id`,`dimension`,`key_value`),
  KEY `by_key` (`dimension`,`key_value`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per missing dimension key of a pending part and file';
INSERT INTO `pending_key` (`batch_key`, `file_id`, `dimension`, `key_value`, `row_count`) VALUES
('18-9-2', 14, 'customer', 9002, 1),
('20-11-1', 17, 'customer', 9003, 1),
('8-2-1', 3, 'customer', 9002, 1);
CREATE TABLE `pending_part` (
  `batch_key` varchar(64) NOT NULL,
  `state` varchar(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, WAITING, CONSUMED, DEAD',
  `operation_id` bigint(20) DEFAULT NULL COMMENT 'the RELEASE that will consume it',
  `row_count` bigint(20) NOT NULL,
  `created_at` datetime(6) NOT NULL,
  `consumed_at` datetime(6) DEFAULT NULL,
  `deleted_at` datetime(6) DEFAULT NULL COMMENT 'when the Parquet of a consumed part was deleted',
  PRIMARY KEY (`batch_key`),
  KEY `by_state` (`state`,`operation_id`),
  KEY `by_operation` (`operation_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per Parquet folder of rows that wait for a dimension row';
INSERT INTO `pending_part` (`batch_key`, `state`, `operation_id`, `row_count`, `created_at`, `consumed_at`, `deleted_at`) VALUES
('18-8-1', 'DEAD', NULL, 1, '2026-11-28 14:18:34.481392', NULL, NULL),
('18-9-2', 'WAITING', NULL, 1, '2026-11-28 14:18:36.086229', NULL, NULL),
('2-1-1', 'CONSUMED', 1, 2, '2026-11-28 14:17:48.279402', '2026-11-28 14:18:03.275906', '2026-11-28 14:18:03.557416'),
('20-11-1', 'PLANNED', NULL, 1, '2026-11-28 14:18:40.447314', NULL, NULL),
('8-2-1', 'WAITING', NULL, 1, '2026-11-28 14:18:01.586294', NULL, NULL);
CREATE TABLE `product` (
  `id` int(11) NOT NULL,
  `name` varchar(255) DEFAULT NULL,
  `current_price` decimal(18,4) DEFAULT NULL,
  `old_price` decimal(18,4) DEFAULT NULL,
  `created_date` timestamp NULL DEFAULT NULL,
  `updated_date` timestamp NULL DEFAULT NULL,
  `expiry_date` date DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per product';
INSERT INTO `product` (`id`, `name`, `current_price`, `old_price`, `created_date`, `updated_date`, `expiry_date`) VALUES
(1, 'quaker oats', 212.0000, 205.0000, '2022-05-15 00:00:00', '2023-06-01 00:00:00', '2026-01-01'),
(2, 'sugar', 50.0000, 46.0000, '2021-08-10 00:00:00', '2023-02-01 00:00:00', '2026-03-31'),
(3, 'maida', 20.0000, 18.0000, '2021-08-10 00:00:00', '2023-02-01 00:00:00', '2025-12-31'),
(4, 'besan', 52.0000, 50.0000, '2021-09-01 00:00:00', '2023-02-15 00:00:00', '2025-12-31'),
(5, 'refined oil', 110.0000, 125.0000, '2021-09-01 00:00:00', '2023-07-10 00:00:00', '2026-06-30'),
(6, 'clinic plus', 1.5000, 1.0000, '2022-01-20 00:00:00', '2023-01-01 00:00:00', '2027-01-20'),
(7, 'dantkanti', 100.0000, 95.0000, '2022-01-20 00:00:00', '2023-04-01 00:00:00', '2026-09-30'),
(8, 'nutrella', 40.0000, NULL, '2023-03-05 00:00:00', NULL, '2025-11-30');
CREATE TABLE `quarantine_part` (
  `batch_key` varchar(64) NOT NULL,
  `load_date` date NOT NULL,
  `reason` varchar(60) NOT NULL,
  `state` varchar(16) NOT NULL DEFAULT 'PLANNED' COMMENT 'PLANNED, LIVE, DEAD (never committed), DELETED (by clean)',
  `row_count` bigint(20) NOT NULL,
  `planned_at` datetime(6) NOT NULL,
  PRIMARY KEY (`batch_key`,`load_date`,`reason`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per Parquet folder of rejected rows';
INSERT INTO `quarantine_part` (`batch_key`, `load_date`, `reason`, `state`, `row_count`, `planned_at`) VALUES
('12-4-1', '2026-11-28', 'INVALID_DATE', 'LIVE', 1, '2026-11-28 14:18:17.073161'),
('12-4-1', '2026-11-28', 'QUANTITY_NOT_ZERO', 'LIVE', 1, '2026-11-28 14:18:17.073161'),
('18-8-1', '2026-11-28', 'INVALID_DATE', 'DEAD', 1, '2026-11-28 14:18:34.481392'),
('18-9-2', '2026-11-28', 'INVALID_DATE', 'LIVE', 1, '2026-11-28 14:18:36.086229'),
('20-11-1', '2026-11-28', 'INVALID_DATE', 'PLANNED', 1, '2026-11-28 14:18:40.447314'),
('7-1-1', '2026-11-28', 'INVALID_DATE', 'LIVE', 2, '2026-11-28 14:17:55.173249'),
('7-1-1', '2026-11-28', 'QUANTITY_NOT_ZERO', 'LIVE', 1, '2026-11-28 14:17:55.173249');
CREATE TABLE `s3_bucket_info` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `bucket_name` varchar(255) DEFAULT NULL,
  `file_location` varchar(255) DEFAULT NULL,
  `created_date` timestamp NULL DEFAULT NULL,
  `updated_date` timestamp NULL DEFAULT NULL,
  `status` varchar(20) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per bucket that sales may be dropped in';
INSERT INTO `s3_bucket_info` (`id`, `bucket_name`, `file_location`, `created_date`, `updated_date`, `status`) VALUES
(1, 'round1', 'sales_data/', '2026-11-28 14:17:28', '2026-11-28 14:17:28', 'active');
CREATE TABLE `sales_team` (
  `id` int(11) NOT NULL,
  `first_name` varchar(100) DEFAULT NULL,
  `last_name` varchar(100) DEFAULT NULL,
  `manager_id` int(11) DEFAULT NULL,
  `is_manager` char(1) DEFAULT NULL,
  `address` varchar(300) DEFAULT NULL,
  `pincode` varchar(20) DEFAULT NULL,
  `joining_date` date DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per seller';
INSERT INTO `sales_team` (`id`, `first_name`, `last_name`, `manager_id`, `is_manager`, `address`, `pincode`, `joining_date`) VALUES
(1, 'Anil', 'Kapadia', 10, 'N', '16 Karol Bagh, Delhi', '110005', '2020-01-06'),
(2, 'Bindu', 'Mathew', 10, 'N', '7 Lajpat Nagar, Delhi', '110024', '2020-02-17'),
(3, 'Chetan', 'Arora', 10, 'N', '42 Rohini Sector 7, Delhi', '110085', '2020-05-11'),
(4, 'Deepa', 'Rangan', 10, 'N', '5 Jayanagar 4th Block, Bengaluru', '560011', '2020-08-24'),
(5, 'Elango', NULL, 10, 'N', '13 Ulsoor Road, Bengaluru', '560042', '2020-11-02'),
(6, 'Fatima', 'Baig', 10, 'N', '29 Frazer Town, Bengaluru', '560005', '2021-01-18'),
(7, 'Ganesh', 'More', 10, 'N', '8 Parel Village, Mumbai', '400012', '2021-04-05'),
(8, 'Heena', 'Vora', 10, 'N', '21 Ghatkopar West, Mumbai', '400086', '2021-07-19'),
(9, 'Imran', 'Pathan', 10, 'N', '3 Kurla East, Mumbai', '400024', '2021-10-25'),
(10, 'Jayanti', 'Pillai', NULL, 'Y', '55 Marine Drive, Mumbai', '400020', '2017-06-12');
CREATE TABLE `sales_team_data_mart` (
  `store_id` int(11) NOT NULL,
  `sales_person_id` int(11) NOT NULL,
  `full_name` varchar(250) DEFAULT NULL,
  `sales_month` char(7) NOT NULL COMMENT 'YYYY-MM',
  `total_sales` decimal(30,4) NOT NULL,
  `incentive` decimal(30,2) NOT NULL DEFAULT 0.00,
  `row_count` bigint(20) NOT NULL,
  `updated_at` datetime(6) NOT NULL,
  PRIMARY KEY (`store_id`,`sales_month`,`sales_person_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per store, seller and month';
INSERT INTO `sales_team_data_mart` (`store_id`, `sales_person_id`, `full_name`, `sales_month`, `total_sales`, `incentive`, `row_count`, `updated_at`) VALUES
(121, 1, 'Anil Kapadia', '2024-01', 244.0000, 2.44, 6, '2026-11-28 14:18:20.413858'),
(121, 2, 'Bindu Mathew', '2024-01', 55.0000, 0.00, 1, '2026-11-28 14:18:20.413858'),
(121, 1, 'Anil Kapadia', '2024-03', 266.0000, 2.66, 3, '2026-11-28 14:18:39.872238'),
(121, 1, 'Anil Kapadia', '2024-12', 31.0000, 0.31, 1, '2026-11-28 14:18:17.284770'),
(122, 4, 'Deepa Rangan', '2024-02', 20.0000, 0.20, 1, '2026-11-28 14:18:20.413858'),
(122, 4, 'Deepa Rangan', '2024-04', 102.0000, 1.02, 1, '2026-11-28 14:18:39.872238');
CREATE TABLE `schema_migration` (
  `migration_hash` varchar(64) NOT NULL,
  `migration_id` varchar(255) DEFAULT NULL,
  `applied_at_utc` timestamp NULL DEFAULT NULL,
  PRIMARY KEY (`migration_hash`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `schema_migration` (`migration_hash`, `migration_id`, `applied_at_utc`) VALUES
('0665860c0729c39ecafffed341a6838f5c549073f9b28d4a3eac9298aad7078d', '003_marts', '2026-11-28 14:17:28'),
('7e64f182f6717e19541d1efb19bfd68d593ce3cef13362e7ba82178ecb69a14e', '002_ledger', '2026-11-28 14:17:28'),
('e21cbfa88a2463b411c16ce7772aaf304fbf6e09ac2c9faad7eb0ddd58faf58f', '004_contract', '2026-11-28 14:17:28'),
('ee0d7626dcdda681107519402d203452317d5997c8be0b144efcc6ce8f874108', '005_operations', '2026-11-28 14:17:28'),
('f6edbd770210799e89076bd3ba448aab77bc6a4efd828ddf0eadf978ee6c1954', '001_dimensions', '2026-11-28 14:17:27');
CREATE TABLE `source_file` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `identity` binary(32) NOT NULL COMMENT 'SHA-256 over bucket, key, etag, size, last modified (or version id)',
  `bucket` varchar(255) NOT NULL,
  `object_key` varbinary(1024) NOT NULL COMMENT 'UTF-8',
  `etag` varchar(255) NOT NULL,
  `version_id` varchar(1024) DEFAULT NULL,
  `size_bytes` bigint(20) NOT NULL,
  `last_modified` datetime(6) NOT NULL,
  `state` varchar(16) NOT NULL DEFAULT 'DISCOVERED' COMMENT 'DISCOVERED, CLAIMED, COMMITTED, REJECTED, DUPLICATE, FAILED, OVERWRITTEN, GONE',
  `in_force` tinyint(4) NOT NULL DEFAULT 0 COMMENT '1: its rows count in the marts',
  `batch_id` bigint(20) DEFAULT NULL,
  `rows_read` bigint(20) NOT NULL DEFAULT 0,
  `rows_loaded` bigint(20) NOT NULL DEFAULT 0,
  `rows_rejected` bigint(20) NOT NULL DEFAULT 0,
  `rows_pending` bigint(20) NOT NULL DEFAULT 0,
  `reason_code` varchar(40) DEFAULT NULL,
  `reason_detail` varchar(2000) DEFAULT NULL,
  `content_digest` varbinary(32) DEFAULT NULL COMMENT 'MD5 of the bytes as read',
  `discovered_at` datetime(6) NOT NULL,
  `claimed_at` datetime(6) DEFAULT NULL,
  `finished_at` datetime(6) DEFAULT NULL,
  `archived_at` datetime(6) DEFAULT NULL,
  `archived_key` varbinary(1024) DEFAULT NULL,
  `archived_etag` varchar(255) DEFAULT NULL,
  `archive_due` tinyint(4) NOT NULL DEFAULT 0 COMMENT '1: finished, and its object still waits for the move',
  PRIMARY KEY (`id`),
  UNIQUE KEY `by_identity` (`identity`),
  KEY `by_state` (`state`,`id`),
  KEY `by_batch` (`batch_id`),
  KEY `by_archive` (`archive_due`,`id`),
  KEY `by_key` (`object_key`(255)),
  KEY `by_content` (`content_digest`)
) ENGINE=InnoDB AUTO_INCREMENT=22 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per object version ever seen below the source prefix';
INSERT INTO `source_file` (`id`, `identity`, `bucket`, `object_key`, `etag`, `version_id`, `size_bytes`, `last_modified`, `state`, `in_force`, `batch_id`, `rows_read`, `rows_loaded`, `rows_rejected`, `rows_pending`, `reason_code`, `reason_detail`, `content_digest`, `discovered_at`, `claimed_at`, `finished_at`, `archived_at`, `archived_key`, `archived_etag`, `archive_due`) VALUES
(1, X'2065b3de81162e68904ed26d25846bed5aa5b3f800e43a9018a64930d07133b4', 'round1', _binary'sales_data/day.csv', '82b21d026655264d017c8478ae2745ca', NULL, 153, '2026-11-28 14:17:28', 'COMMITTED', 0, 2, 2, 2, 0, 0, NULL, NULL, X'9e3aaddb69b27d9842ec7746882f198b567a0ce8d93245b8850c9ceb21f6a357', '2026-11-28 14:17:35.029241', '2026-11-28 14:17:35.067340', '2026-11-28 14:17:48.932890', '2026-11-28 14:17:49.376156', _binary'sales_data_processed/2026-11-28/1/day.csv', '82b21d026655264d017c8478ae2745ca', 0),
(2, X'672151b944d308aa6b00191cb35dd0c36920a91f8035f3ae6d9f5d400881f576', 'round1', _binary'sales_data/first.csv', '29873528f5183753a81e6884457ea415', NULL, 153, '2026-11-28 14:17:28', 'COMMITTED', 1, 14, 2, 2, 0, 0, NULL, NULL, X'c8790b53880cf390414721730932c1d109ff53d78e6d48151ee4361550436160', '2026-11-28 14:17:35.029529', '2026-11-28 14:17:35.067340', '2026-11-28 14:18:20.424346', '2026-11-28 14:17:49.378228', _binary'sales_data_processed/2026-11-28/2/first.csv', '29873528f5183753a81e6884457ea415', 0),
(3, X'2a5af0b700f354584b5897b7972c3452ce118c89e93d8cf3e205242bb3a6bb83', 'round1', _binary'sales_data/late.csv', '4529ce379df35da8dd255a4bda819517', NULL, 192, '2026-11-28 14:17:28', 'COMMITTED', 1, 2, 3, 2, 0, 1, NULL, NULL, X'dbe429b0803b98169bb5e1c398f4c790f91b289fe8373abbcccdf765baedf6d8', '2026-11-28 14:17:35.029691', '2026-11-28 14:17:35.067340', '2026-11-28 14:17:48.932890', '2026-11-28 14:17:49.375091', _binary'sales_data_processed/2026-11-28/3/late.csv', '4529ce379df35da8dd255a4bda819517', 0),
(4, X'89841b398887ed00143a45591fe1120741a13fe469165613b3d956c85298ddc8', 'round1', _binary'sales_data/no header.csv', '71213fcb67de00978f32cde35ae4d806', NULL, 13, '2026-11-28 14:17:28', 'REJECTED', 0, 2, 0, 0, 0, 0, 'MISSING_COLUMN', 'the header lacks customer_id, store_id, product_name, sales_date, sales_person_id, price, quantity, total_cost', NULL, '2026-11-28 14:17:35.030283', '2026-11-28 14:17:35.067340', '2026-11-28 14:17:48.932890', '2026-11-28 14:17:49.444071', _binary'sales_data_error/2026-11-28/4/no header.csv', '71213fcb67de00978f32cde35ae4d806', 0),
(5, X'718e31be1fb8e6add7472402fe634a6e0ca54350bb0976ac4708f5c68296223d', 'round1', _binary'sales_data/poison.csv', '5305074768f836cef31e00f987e490a1', NULL, 122, '2026-11-28 14:17:28', 'FAILED', 0, 6, 0, 0, 0, 0, 'FAILED', 'BATCH [USER_RAISED_EXCEPTION] poisoned; the job retries by itself; see the log for the first cause', NULL, '2026-11-28 14:17:35.030406', '2026-11-28 14:17:35.067340', '2026-11-28 14:17:54.707145', '2026-11-28 14:17:54.985672', _binary'sales_data_error/2026-11-28/5/poison.csv', '5305074768f836cef31e00f987e490a1', 0),
(6, X'fc050033a894a5ae83f95270e9796a4bb18bb225a4bb9378e6cca07fdc9b5b4d', 'round1', _binary'sales_data/rejects.csv', 'd33f6f9b924eba9d8f5a4b23c5c4b9d9', NULL, 212, '2026-11-28 14:17:28', 'COMMITTED', 1, 12, 4, 2, 2, 0, NULL, NULL, X'9798defbea75f37d41abd59b8ecb30a08d8305ed00caadbeb09766e276c70f64', '2026-11-28 14:17:35.030518', '2026-11-28 14:17:35.067340', '2026-11-28 14:17:55.734321', '2026-11-28 14:17:55.790058', _binary'sales_data_processed/2026-11-28/6/rejects.csv', 'd33f6f9b924eba9d8f5a4b23c5c4b9d9', 0),
(7, X'c8ef66bef2fc5393712e29924a2373abf37dae598d3a7e9965bab5bdc99a6778', 'round1', _binary'sales_data/warned.csv', '34fb607342e06f5a9702c09657308e47', NULL, 128, '2026-11-28 14:17:28', 'COMMITTED', 1, 5, 1, 1, 0, 0, NULL, NULL, X'14ea377444a7a4c8a2262d318888d30b45e42d708c72f9750476b9c36c8f9624', '2026-11-28 14:17:35.030623', '2026-11-28 14:17:35.067340', '2026-11-28 14:17:52.111106', '2026-11-28 14:17:52.358898', _binary'sales_data_processed/2026-11-28/7/warned.csv', '34fb607342e06f5a9702c09657308e47', 0),
(8, X'e804f65379bfe2679541e4f0b9472ff1af4ba404c8df21823abdbd38ba667b84', 'round1', _binary'sales_data/wrong.csv', '1adaab6590135e8d701abf54b0c162b1', NULL, 121, '2026-11-28 14:17:28', 'COMMITTED', 0, 5, 1, 1, 0, 0, NULL, NULL, X'2da4fc81ffea308f19b0ece9db03e3feb99e1f0aef9cf8d4138a64c4396ffae7', '2026-11-28 14:17:35.030723', '2026-11-28 14:17:35.067340', '2026-11-28 14:17:52.111106', '2026-11-28 14:17:52.364616', _binary'sales_data_processed/2026-11-28/8/wrong.csv', '1adaab6590135e8d701abf54b0c162b1', 0),
(9, X'a94d8be214dda071bf7eac77062277a38074986cf129cf247c2ef84a3bc1a4a4', 'round1', _binary'sales_data/first again.csv', '29873528f5183753a81e6884457ea415', NULL, 153, '2026-11-28 14:17:56', 'DUPLICATE', 0, 9, 0, 0, 0, 0, 'DUPLICATE', 'same content as file 2', X'c8790b53880cf390414721730932c1d109ff53d78e6d48151ee4361550436160', '2026-11-28 14:17:56.955603', '2026-11-28 14:18:03.426924', '2026-11-28 14:18:04.374494', '2026-11-28 14:18:04.473087', _binary'sales_data_processed/2026-11-28/9/first again.csv', '29873528f5183753a81e6884457ea415', 0),
(10, X'94526e182cb57be67546bba1e5d35f02f34674e1a4d126f2c77e4341afa55c53', 'round1', _binary'sales_data/day.csv', 'bbe0deb6eecff51a432bd0f863f4790a', NULL, 153, '2026-11-28 14:18:04', 'COMMITTED', 1, 10, 2, 2, 0, 0, NULL, NULL, X'e41073a75d78bfc365a21c93d75f9735d8faf6be19ee6454fd4c44e36f4f22e6', '2026-11-28 14:18:06.442246', '2026-11-28 14:18:06.449155', '2026-11-28 14:18:11.347874', '2026-11-28 14:18:11.524369', _binary'sales_data_processed/2026-11-28/10/day.csv', 'bbe0deb6eecff51a432bd0f863f4790a', 0),
(11, X'fed1c57ffc61b41a434202add81e9bf1652f76bf393d7a465f1f130dec8f204b', 'round1', _binary'sales_data/gone.csv', 'ff9357ee04018c8489c37e247e849a0f', NULL, 121, '2026-11-28 14:18:30', 'GONE', 0, 17, 0, 0, 0, 0, NULL, NULL, NULL, '2026-11-28 14:18:31.341168', '2026-11-28 14:18:31.353525', '2026-11-28 14:18:31.974761', NULL, NULL, NULL, 0),
(12, X'2aa7951860bddb30232e76bd9d19776d6944dea81d2b7824f0f1dbe45ed849dc', 'round1', _binary'sales_data/over.csv', '2f2107d6974bcf4917d5941d95420f35', NULL, 121, '2026-11-28 14:18:30', 'OVERWRITTEN', 0, 17, 0, 0, 0, 0, NULL, NULL, NULL, '2026-11-28 14:18:31.341397', '2026-11-28 14:18:31.353525', '2026-11-28 14:18:31.975057', NULL, NULL, NULL, 0),
(13, X'5fb37196197ec6dd58ff34dd76c44f8d8819a3c69e12d61479b59769155207b7', 'round1', _binary'sales_data/over.csv', 'c69af44c855778aa7f005def7bae97dd', NULL, 121, '2026-11-28 14:18:31', 'COMMITTED', 1, 18, 1, 1, 0, 0, NULL, NULL, X'ee990f397bfd3f8bda91b5fa081d3f9b86f20efc99c17fb84415c93de613a38a', '2026-11-28 14:18:33.718891', '2026-11-28 14:18:33.729363', '2026-11-28 14:18:36.531890', '2026-11-28 14:18:36.772671', _binary'sales_data_processed/2026-11-28/13/over.csv', 'c69af44c855778aa7f005def7bae97dd', 0),
(14, X'80c6f054cd33376b2722610f6d9f630c1fb6aacafa7c151d5b7ed614cf0f0e38', 'round1', _binary'sales_data/second try.csv', 'e46c420a05673e59595e5d8a9ca207d2', NULL, 186, '2026-11-28 14:18:32', 'COMMITTED', 1, 18, 3, 1, 1, 1, NULL, NULL, X'19145b6573c9911fbd10647674e67ad15ce52c040d678e786bbc384f90cb07f4', '2026-11-28 14:18:33.719137', '2026-11-28 14:18:33.729363', '2026-11-28 14:18:36.531890', '2026-11-28 14:18:36.773130', _binary'sales_data_processed/2026-11-28/14/second try.csv', 'e46c420a05673e59595e5d8a9ca207d2', 0),
(15, X'41badd2cc25e2b3ad20ddba675571573af72c4982bcbb8f407a44b26eeed6fb2', 'round1', _binary'sales_data/last 1.csv', 'ad9ffd46528a3aa7130c1a964a0d09fe', NULL, 123, '2026-11-28 14:18:38', 'COMMITTED', 1, 19, 1, 1, 0, 0, NULL, NULL, X'b8de19dd938fad742afe2766c813110bb7760d6812134883fa7747dc7c286130', '2026-11-28 14:18:38.526284', '2026-11-28 14:18:38.532463', '2026-11-28 14:18:39.874079', NULL, NULL, NULL, 1),
(16, X'65a5f302c8572d7e44a602e6a438b08f03166bcb7330dacfc36014c6756629dd', 'round1', _binary'sales_data/last 2.csv', '6b38985e84234580a1868d63fd4b9cd7', NULL, 123, '2026-11-28 14:18:38', 'COMMITTED', 1, 19, 1, 1, 0, 0, NULL, NULL, X'1ec87a6f1716cadeefa01d86e7f859b959f52aedec91e100d9012c03bcda40c6', '2026-11-28 14:18:38.526596', '2026-11-28 14:18:38.532463', '2026-11-28 14:18:39.874079', NULL, NULL, NULL, 1),
(17, X'75b97880c3429281f469a16349aa517231813139aca5cb93a3177e60143cbb55', 'round1', _binary'sales_data/last 3.csv', 'd2879a872ca55324727cda82fce2ecec', NULL, 188, '2026-11-28 14:18:38', 'CLAIMED', 0, 20, 0, 0, 0, 0, NULL, NULL, NULL, '2026-11-28 14:18:38.526730', '2026-11-28 14:18:38.542166', NULL, NULL, NULL, NULL, 0),
(18, X'9a47727ce2d1ee9d07bb41d9ae3a88e99b8decfef5a5209d14478c424f29c8bb', 'round1', _binary'sales_data/last 4.csv', '435b77686d572570270870a3e711ed18', NULL, 123, '2026-11-28 14:18:38', 'CLAIMED', 0, 20, 0, 0, 0, 0, NULL, NULL, NULL, '2026-11-28 14:18:38.526856', '2026-11-28 14:18:38.542166', NULL, NULL, NULL, NULL, 0),
(19, X'21c71dd7ee938b5d481053bddb2c769b546cb83eabe9bc0a87c425fe5ca3112c', 'round1', _binary'sales_data/last 5.csv', '9da12fe9966407ce4184ec997fd38826', NULL, 123, '2026-11-28 14:18:38', 'CLAIMED', 0, 21, 0, 0, 0, 0, NULL, NULL, NULL, '2026-11-28 14:18:38.526973', '2026-11-28 14:18:41.297724', NULL, NULL, NULL, NULL, 0),
(20, X'6efe27681ff0ed62c8f30ab188a8a4220ce55b5da63a7de2452c2b60c85f0b8b', 'round1', _binary'sales_data/last 6.csv', '30bd4699b02eaeccb724d3f2d64fcc16', NULL, 123, '2026-11-28 14:18:38', 'CLAIMED', 0, 21, 0, 0, 0, 0, NULL, NULL, NULL, '2026-11-28 14:18:38.527081', '2026-11-28 14:18:41.297724', NULL, NULL, NULL, NULL, 0),
(21, X'827188167b7615f90c916712177aa5ce751f4b9cc251d87ae2d45748aea41afc', 'round1', _binary'sales_data/last 7.csv', '5a86c363920922760fd24d61d3440021', NULL, 123, '2026-11-28 14:18:38', 'DISCOVERED', 0, NULL, 0, 0, 0, 0, NULL, NULL, NULL, '2026-11-28 14:18:38.527192', NULL, NULL, NULL, NULL, NULL, 0);
CREATE TABLE `stage_customers_data_mart` (
  `batch_key` varchar(64) NOT NULL,
  `customer_id` int(11) NOT NULL,
  `full_name` varchar(250) DEFAULT NULL,
  `address` varchar(300) DEFAULT NULL,
  `phone_number` varchar(30) DEFAULT NULL,
  `sales_date_month` char(7) NOT NULL,
  `total_sales` decimal(30,4) NOT NULL,
  `row_count` bigint(20) NOT NULL,
  PRIMARY KEY (`batch_key`,`customer_id`,`sales_date_month`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per batch attempt, customer and month';
INSERT INTO `stage_customers_data_mart` (`batch_key`, `customer_id`, `full_name`, `address`, `phone_number`, `sales_date_month`, `total_sales`, `row_count`) VALUES
('19-11-1', 14, 'Naveen Poojary', '3 Beach Road, Udupi', '9000000014', '2024-03', 101.0000, 1),
('19-11-1', 15, 'Oviya Selvam', '50 Cross Cut Road, Coimbatore', '9000000015', '2024-04', 102.0000, 1),
('20-11-1', 16, 'Parveen Siddiqui', '11 Hazratganj, Lucknow', '9000000016', '2024-05', 103.0000, 1),
('20-11-1', 17, 'Queenie Lyngdoh', '6 Police Bazaar, Shillong', '9000000017', '2024-04', 104.0000, 1);
CREATE TABLE `stage_file` (
  `batch_key` varchar(64) NOT NULL,
  `file_id` bigint(20) NOT NULL,
  `state` varchar(16) NOT NULL,
  `reason_code` varchar(40) DEFAULT NULL,
  `reason_detail` varchar(2000) DEFAULT NULL,
  `rows_read` bigint(20) NOT NULL,
  `rows_loaded` bigint(20) NOT NULL,
  `rows_rejected` bigint(20) NOT NULL,
  `rows_pending` bigint(20) NOT NULL,
  `content_digest` varbinary(32) DEFAULT NULL,
  PRIMARY KEY (`batch_key`,`file_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per file of a batch on its way to the final transaction';
INSERT INTO `stage_file` (`batch_key`, `file_id`, `state`, `reason_code`, `reason_detail`, `rows_read`, `rows_loaded`, `rows_rejected`, `rows_pending`, `content_digest`) VALUES
('19-11-1', 15, 'COMMITTED', NULL, NULL, 1, 1, 0, 0, X'b8de19dd938fad742afe2766c813110bb7760d6812134883fa7747dc7c286130'),
('19-11-1', 16, 'COMMITTED', NULL, NULL, 1, 1, 0, 0, X'1ec87a6f1716cadeefa01d86e7f859b959f52aedec91e100d9012c03bcda40c6'),
('20-11-1', 17, 'COMMITTED', NULL, NULL, 3, 1, 1, 1, X'168e803e3e6de347953bcfcb8d6937d08bcbb007b6f8391a27cb2fc8e3923137'),
('20-11-1', 18, 'COMMITTED', NULL, NULL, 1, 1, 0, 0, X'482c14fc340179288b05415fca00e3a4a9ee2963677670e052fa28bebba97798');
CREATE TABLE `stage_sales_team_data_mart` (
  `batch_key` varchar(64) NOT NULL,
  `store_id` int(11) NOT NULL,
  `sales_person_id` int(11) NOT NULL,
  `full_name` varchar(250) DEFAULT NULL,
  `sales_month` char(7) NOT NULL,
  `total_sales` decimal(30,4) NOT NULL,
  `row_count` bigint(20) NOT NULL,
  PRIMARY KEY (`batch_key`,`store_id`,`sales_month`,`sales_person_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per batch attempt, store, seller and month';
INSERT INTO `stage_sales_team_data_mart` (`batch_key`, `store_id`, `sales_person_id`, `full_name`, `sales_month`, `total_sales`, `row_count`) VALUES
('19-11-1', 121, 1, 'Anil Kapadia', '2024-03', 101.0000, 1),
('19-11-1', 122, 4, 'Deepa Rangan', '2024-04', 102.0000, 1),
('20-11-1', 122, 4, 'Deepa Rangan', '2024-04', 104.0000, 1),
('20-11-1', 122, 5, 'Elango', '2024-05', 103.0000, 1);
CREATE TABLE `store` (
  `id` int(11) NOT NULL,
  `address` varchar(300) DEFAULT NULL,
  `store_pincode` varchar(20) DEFAULT NULL,
  `store_manager_name` varchar(200) DEFAULT NULL,
  `store_opening_date` date DEFAULT NULL,
  `reviews` text DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per store';
INSERT INTO `store` (`id`, `address`, `store_pincode`, `store_manager_name`, `store_opening_date`, `reviews`) VALUES
(121, '1 Connaught Circle, Delhi', '110001', 'Manoj Bhatia', '2018-04-01', 'Quick tills, friendly staff'),
(122, '25 Residency Road, Bengaluru', '560025', 'Nirmala Shetty', '2019-07-15', 'Fresh stock, narrow aisles'),
(123, '60 Linking Road, Mumbai', '400050', 'Omkar Sawant', '2020-10-30', 'Long queues on Sundays'),
(124, '9 Park Street, Kolkata', '700016', 'Paromita Sen', '2023-11-11', NULL);
CREATE TABLE `stream_owner` (
  `id` tinyint(4) NOT NULL,
  `epoch` bigint(20) NOT NULL DEFAULT 0,
  `source` varchar(700) NOT NULL DEFAULT '',
  `holder` varchar(255) NOT NULL DEFAULT '',
  `started_at` datetime(6) DEFAULT NULL,
  `heartbeat_at` datetime(6) DEFAULT NULL,
  `stopped_at` datetime(6) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row: the epoch of the instance whose writes count; every protocol write reads it with a lock';
INSERT INTO `stream_owner` (`id`, `epoch`, `source`, `holder`, `started_at`, `heartbeat_at`, `stopped_at`) VALUES
(1, 11, 'round1', 'somehost pid 5964', '2026-11-28 14:18:38.564873', '2026-11-28 14:18:38.564873', NULL);
CREATE TABLE `warning_total` (
  `rule_name` varchar(60) NOT NULL,
  `row_count` bigint(20) NOT NULL COMMENT 'accepted rows of all committed batches that broke the rule',
  `updated_at` datetime(6) NOT NULL,
  PRIMARY KEY (`rule_name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='one row per warn rule; the final transaction adds to it, so that nobody has to sum up history';
INSERT INTO `warning_total` (`rule_name`, `row_count`, `updated_at`) VALUES
('product_known', 1, '2026-11-28 14:17:52.111881'),
('total_matches', 1, '2026-11-28 14:17:52.111881');
CREATE TABLE `yoyo_lock` (
  `locked` int(11) NOT NULL DEFAULT 1,
  `ctime` timestamp NULL DEFAULT NULL,
  `pid` int(11) NOT NULL,
  PRIMARY KEY (`locked`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
CREATE VIEW `product_staging_table` AS select `source_file`.`id` AS `id`,convert(substring_index(`source_file`.`object_key`,'/',-1) using utf8mb4) AS `file_name`,convert(`source_file`.`object_key` using utf8mb4) AS `file_location`,`source_file`.`discovered_at` AS `created_date`,coalesce(`source_file`.`archived_at`,`source_file`.`finished_at`,`source_file`.`claimed_at`,`source_file`.`discovered_at`) AS `updated_date`,case when `source_file`.`state` in ('DISCOVERED','CLAIMED') then 'A' else 'I' end AS `status` from `source_file`;
