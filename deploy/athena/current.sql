-- The rows as they are now: the newest record of each key, unless it is a delete. Newest is the highest Kafka offset: a key
-- stays in one partition, and a partition is in commit order. Not a clock, which has ties and runs backwards; and not
-- source.lsn alone, which after a second snapshot is below what it replaces.
CREATE OR REPLACE VIEW lake.address AS
SELECT after.address_id AS address_id, after.address AS address, after.address2 AS address2,
       after.district AS district, after.city_id AS city_id, after.postal_code AS postal_code,
       after.phone AS phone, after.last_update AS last_update
FROM (
  SELECT after, op, ROW_NUMBER() OVER (PARTITION BY COALESCE(after.address_id, before.address_id) ORDER BY "_offset" DESC) AS age
  FROM lake.address_log WHERE op IN ('r', 'c', 'u', 'd')
) AS latest
WHERE age = 1 AND op <> 'd';

CREATE OR REPLACE VIEW lake.city AS
SELECT after.city_id AS city_id, after.city AS city, after.country_id AS country_id,
       after.last_update AS last_update
FROM (
  SELECT after, op, ROW_NUMBER() OVER (PARTITION BY COALESCE(after.city_id, before.city_id) ORDER BY "_offset" DESC) AS age
  FROM lake.city_log WHERE op IN ('r', 'c', 'u', 'd')
) AS latest
WHERE age = 1 AND op <> 'd';

CREATE OR REPLACE VIEW lake.country AS
SELECT after.country_id AS country_id, after.country AS country, after.last_update AS last_update
FROM (
  SELECT after, op, ROW_NUMBER() OVER (PARTITION BY COALESCE(after.country_id, before.country_id) ORDER BY "_offset" DESC) AS age
  FROM lake.country_log WHERE op IN ('r', 'c', 'u', 'd')
) AS latest
WHERE age = 1 AND op <> 'd';

CREATE OR REPLACE VIEW lake.customer AS
SELECT after.customer_id AS customer_id, after.store_id AS store_id, after.first_name AS first_name,
       after.last_name AS last_name, after.email AS email, after.address_id AS address_id,
       after.activebool AS activebool, after.create_date AS create_date, after.last_update AS last_update,
       after.active AS active
FROM (
  SELECT after, op, ROW_NUMBER() OVER (PARTITION BY COALESCE(after.customer_id, before.customer_id) ORDER BY "_offset" DESC) AS age
  FROM lake.customer_log WHERE op IN ('r', 'c', 'u', 'd')
) AS latest
WHERE age = 1 AND op <> 'd';

-- The join that the article's third connector made at the source, watching one table of the three. Here a city or a
-- country that is renamed shows at once.
CREATE OR REPLACE VIEW lake.address_in_country AS
SELECT a.address_id, a.address, a.address2, a.district, a.postal_code, a.phone, c.city, n.country, a.last_update
FROM lake.address AS a
JOIN lake.city AS c ON c.city_id = a.city_id
JOIN lake.country AS n ON n.country_id = c.country_id;
