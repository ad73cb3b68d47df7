INSERT INTO a SELECT 2, '{1.5,NULL}', vn, d, '{10:20:30.123456}', t3, ts, ts3, tz, ttz, b, iv, by, byd, f, g FROM a;
DELETE FROM a WHERE id = 1;
