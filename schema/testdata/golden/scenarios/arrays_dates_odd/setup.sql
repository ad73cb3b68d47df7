CREATE TABLE a (id int PRIMARY KEY, d date[], s timestamp[], z timestamptz[], s3 timestamp(3)[], n numeric[], n2 numeric(6,2)[], f real[]);
INSERT INTO a VALUES (1, '{infinity,-infinity,0044-03-15 BC,9999-12-31}', '{infinity,-infinity}', '{infinity,-infinity}', '{2024-01-01 10:00:00.5}', '{1.5}', '{1.5}', '{NaN,Infinity}');
