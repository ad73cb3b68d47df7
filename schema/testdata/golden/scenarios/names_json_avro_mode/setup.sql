CREATE SCHEMA "se-x"; CREATE TABLE "se-x"."da-sh tä" ("I d" int PRIMARY KEY, "a b" text, "9" int, "ü" numeric, "q""x" point);
INSERT INTO "se-x"."da-sh tä" VALUES (1, 'x', 1, 2, '(1,2)');
