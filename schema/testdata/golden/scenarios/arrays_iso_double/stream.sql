INSERT INTO a (id, n, vn, d, t, by, iv, nf, df, tf) VALUES (2, '{NaN}', '{Infinity}', '{infinity}', '{23:59:59.999999}', '\xfbefff', '-1 year +3 days 04:05:06.7', '2000-01-01', NULL, NULL);
DELETE FROM a WHERE id = 1;
