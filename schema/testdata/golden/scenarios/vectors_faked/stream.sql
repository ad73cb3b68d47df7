INSERT INTO t SELECT 2, v, h, s, vn, hn, 2 FROM t;
INSERT INTO t VALUES (3, NULL, NULL, NULL, '[NaN]', '[Infinity]');
INSERT INTO t VALUES (4, '[1,2]', '[1e-7,-0]', '{}/3', '[1]', '[1]');
UPDATE t SET last = 8 WHERE id = 1;
DELETE FROM t WHERE id = 1;
