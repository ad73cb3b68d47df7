-- Transactions that touch only what is not published, around one that does not: 13 and 14 send them empty.
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE other (id int);
CREATE PUBLICATION tributary FOR TABLE t;
-- stream
INSERT INTO other VALUES (1);
INSERT INTO t VALUES (1);
BEGIN;
INSERT INTO other VALUES (2);
INSERT INTO t VALUES (2);
INSERT INTO other VALUES (3);
COMMIT;
INSERT INTO other VALUES (4);
CREATE TABLE unrelated (a int);
INSERT INTO t VALUES (3);
