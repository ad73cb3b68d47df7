INSERT INTO t VALUES (1, 'a');
UPDATE t SET v = 'b' WHERE id = 1;
SELECT pg_logical_emit_message(true, 'audit', 'x');
BEGIN;
INSERT INTO t VALUES (2, 'b');
SELECT pg_logical_emit_message(true, 'audit', 'y');
DELETE FROM t WHERE id = 1;
COMMIT;
