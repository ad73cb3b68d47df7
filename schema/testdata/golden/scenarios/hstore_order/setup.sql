CREATE EXTENSION hstore; CREATE TABLE h (id int PRIMARY KEY, v hstore);
INSERT INTO h VALUES (1, 'zeta=>1,alpha=>2,mid=>NULL,"ü"=>3,"😀"=>4,"a b"=>5,""=>6');
