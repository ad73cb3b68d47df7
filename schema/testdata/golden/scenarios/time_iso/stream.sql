INSERT INTO t (id, d, t0, t3, t, tt, tt2, s0, s3, s, z0, z3, z, fd, cd) SELECT id + 10, d, t0, t3, t, tt, tt2, s0, s3, s, z0, z3, z, fd, cd FROM t;
INSERT INTO t (id, d, s, s3, z, t, fd, cd) VALUES (20, '9999-12-31', '2200-12-31 23:59:59.999999', '2200-12-31', '9999-12-31 23:59:59.999999Z', '23:59:59.999999', '2024-01-01', NULL);
UPDATE t SET d = NULL WHERE id = 1;
DELETE FROM t WHERE id = 2;
