INSERT INTO t SELECT id + 10, m, mn, n, v, d, e FROM t;
INSERT INTO t (id, mn, v) VALUES (20, 0, 'NaN');
DELETE FROM t WHERE id = 1;
