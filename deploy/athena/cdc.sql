-- Over a table that deploy/connect/iceberg-cdc.json writes: the row's columns at the top, and _cdc with op (I, U, D), offset
-- and key. A view for each table, each for itself; merge.sql shows how to keep a table instead.
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

CREATE OR REPLACE VIEW lake.country_of_cdc AS
SELECT country_id, country, last_update
FROM (
  SELECT c.*, ROW_NUMBER() OVER (PARTITION BY country_id ORDER BY "_cdc"."offset" DESC) AS age
  FROM lake.public_country AS c
) AS latest
WHERE age = 1 AND "_cdc".op <> 'D';

CREATE OR REPLACE VIEW lake.customer_of_cdc AS
SELECT customer_id, store_id, first_name, last_name, email, address_id, activebool, create_date, last_update, active
FROM (
  SELECT c.*, ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY "_cdc"."offset" DESC) AS age
  FROM lake.public_customer AS c
) AS latest
WHERE age = 1 AND "_cdc".op <> 'D';

-- The life of each row, deletes included: the first query of article.sql on these tables. Address 104 has an I and a D.
SELECT address_id, "_cdc".op AS op, address, address2, district, city_id, "_cdc"."offset" AS log_offset
FROM lake.public_address
WHERE address_id BETWEEN 100 AND 105
ORDER BY address_id, log_offset;
