-- The article's queries, on the change log.

-- Its "SELECT ... WHERE address_id BETWEEN 100 AND 105": there eleven rows, address 104 among them, which had been deleted.
-- Here the same eleven states, each with its place in the log, and the delete.
SELECT COALESCE(after.address_id, before.address_id) AS address_id, op, after.address AS address,
       after.address2 AS address2, after.district AS district, after.city_id AS city_id, "_offset" AS log_offset
FROM lake.address_log
WHERE COALESCE(after.address_id, before.address_id) BETWEEN 100 AND 105
ORDER BY address_id, log_offset;

-- Its "ROW_NUMBER() OVER (PARTITION BY address_id ORDER BY last_update DESC)": there six rows, 104 still among them.
-- Corrected: ordered by the log, and a key whose newest record is a delete has no row. Five rows.
SELECT address_id, address, address2, district, city, country
FROM (
  SELECT a.*, c.city, n.country
  FROM (
    SELECT after.address_id AS address_id, after.address AS address, after.address2 AS address2,
           after.district AS district, after.city_id AS city_id, op,
           ROW_NUMBER() OVER (PARTITION BY COALESCE(after.address_id, before.address_id) ORDER BY "_offset" DESC) AS row_num
    FROM lake.address_log WHERE op IN ('r', 'c', 'u', 'd')
  ) AS a
  JOIN lake.city AS c ON c.city_id = a.city_id
  JOIN lake.country AS n ON n.country_id = c.country_id
  WHERE a.row_num = 1 AND a.op <> 'd'
) AS latest
WHERE address_id BETWEEN 100 AND 105
ORDER BY address_id;

-- Its CTAS into processed/pagila_query. Corrected: from the current rows, so that 104 is not written, and each key once.
-- A table of current rows may be in folders by country, because it is written anew as a whole: no delete has to find its
-- row. The partition column comes last, and is in no other place. Drop table and objects before writing it again.
CREATE TABLE lake.address_by_country
WITH (format = 'PARQUET', write_compression = 'SNAPPY', external_location = 's3://my-lake/refined/address_by_country/',
      partitioned_by = ARRAY['country'])
AS SELECT address_id, address, address2, district, postal_code, phone, city, last_update, country
FROM lake.address_in_country WHERE address_id BETWEEN 0 AND 100;
