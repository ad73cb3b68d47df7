CREATE TABLE a (id int PRIMARY KEY, i int[], t text[], n numeric(6,2)[], ts timestamp[], b bool[]);
INSERT INTO a VALUES (1, '[0:2]={1,2,3}', NULL, '{{1.5},{2.5}}', '{{2024-01-01},{2024-01-02}}', '{{t},{f}}'), (2, '{{{1,2},{3,4}},{{5,6},{7,8}}}', '[2:3]={x,y}', NULL, NULL, NULL);
