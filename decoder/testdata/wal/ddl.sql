-- Shapes that change between rows, also inside of a transaction and of one that began before.
CREATE TABLE t (id int PRIMARY KEY, v text);
-- stream
INSERT INTO t VALUES (1, 'one');
ALTER TABLE t ADD w int DEFAULT 7;
INSERT INTO t VALUES (2, 'two');
ALTER TABLE t RENAME v TO title;
UPDATE t SET w = 8 WHERE id = 1;
ALTER TABLE t DROP w;
INSERT INTO t VALUES (3, 'three');
ALTER TABLE t ALTER title TYPE varchar(40);
INSERT INTO t VALUES (4, 'four');
ALTER TABLE t ALTER title SET NOT NULL;
INSERT INTO t VALUES (5, 'five');
BEGIN;
INSERT INTO t VALUES (6, 'six');
ALTER TABLE t ADD x boolean;
INSERT INTO t VALUES (7, 'seven', true);
COMMIT;
ALTER TABLE t RENAME TO u;
INSERT INTO u VALUES (8, 'eight');
CREATE TABLE t (a date);
INSERT INTO t VALUES ('2024-02-29');
DROP TABLE t;
