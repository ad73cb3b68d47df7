-- Row filters and column lists of a publication: an update that becomes an insert or a delete.
-- min 15
CREATE TABLE t (id int PRIMARY KEY, v text, secret text);
CREATE PUBLICATION tributary FOR TABLE t (id, v) WHERE (id > 10);
-- stream
INSERT INTO t VALUES (1, 'filtered out', 's'), (11, 'in', 's');
UPDATE t SET id = 12 WHERE id = 1;
UPDATE t SET id = 2 WHERE id = 11;
UPDATE t SET v = 'changed' WHERE id = 12;
TRUNCATE t;
