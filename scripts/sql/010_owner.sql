-- Which process owns the source, and whether somebody has asked it to stop.

-- MySQL has no ADD COLUMN IF NOT EXISTS, and DDL commits by itself: after a crash right here this file runs again.
SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'stream_owner' AND column_name = 'process') > 0,
  'DO 0',
  'ALTER TABLE stream_owner
     ADD COLUMN process VARCHAR(255) NOT NULL DEFAULT '''' COMMENT ''boot, pid namespace, pid and start time of the holder, and a random word'',
     ADD COLUMN stop_epoch BIGINT DEFAULT NULL COMMENT ''the epoch that is asked to stop'',
     ADD COLUMN stop_by VARCHAR(255) NOT NULL DEFAULT '''' COMMENT ''who asks''
  '
);
PREPARE add_process FROM @change;
EXECUTE add_process;
DEALLOCATE PREPARE add_process;
