package pagila

// Statement is one SQL statement and the records that it must lead to, in order.
type Statement struct {
	SQL  string
	Want []Arrival
	// Note says what a program that polls the tables would have made of it; empty where there is nothing to
	// say.
	Note string
}

// Arrival is a record as a statement foretells it: op is c, u, d, or a dash for a tombstone.
type Arrival struct {
	Op, Table, Key string
}

// Statements are the nine. The snapshot's rows give the ids.
var Statements = []Statement{
	{
		SQL:  `UPDATE address SET address = '123 CDC Test Lane' WHERE address_id = 100`,
		Want: []Arrival{{"u", "address", "100"}},
	},
	{
		SQL:  `UPDATE address SET address2 = 'Apartment #2201' WHERE address_id = 101`,
		Want: []Arrival{{"u", "address", "101"}},
		Note: "the next statement overwrites it: a poller would miss this one",
	},
	{
		SQL:  `UPDATE address SET address2 = 'Apartment #2202' WHERE address_id = 101`,
		Want: []Arrival{{"u", "address", "101"}},
	},
	{
		SQL:  `INSERT INTO country (country) VALUES ('Wakanda')`,
		Want: []Arrival{{"c", "country", "110"}},
	},
	{
		SQL:  `INSERT INTO city (city, country_id) VALUES ('Birnin Zana', 110)`,
		Want: []Arrival{{"c", "city", "601"}},
	},
	{
		SQL:  `UPDATE address SET city_id = 601 WHERE address_id = 102`,
		Want: []Arrival{{"u", "address", "102"}},
	},
	{
		SQL:  `UPDATE address SET district = 'Lake Turkana' WHERE address_id = 102`,
		Want: []Arrival{{"u", "address", "102"}},
	},
	{
		SQL: `UPDATE customer SET address_id = 200 WHERE customer_id IN
			(SELECT customer_id FROM customer WHERE address_id = 104)`,
		Want: []Arrival{{"u", "customer", "100"}},
		Note: "no last_update column and no trigger was needed to see it",
	},
	{
		SQL:  `DELETE FROM address WHERE address_id = 104`,
		Want: []Arrival{{"d", "address", "104"}, {"-", "address", "104"}},
		Note: "a poller never sees a deleted row: 104 would stay for ever",
	},
}
