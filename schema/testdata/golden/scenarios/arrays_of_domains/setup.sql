CREATE TYPE hue AS ENUM ('red', 'green');
CREATE DOMAIN dint AS int; CREATE DOMAIN dtext AS varchar(5); CREATE DOMAIN dnum AS numeric(8,3);
CREATE TYPE pair AS (x int, y text); CREATE TYPE fr AS RANGE (subtype = float8);
CREATE TABLE a (id int PRIMARY KEY, d dint[], dt dtext[], dn dnum[], p pair[], f fr[], f1 fr, mo money[], nm name[], iv interval[], vb varbit[], xm xml[], po point[], ts tsvector[], tz timetz[], l pg_lsn[], bx box[], req pair NOT NULL, last int);
INSERT INTO a VALUES (1, '{1,NULL}', '{ab}', '{1.5}', array['(1,a)'::pair, NULL], array['[1,2)'::fr], '[1.5,)', '{1.5}', '{nm}', '{1 day}', '{101}', '{<a/>}', '{"(1,2)"}', '{a b}', '{10:00+02}', '{0/1}', '{(1\,1)\,(0\,0)}', '(1,b)', 1);
