package decoder

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestOperationsString(t *testing.T) {
	if got := AllOperations.String(); got != "insert, update, delete, truncate" {
		t.Errorf("got %q", got)
	}
	if got := (Operations{Delete: true}).or(Operations{Insert: true}).String(); got != "insert, delete" {
		t.Errorf("got %q", got)
	}
}

func TestIdentityFinding(t *testing.T) {
	table := TableName{"public", `a"b`}
	for _, test := range []struct {
		identity, index string
		primary         bool
		code            string
		blocking        bool
	}{
		{"f", "", false, "", false},
		{"d", "", true, "", false},
		{"i", "pk primary", true, "", false},
		{"i", "u other", false, "", false},
		{"n", "", true, FindingNoIdentity, true},
		{"d", "", false, FindingNoIdentity, true},
		{"i", "", true, FindingNoIdentity, true},
		{"i", "u other", true, FindingIdentityNotKey, false},
	} {
		f, found := identityFinding(table, test.identity, test.primary, test.index)
		if found != (test.code != "") || f.Code != test.code || f.Blocking != test.blocking {
			t.Errorf("%+v: got %+v", test, f)
		}
		if found && !strings.HasPrefix(f.Fix, `ALTER TABLE "public"."a""b" `) {
			t.Errorf("%+v: fix %q", test, f.Fix)
		}
	}
}

// codes are the findings as "code table", in order.
func codes(findings []Finding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, strings.TrimSuffix(f.Code+" "+f.Table.Name, " "))
	}
	return all
}

func TestPublicationLife(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		ctx := context.Background()
		db.exec(`CREATE TABLE public.a (id int PRIMARY KEY, v text);
			CREATE TABLE public."B ""x" (id int PRIMARY KEY);
			CREATE TABLE public.nokey (v text)`)
		name := `p "1`
		o := PublicationOptions{
			Name: name, Tables: []TableName{{"public", "a"}},
			Operations: Operations{Insert: true, Update: true},
		}
		verify := func(want ...string) []Finding {
			t.Helper()
			findings, err := VerifyPublication(ctx, db.conn, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := codes(findings); !slices.Equal(got, want) {
				t.Errorf("findings: want %q, got %q", want, got)
			}
			return findings
		}
		verify(FindingPublicationMissing)
		if ran, err := EnsurePublication(ctx, db.conn, o); err != nil || len(ran) != 1 {
			t.Fatalf("ran %q, %v", ran, err)
		}
		verify()
		p, err := InspectPublication(ctx, db.conn, name)
		if err != nil {
			t.Fatal(err)
		}
		want := []PublishedTable{{TableName: TableName{"public", "a"}}}
		if db.version >= 150000 {
			want[0].Columns = []string{"id", "v"}
		}
		if p.Owner != "postgres" || p.AllTables || p.ViaRoot || p.Operations != o.Operations ||
			!reflect.DeepEqual(p.Tables, want) {
			t.Errorf("publication %+v", p)
		}
		o.Tables, o.Operations = append(o.Tables, TableName{"public", `B "x`}), AllOperations
		verify(FindingTableMissing+` B "x`, FindingOperationMissing)
		if ran, err := EnsurePublication(ctx, db.conn, o); err != nil || len(ran) != 0 {
			t.Fatalf("without Alter: ran %q, %v", ran, err)
		}
		o.Alter = true
		if ran, err := EnsurePublication(ctx, db.conn, o); err != nil || len(ran) != 2 {
			t.Fatalf("ran %q, %v", ran, err)
		}
		verify()
		o.Tables = append(o.Tables, TableName{"public", "nokey"})
		var stopped *FindingsError
		if _, err := EnsurePublication(ctx, db.conn, o); !errors.As(err, &stopped) ||
			!slices.Equal(codes(stopped.Findings), []string{FindingNoIdentity + " nokey"}) {
			t.Errorf("table without a key: got %v", err)
		}
		// What a finding says mends it.
		for _, f := range verify(FindingTableMissing+" nokey", FindingNoIdentity+" nokey") {
			db.exec(f.Fix)
		}
		verify()
	})
}

func TestVerifyPublicationFindsLists(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		if db.version < 150000 {
			t.Skip("column lists and row filters came with Postgres 15")
		}
		db.exec(`CREATE TABLE public.a (id int PRIMARY KEY, v text, w text, g int GENERATED ALWAYS AS (id) STORED);
			CREATE TABLE public.parts (id int, u int NOT NULL UNIQUE, PRIMARY KEY (id, u)) PARTITION BY RANGE (u);
			CREATE TABLE public.part1 PARTITION OF public.parts FOR VALUES FROM (0) TO (10);
			ALTER TABLE public.part1 REPLICA IDENTITY NOTHING;
			CREATE TABLE public.i (id int PRIMARY KEY, u int NOT NULL);
			CREATE UNIQUE INDEX iu ON public.i (u); ALTER TABLE public.i REPLICA IDENTITY USING INDEX iu;
			CREATE PUBLICATION p FOR TABLE public.a (id, v) WHERE (id > 5), public.parts, public.i
				WITH (publish_via_partition_root = true)`)
		findings, err := VerifyPublication(context.Background(), db.conn, PublicationOptions{
			Name:   "p",
			Tables: []TableName{{"public", "a"}, {"public", "parts"}, {"public", "i"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			FindingViaRoot, FindingRowFilter + " a", FindingColumnList + " a",
			FindingNoIdentity + " part1", FindingIdentityNotKey + " i",
		}
		if got := codes(findings); !slices.Equal(got, want) {
			t.Errorf("want %q, got %q", want, got)
		}
		for _, f := range findings {
			if f.Code == FindingColumnList && !strings.Contains(f.Text, "columns w of") {
				t.Errorf("column list: %s", f.Text)
			}
		}
	})
}

// TestPublicationRace has many instances make one publication at the same time: each gets it, or an error
// that says to try again.
func TestPublicationRace(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE public.raced (id int PRIMARY KEY)")
		o := PublicationOptions{Name: "raced", Tables: []TableName{{"public", "raced"}}}
		const instances = 8
		results := make(chan error, instances)
		for range instances {
			go func() {
				conn, err := Connect(context.Background(), ConnectOptions{URL: db.url})
				if err == nil {
					defer closeQuietly(conn)
					_, err = EnsurePublication(context.Background(), conn, o)
				}
				results <- err
			}()
		}
		made := 0
		for range instances {
			switch err := <-results; {
			case err == nil:
				made++
			case !Retryable(err):
				t.Errorf("got an error that does not say to try again: %v", err)
			}
		}
		if made == 0 {
			t.Error("nobody made it")
		}
	})
}
