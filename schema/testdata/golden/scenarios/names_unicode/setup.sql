CREATE TABLE "1 dash-tab_le" ("1d" int PRIMARY KEY, "a b-c" text, "größe" int, "x.y_z" int, "œ中" int, "😀" int);
INSERT INTO "1 dash-tab_le" VALUES (1, 'x', 1, 2, 3, 4);
