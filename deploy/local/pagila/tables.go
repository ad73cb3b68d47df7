package pagila

import (
	"fmt"
	"strings"
)

// Table is one of the tables: its definition, and how its rows are made.
type Table struct {
	Name string
	Key  string // the primary key's column
	Rows int
	// ddl is what stands between the parentheses of CREATE TABLE. The schema is on the search_path.
	ddl string
	// load lists the columns that row fills; the others take their default.
	load string
	// row returns row n, counted from 1, which is also its key.
	row func(n int) []string
}

// Tables is a database in the shape of Pagila, in an order that satisfies the foreign keys: same tables,
// columns and numbers of rows, with content of our own. Customer n lives at address n+4, as there: nothing
// else refers to address 104 than customer 100.
var Tables = []Table{
	{
		Name: "country", Key: "country_id", Rows: 109, load: "country",
		ddl: `country_id serial PRIMARY KEY, country text NOT NULL,
			last_update timestamptz NOT NULL DEFAULT now()`,
		row: func(n int) []string { return []string{land(n)} },
	},
	{
		Name: "city", Key: "city_id", Rows: 600, load: "city, country_id",
		ddl: `city_id serial PRIMARY KEY, city text NOT NULL,
			country_id integer NOT NULL REFERENCES country,
			last_update timestamptz NOT NULL DEFAULT now()`,
		row: func(n int) []string { return []string{town(n), number(1 + n*7%109)} },
	},
	{
		Name: "address", Key: "address_id", Rows: 603,
		load: "address, address2, district, city_id, postal_code, phone",
		ddl: `address_id serial PRIMARY KEY, address text NOT NULL, address2 text, district text NOT NULL,
			city_id integer NOT NULL REFERENCES city, postal_code text, phone text NOT NULL,
			last_update timestamptz NOT NULL DEFAULT now()`,
		row: func(n int) []string {
			return []string{
				street(n), null, pick(districts, n), number(1 + n*11%600),
				fmt.Sprintf("%05d", n*7919%100000), fmt.Sprintf("%012d", n*193939%1000000000000),
			}
		},
	},
	{
		Name: "store", Key: "store_id", Rows: 2, load: "manager_staff_id, address_id",
		ddl: `store_id serial PRIMARY KEY, manager_staff_id integer NOT NULL,
			address_id integer NOT NULL REFERENCES address,
			last_update timestamptz NOT NULL DEFAULT now()`,
		row: func(n int) []string { return []string{number(n), number(n)} },
	},
	{
		Name: "staff", Key: "staff_id", Rows: 2,
		load: "first_name, last_name, address_id, email, store_id, username",
		ddl: `staff_id serial PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL,
			address_id integer NOT NULL REFERENCES address, email text,
			store_id integer NOT NULL REFERENCES store, active boolean NOT NULL DEFAULT true,
			username text NOT NULL, picture bytea,
			last_update timestamptz NOT NULL DEFAULT now()`,
		row: func(n int) []string {
			first, last := pick(firstNames, n*17), pick(lastNames, n*5)
			return []string{
				first, last, number(n + 2), strings.ToLower(first) + "@staff.example", number(n),
				strings.ToLower(first),
			}
		},
	},
	{
		Name: "customer", Key: "customer_id", Rows: 599,
		load: "store_id, first_name, last_name, email, address_id, create_date, active",
		ddl: `customer_id serial PRIMARY KEY, store_id integer NOT NULL REFERENCES store,
			first_name text NOT NULL, last_name text NOT NULL, email text,
			address_id integer NOT NULL REFERENCES address, activebool boolean NOT NULL DEFAULT true,
			create_date date NOT NULL, last_update timestamptz NOT NULL DEFAULT now(), active integer`,
		row: func(n int) []string {
			first, last := pick(firstNames, n), pick(lastNames, n/len(firstNames)+n)
			return []string{
				number(1 + n%2), first, last, strings.ToLower(first+"."+last) + "@customer.example",
				number(n + 4), fmt.Sprintf("2022-02-%02d", 1+n%28), "1",
			}
		},
	},
}

// null is how COPY's text format writes NULL.
const null = `\N`

// copyText returns all rows of a table in COPY's text format. None of the words below needs escaping.
func (t Table) copyText() string {
	var b strings.Builder
	for n := 1; n <= t.Rows; n++ {
		b.WriteString(strings.Join(t.row(n), "\t"))
		b.WriteByte('\n')
	}
	return b.String()
}

// The words that names are made of. The lengths of two lists that are used together have no common factor,
// so that counting through both gives different pairs.
var (
	firstNames = strings.Fields(`Ada Amir Anke Aziz Bea Bilal Carla Chen Dana Dov Edda Emre Fay Finn
		Gita Hana Hugo Ines Ivo Jana Jiro Kaya Kofi Lena Luis Mara Milo Nadia`)
	lastNames = strings.Fields(`Abel Brandt Castro Duarte Ebert Farouk Gruber Haas Ito Jansen Keller
		Lindt Moreau Novak Okafor Peeters Quist Rossi Sato Torres Ueda Vogel Weber Xu Yilmaz Zuber
		Adeyemi`)
	trees = strings.Fields(`Alder Ash Beech Birch Cedar Cherry Elm Fir Hazel Juniper Larch
		Linden Maple`)
	ways      = strings.Fields(`Street Lane Avenue Road Way`)
	districts = strings.Fields(`Northbank Eastgate Southmoor Westfield Midvale Highland Lakeside`)
	starts    = strings.Fields(`Alm Bel Cor Dun Esk Fal Gar Hol Ilm Jor Kel Lor Mel Nor Oss Pel Rov
		Sel Tar Ull Ver Wes Yar Zel Bran Cald Dorn Fen Gled Harn`)
	towns = strings.Fields(`bridge burg dale ford ham haven holm mouth port stead ton vale wick
		worth brook field gate mont stow well`)
	lands = strings.Fields(`ania avia eria istan mark onia ora undia`)
)

// street names address n. Streets may repeat, as they do.
func street(n int) string {
	return fmt.Sprintf("%d %s %s", 1+n*37%1899, pick(trees, n), pick(ways, n))
}

// town counts through the ends of names first, land too: with one list of starts for both, no two rows
// share a name.
func town(n int) string { return starts[(n-1)/len(towns)%len(starts)] + pick(towns, n-1) }

func land(n int) string { return starts[(n-1)/len(lands)%len(starts)] + pick(lands, n-1) }

// pick counts through words round and round.
func pick(words []string, n int) string { return words[n%len(words)] }

func number(n int) string { return fmt.Sprint(n) }
