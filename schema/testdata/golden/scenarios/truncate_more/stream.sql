UPDATE t SET e = 'green';
INSERT INTO t SELECT 2, u, j, e, c, v3, v4, v5, n, i, x, tz, r, a, num, ct, hs, dt, lt, b, bits, NULL, mo, bn, jn FROM t;
INSERT INTO m SELECT 2, u, j, e, c, v3, v4, v5, n, i, x, tz, r, a, num, ct, hs, dt, lt, b, bits, NULL, mo, bn, jn FROM t WHERE id = 1;
INSERT INTO h SELECT 2, u, j, e, c, v3, v4, v5, n, i, x, tz, r, a, num, ct, hs, dt, lt, b, bits, NULL, mo, bn, jn FROM t WHERE id = 1;
DELETE FROM t WHERE id = 1;
DELETE FROM m WHERE id = 1;
DELETE FROM h WHERE id = 1;
