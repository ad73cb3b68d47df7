INSERT INTO a SELECT 2, d, s, z, s3, n, n2, f FROM a;
INSERT INTO a (id, n, n2) VALUES (3, '{NaN}', '{1,NaN}');
INSERT INTO a (id, s, z) VALUES (4, '{9999-12-31 23:59:59.999999}', '{0044-03-15 12:00+00 BC}');
