-- Identifiers that need quotes, and multi-byte ones.
CREATE SCHEMA "We.ird ""Schema";
CREATE TABLE "We.ird ""Schema"."Tbl é 表" ("Id" int PRIMARY KEY, "a b" text, "列" text, "quo""te" int);
CREATE TYPE "We.ird ""Schema"."Type é" AS ENUM ('x');
CREATE TABLE "select" ("from" "We.ird ""Schema"."Type é", sixty_three_bytes_is_the_most_that_an_identifier_may_have_in_all int);
-- stream
INSERT INTO "We.ird ""Schema"."Tbl é 表" VALUES (1, 'a', 'b', 2);
UPDATE "We.ird ""Schema"."Tbl é 表" SET "Id" = 2;
INSERT INTO "select" VALUES ('x', 1);
