package main

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/deploy/sql"
)

func TestInitPrintsSQL(t *testing.T) {
	source := []string{
		"--source-url", "postgres://cdc@db.example/shop", "--topic-prefix", "My-Shop",
		"--source-tables", `public.orders,"a.b"."c""d"`,
	}
	for _, test := range []struct {
		part string
		more []string
		code int
		want string
	}{
		{"role", nil, exitOK, `CREATE ROLE "cdc" LOGIN REPLICATION`},
		{"rds", nil, exitOK, `GRANT rds_replication TO "cdc";`},
		{"role-rds-iam", nil, exitOK, `GRANT rds_iam TO "cdc";`},
		{"all", nil, exitOK, `GRANT SELECT ON TABLE "public"."orders", "a.b"."c""d" TO "cdc";`},
		{"all", nil, exitOK, `CREATE PUBLICATION "tributary_my_shop" FOR TABLE`},
		{"publication", []string{"--source-publish-via-root"}, exitOK, "publish_via_partition_root = true"},
		{"teardown", nil, exitOK, "left('tributary_my_shop'"},
		{"verify", nil, exitOK, "pubname = 'tributary_my_shop'"},
		{"", nil, exitUsage, "want one of all, rds"},
		{"rolle", nil, exitUsage, "did you mean role?"},
		{"all", []string{"--source-tables", "public.*"}, exitUsage, "public.* is a pattern"},
		{"all", []string{"--source-url", "postgres://db.example/shop"}, exitUsage, "needs the role and"},
		{"all", []string{"--kafka-auth", "nonsense"}, exitUsage, "kafka.auth"},
	} {
		args := append(append([]string{"init", "--print-sql", test.part}, source...), test.more...)
		code, stdout, stderr := execute(t, &program{}, args...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%s %v: exit code %d, want %d and %q, printed\n%s%s", test.part, test.more, code, test.code,
				test.want, stdout, stderr)
		}
	}
}

// TestServants holds the teardown against the list of slots that serve a pipeline.
func TestServants(t *testing.T) {
	text, err := sql.Script("teardown", sql.Values{
		Role: "r", Database: "d", Publication: "p", Slot: "s", Tables: []sql.Table{{Schema: "a", Name: "b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, servant := range servants {
		if !strings.Contains(text, "'"+servant.suffix+"'") {
			t.Errorf("the teardown leaves slots that end in %s", servant.suffix)
		}
	}
}

// TestPreparedSource shows that nothing is missing after what init prints: check finds no failure as the
// least privileged role, and run does its work as it.
func TestPreparedSource(t *testing.T) {
	prepared(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
}

func TestRealPreparedSource(t *testing.T) {
	for _, server := range local.RealPostgres(t) {
		prepared(t, server, local.RealKafka(t), local.RealRegistry(t))
	}
}

func prepared(t *testing.T, server, brokers, registry string) {
	admin := local.Database(t, server)
	owner := dial(t, admin)
	owner.exec("CREATE TABLE orders (id int PRIMARY KEY, item text); INSERT INTO orders VALUES (1, 'boat')")
	r := newRig(t, admin, brokers, registry, "[public.orders]", "")
	config, err := pgconn.ParseConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	role := "cdc_" + r.prefix
	r.source = strings.Replace(admin, "//"+config.User+":"+config.Password+"@", "//"+role+":pw@", 1)
	r.source = strings.Replace(r.source, "//"+config.User+"@", "//"+role+":pw@", 1)
	r.write(t, "")
	run := func(part string) {
		t.Helper()
		code, text, stderr := execute(t, &program{}, "init", "-c", r.file, "--print-sql", part)
		if code != exitOK {
			t.Fatalf("init --print-sql %s: exit code %d: %s", part, code, stderr)
		}
		owner.exec(text)
	}
	run("all")
	owner.exec("ALTER ROLE " + role + " PASSWORD 'pw'")
	if code, out, stderr := execute(t, &program{}, "check", "-c", r.file); code != exitOK {
		t.Errorf("check as the role: exit code %d\n%s%s", code, out, stderr)
	}
	l := r.run(t)
	l.reach(t, stateStreaming)
	owner.exec("UPDATE orders SET item = 'ship'")
	l.stop(t)
	if !strings.Contains(owner.value("SELECT slot_name FROM pg_replication_slots WHERE slot_name = '"+
		r.prefix+"'"), r.prefix) {
		t.Errorf("no slot %s", r.prefix)
	}
	run("teardown")
	left := owner.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name IN ('" + r.prefix + "', '" +
		decoder.AnchorName(r.prefix) + "')")
	if left != "0" {
		t.Errorf("the teardown leaves %s slots", left)
	}
}
