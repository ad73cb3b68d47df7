INSERT INTO t SELECT 2, g, gn, y, yn, ga, g2, p, p2, pd, 2 FROM t;
INSERT INTO t (id, gn, yn, p2) VALUES (3, '010700000000000000', '0107000020E610000000000000', '(NaN,Infinity)');
UPDATE t SET last = 8 WHERE id = 1;
DELETE FROM t WHERE id = 1;
