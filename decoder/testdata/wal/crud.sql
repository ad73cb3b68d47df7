-- Inserts, updates, a key change and deletes under the default replica identity; null and empty text.
CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2));
-- stream
INSERT INTO t VALUES (1, 'one', 1.5), (2, '', NULL), (3, NULL, -3);
UPDATE t SET v = 'ONE' WHERE id = 1;
UPDATE t SET v = v WHERE id = 2;
UPDATE t SET id = 4 WHERE id = 3;
DELETE FROM t WHERE id = 1;
BEGIN;
INSERT INTO t VALUES (5, 'Grüße, 世界 😀', 0);
UPDATE t SET n = n + 1 WHERE id = 5;
DELETE FROM t WHERE id = 5;
COMMIT;
