CREATE TYPE pair AS (x int, y text); CREATE TYPE fr AS RANGE (subtype = float8); CREATE EXTENSION cube; CREATE EXTENSION isn;
CREATE TABLE t (id int PRIMARY KEY, p pair NOT NULL, f fr, c cube, i ean13, b box, ci circle, l line, ls lseg, pa path, po polygon, lsn pg_lsn, rc regclass, x xid, t tid, jp jsonpath, nm name[], mo money[], last int);
INSERT INTO t VALUES (1, '(1,"ü")', '[1.5,2)', '(1,2)', '978-0-393-04002-9', '((0,0),(1,1))', '<(0,0),1>', '{1,2,3}', '[(0,0),(1,1)]', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '0/1', 'pg_class', '17', '(1,2)', '$.a', '{a}', '{1}', 1);
