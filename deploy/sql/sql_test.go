package sql

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestScripts runs the scripts on the server that needs no installation, TestRealScripts on all real ones.
func TestScripts(t *testing.T) { scripts(t, local.Postgres(t)) }

func TestRealScripts(t *testing.T) { onReal(t, scripts) }

// onReal runs a test on all real servers at the same time.
func onReal(t *testing.T, test func(*testing.T, string)) {
	t.Helper()
	for i, server := range local.RealPostgres(t) {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			t.Log("version", run(t, session(t, server), "SHOW server_version")[0][0])
			test(t, server)
		})
	}
}

// scripts plays a source's whole life: prepared by its owner, read by the role, and cleaned up. The names are
// the worst that Postgres allows.
func scripts(t *testing.T, server string) {
	admin := local.Database(t, server)
	suffix := strings.ToLower(rand.Text()[:8])
	v := Values{
		Role: `cdc "role" ` + suffix, Database: databaseOf(t, admin), Publication: `pub'"; ` + suffix,
		Slot: "slot_" + suffix, Tables: []Table{{"public", "orders"}, {`My "Shop"`, "a'b"}, {"public", "select"}},
	}
	owner := session(t, admin)
	run(t, owner, `CREATE SCHEMA "My ""Shop"""; CREATE TABLE orders (id int PRIMARY KEY);
		CREATE TABLE "My ""Shop"""."a'b" (id int PRIMARY KEY); CREATE TABLE "select" (id int PRIMARY KEY);
		CREATE TABLE secrets (id int PRIMARY KEY); INSERT INTO orders VALUES (1)`)
	t.Cleanup(func() { // only what a failed test leaves
		drop := "DROP OWNED BY " + identifier(v.Role) + "; DROP ROLE " + identifier(v.Role)
		_, _ = session(t, admin).Exec(context.Background(), drop).ReadAll()
	})
	for _, part := range []string{"role", "grants", "publication"} {
		run(t, owner, script(t, part, v))
	}
	run(t, owner, "ALTER ROLE "+identifier(v.Role)+" PASSWORD 'only for this test'")

	cdc := session(t, as(t, admin, v.Role))
	if got := run(t, cdc, `SELECT count(*) FROM orders`); got[0][0] != "1" {
		t.Errorf("the role reads %s rows of orders, want 1", got)
	}
	refused(t, cdc, "SELECT * FROM secrets", "42501")
	refused(t, cdc, "INSERT INTO orders VALUES (2)", "42501")
	refused(t, cdc, "CREATE PUBLICATION other FOR TABLE orders", "42501")
	run(t, cdc, "SELECT pg_create_logical_replication_slot("+literal(v.Slot)+", 'pgoutput')")
	run(t, cdc, "SELECT pg_copy_logical_replication_slot("+literal(v.Slot)+", "+literal(v.Slot+"_anchor")+")")
	verified(t, run(t, cdc, script(t, "verify", v)), "WAL kept for a stopped slot has a limit")

	run(t, owner, script(t, "teardown", v))
	if left := run(t, owner, "SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'slot_"+suffix+
		"%' UNION ALL SELECT pubname FROM pg_publication UNION ALL SELECT rolname FROM pg_roles WHERE rolname = "+
		literal(v.Role)); len(left) > 0 {
		t.Errorf("teardown leaves %v", left)
	}
}

// TestVerifyFinds shows that verify is no yes-man: one fault for each of its lines that a database can have.
func TestVerifyFinds(t *testing.T) {
	admin := local.Database(t, local.Postgres(t))
	suffix := strings.ToLower(rand.Text()[:8])
	v := Values{
		Role: "bad_" + suffix, Database: databaseOf(t, admin), Publication: "bad_" + suffix, Slot: "bad_" + suffix,
		Tables: []Table{{"public", "bare"}},
	}
	owner := session(t, admin)
	run(t, owner, "CREATE TABLE bare (id int); ALTER TABLE bare ENABLE ROW LEVEL SECURITY; CREATE ROLE "+
		v.Role+" LOGIN PASSWORD 'only for this test'")
	t.Cleanup(func() { run(t, session(t, admin), "DROP OWNED BY "+v.Role+"; DROP ROLE "+v.Role) })
	cdc := session(t, as(t, admin, v.Role))
	verified(t, run(t, cdc, script(t, "verify", v)), "the role may replicate", "the publication is there",
		"it has tables", "WAL kept for a stopped slot has a limit")
	run(t, owner, script(t, "publication", v))
	verified(t, run(t, cdc, script(t, "verify", v)), "the role may replicate",
		"WAL kept for a stopped slot has a limit", "public.bare can be read",
		"public.bare has a key to tell updates and deletes by", "public.bare hides no rows")
}

// TestRDS runs the RDS variant where roles of RDS's names stand in for its own, and logs in as the role.
func TestRDS(t *testing.T) {
	admin := local.Database(t, local.Postgres(t))
	t.Cleanup(func() { run(t, session(t, admin), "DROP ROLE rds_replication; DROP ROLE rds_iam") })
	owner := session(t, admin)
	rds(t, admin, owner, func(v Values) *pgconn.PgConn {
		run(t, owner, "ALTER ROLE "+v.Role+" PASSWORD 'only for this test'")
		return session(t, as(t, admin, v.Role))
	})
}

// TestRealRDS does the same on the real servers within a transaction that is rolled back: other tests, which
// run at the same time, take a server that has rds_replication for RDS.
func TestRealRDS(t *testing.T) {
	onReal(t, func(t *testing.T, server string) {
		admin := local.Database(t, server)
		owner := session(t, admin)
		run(t, owner, "BEGIN")
		rds(t, admin, owner, func(v Values) *pgconn.PgConn {
			run(t, owner, "SET LOCAL ROLE "+v.Role)
			return owner
		})
		run(t, owner, "ROLLBACK")
	})
}

// rds prepares a source by the RDS variant, verifies it as the role, which become returns a session of, and
// cleans up.
func rds(t *testing.T, admin string, owner *pgconn.PgConn, become func(Values) *pgconn.PgConn) {
	t.Helper()
	suffix := strings.ToLower(rand.Text()[:8])
	v := Values{
		Role: "rds_" + suffix, Database: databaseOf(t, admin), Publication: "p", Slot: "rds_" + suffix,
		Tables: []Table{{"public", "t"}},
	}
	run(t, owner, "CREATE ROLE rds_replication; CREATE ROLE rds_iam; CREATE TABLE t (id int PRIMARY KEY)")
	for _, part := range []string{"role-rds", "role-rds-iam", "grants", "publication"} {
		run(t, owner, script(t, part, v))
	}
	verified(t, run(t, become(v), script(t, "verify", v)), "WAL kept for a stopped slot has a limit")
	run(t, owner, "RESET ROLE")
	run(t, owner, script(t, "teardown", v))
}

// TestPsql shows that the files themselves are what Script prints: psql takes them with the variables of the
// usage that each file's comment gives.
func TestPsql(t *testing.T) { byPsql(t, local.Postgres(t)) }

func TestRealPsql(t *testing.T) { onReal(t, byPsql) }

func byPsql(t *testing.T, server string) {
	t.Helper()
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	admin := local.Database(t, server)
	owner, suffix := session(t, admin), strings.ToLower(rand.Text()[:8])
	run(t, owner, `CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE customers (id int PRIMARY KEY)`)
	variables := []string{
		"role=cdc_" + suffix, "database=" + databaseOf(t, admin), "publication=pub_" + suffix,
		"slot=slot_" + suffix, "tables=public.orders, public.customers", "schemas=public", "via_root=false",
	}
	for _, part := range []string{"role", "grants", "publication", "verify", "teardown"} {
		args := []string{"-X", "-v", "ON_ERROR_STOP=1", "-d", admin, "-f", part + ".sql"}
		text, err := os.ReadFile(part + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		for _, variable := range variables {
			name, _, _ := strings.Cut(variable, "=")
			used := strings.Contains(usage(string(text)), name+"=")
			if needed := strings.Contains(statements(string(text)), ":"+name) ||
				strings.Contains(statements(string(text)), ":'"+name) ||
				strings.Contains(statements(string(text)), `:"`+name); used != needed {
				t.Errorf("%s.sql: the usage names %s: %v, the statements need it: %v", part, name, used, needed)
			}
			if used {
				args = append(args, "-v", variable)
			}
		}
		if out, err := exec.CommandContext(t.Context(), psql, args...).CombinedOutput(); err != nil {
			t.Errorf("psql %s.sql: %v\n%s", part, err, out)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		part, want string
		v          Values
	}{
		{"rolle", "want one of role, role-rds", Values{}},
		{"role", "script role: role has no value", Values{}},
		{"grants", "no table is named", Values{Role: "a", Database: "b"}},
	} {
		if _, err := Script(test.part, test.v); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Script(%q) = %v, want %q", test.part, err, test.want)
		}
	}
	if _, err := (Values{}).fill("SELECT :unknown"); err == nil {
		t.Error("an unknown variable is no error")
	}
	if got, err := (Values{}).fill("SELECT 1::int, 'a::b'"); err != nil || got != "SELECT 1::int, 'a::b'" {
		t.Errorf("a cast became %q, %v", got, err)
	}
}

// usage is what a script's comment says of calling psql, statements the rest.
func usage(text string) string { return only(text, true) }

func statements(text string) string { return only(text, false) }

func only(text string, comments bool) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "--   ") == comments && (comments || !strings.HasPrefix(line, "--")) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func script(t *testing.T, part string, v Values) string {
	t.Helper()
	text, err := Script(part, v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// verified compares the lines of verify that are not ok with those wanted.
func verified(t *testing.T, lines [][]string, want ...string) {
	t.Helper()
	bad := map[string]bool{}
	for _, line := range lines {
		if line[1] != "t" {
			bad[line[0]] = true
		}
	}
	for _, one := range want {
		if !bad[one] {
			t.Errorf("verify finds nothing wrong with %q: %v", one, lines)
		}
		delete(bad, one)
	}
	for one := range bad {
		t.Errorf("verify finds fault with %q", one)
	}
}

func session(t *testing.T, address string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// as is an address with another user.
func as(t *testing.T, address, role string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "only for this test")
	return u.String()
}

func databaseOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(u.Path, "/")
}

// run runs statements and returns the rows of the last.
func run(t *testing.T, conn *pgconn.PgConn, sql string) [][]string {
	t.Helper()
	results, err := conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var rows [][]string
	for _, row := range results[len(results)-1].Rows {
		var texts []string
		for _, value := range row {
			texts = append(texts, string(value))
		}
		rows = append(rows, texts)
	}
	return rows
}

// refused runs a statement that must fail with a SQLSTATE.
func refused(t *testing.T, conn *pgconn.PgConn, sql, state string) {
	t.Helper()
	_, err := conn.Exec(context.Background(), sql).ReadAll()
	if err == nil || !strings.Contains(err.Error(), state) {
		t.Errorf("%s: %v, want %s", sql, err, state)
	}
}
