-- Over a table that deploy/connect/iceberg-cdc.json writes: the row's columns at the top, and _cdc with op (I, U, D), offset
-- and key. Only the first statement is needed; merge.sql shows how to keep a table instead.
CREATE OR REPLACE VIEW lake.address_of_cdc AS
SELECT address_id, address, address2, district, city_id, postal_code, phone, last_update
FROM (
  SELECT c.*, ROW_NUMBER() OVER (PARTITION BY address_id ORDER BY "_cdc"."offset" DESC) AS age
  FROM lake.public_address AS c
) AS latest
WHERE age = 1 AND "_cdc".op <> 'D';

CREATE OR REPLACE VIEW lake.city_of_cdc AS
SELECT city_id, city, country_id, last_update
FROM (
  SELECT c.*, ROW_NUMBER() OVER (PARTITION BY city_id ORDER BY "_cdc"."offset" DESC) AS age
  FROM lake.public_city AS c
) AS latest
WHERE age = 1 AND "_cdc".op <> 'D';
