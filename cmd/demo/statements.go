package main

// statement is one SQL statement and the records that it must lead to, in order.
type statement struct {
	sql  string
	want []arrival
	// note says what a program that polls the tables would have made of it; empty where there is nothing to
	// say.
	note string
}

// arrival is a record as a statement foretells it: op is c, u, d, or a dash for a tombstone.
type arrival struct {
	op, table, key string
}

// statements are the demo's nine. The snapshot's rows give the ids.
var statements = []statement{
	{
		sql:  `UPDATE address SET address = '123 CDC Test Lane' WHERE address_id = 100`,
		want: []arrival{{"u", "address", "100"}},
	},
	{
		sql:  `UPDATE address SET address2 = 'Apartment #2201' WHERE address_id = 101`,
		want: []arrival{{"u", "address", "101"}},
		note: "the next statement overwrites it: a poller would miss this one",
	},
	{
		sql:  `UPDATE address SET address2 = 'Apartment #2202' WHERE address_id = 101`,
		want: []arrival{{"u", "address", "101"}},
	},
	{
		sql:  `INSERT INTO country (country) VALUES ('Wakanda')`,
		want: []arrival{{"c", "country", "110"}},
	},
	{
		sql:  `INSERT INTO city (city, country_id) VALUES ('Birnin Zana', 110)`,
		want: []arrival{{"c", "city", "601"}},
	},
	{
		sql:  `UPDATE address SET city_id = 601 WHERE address_id = 102`,
		want: []arrival{{"u", "address", "102"}},
	},
	{
		sql:  `UPDATE address SET district = 'Lake Turkana' WHERE address_id = 102`,
		want: []arrival{{"u", "address", "102"}},
	},
	{
		sql: `UPDATE customer SET address_id = 200 WHERE customer_id IN
			(SELECT customer_id FROM customer WHERE address_id = 104)`,
		want: []arrival{{"u", "customer", "100"}},
		note: "no last_update column and no trigger was needed to see it",
	},
	{
		sql:  `DELETE FROM address WHERE address_id = 104`,
		want: []arrival{{"d", "address", "104"}, {"-", "address", "104"}},
		note: "a poller never sees a deleted row: 104 would stay for ever",
	},
}
