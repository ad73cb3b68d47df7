INSERT INTO h SELECT 2, v FROM h;
INSERT INTO h VALUES (3, (SELECT hstore(array_agg('k' || g), array_agg(g::text)) FROM generate_series(1, 13) g)), (4, (SELECT hstore(array_agg('key' || g), array_agg(g::text)) FROM generate_series(1, 60) g)), (5, (SELECT hstore(array_agg(md5(g::text)), array_agg(g::text)) FROM generate_series(1, 25) g));
