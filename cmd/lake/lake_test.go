package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// recipes are all of deploy/connect.
var recipes = []recipe{
	{"confluent-s3-parquet", parquet},
	{"confluent-s3-avro", avroFile},
	{"confluent-s3-json", jsonFile},
	{"aiven-s3-parquet", parquet},
	{"aiven-s3-jsonl", jsonWrap},
	{"iceberg-log", iceberg},
	{"iceberg-cdc", icebergRow},
}

// TestRealLake has every recipe of deploy/connect take the same changes to S3 at the same time: a snapshot,
// the nine statements, a changed key and an added column. Then it asks each lake what deploy/athena asks.
func TestRealLake(t *testing.T) {
	servers := local.RealPostgres(t)
	server := servers[len(servers)-1]
	at := atServers(t, server)
	binary := filepath.Join(t.TempDir(), "tributary")
	if out, err := exec.Command("go", "build", "-o", binary, "../tributary").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var out strings.Builder
	cache, err := local.Cache()
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLake(t.Context(), &out, binary, "../../deploy", cache)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(context.Background(), nil); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	l.at = at
	if err := l.begin(t.Context(), "lake_"+strings.ToLower(rand.Text()[:8])); err != nil {
		t.Fatal(err)
	}
	l.defers(func(ctx context.Context) error { return forget(ctx, l) })
	for _, r := range recipes {
		l.defers(func(ctx context.Context) error { return removeSink(ctx, l, r) })
		if err := l.sink(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.statements(t.Context()); err != nil {
		t.Fatal(err)
	}
	change(t, l)
	for _, r := range recipes {
		begin := time.Now()
		t.Run(r.name, func(t *testing.T) { holds(t, l, r) })
		t.Logf("%s: %s", r.name, time.Since(begin).Round(time.Millisecond))
	}
	onTrinoIfThere(t, l)
}

// removeSink removes what a sink leaves on shared servers.
func removeSink(ctx context.Context, l *lake, r recipe) error {
	_, err := l.rest(ctx, http.MethodDelete, "/connectors/"+l.name(r), nil)
	groups, errGroups := l.admin.ListGroups(ctx)
	err = errors.Join(err, errGroups)
	for _, group := range groups.Groups() {
		if strings.Contains(group, l.name(r)) {
			err = errors.Join(err, l.until(ctx, "the end of group "+group, func() error {
				_, err := l.admin.DeleteGroup(ctx, group)
				if errors.Is(err, kerr.GroupIDNotFound) {
					return nil
				}
				return err // its members leave soon
			}))
		}
	}
	if r.layout == iceberg || r.layout == icebergRow { // not before: a task that ends still asks for it
		_, errTopic := l.admin.DeleteTopics(ctx, l.name(r)+"-control")
		err = errors.Join(err, errTopic)
	}
	return err
}

// forget stops the pipeline, and removes the topics and subjects, which shared servers would keep.
func forget(ctx context.Context, l *lake) error {
	if l.pipeline != nil {
		if err := l.pipeline.Stop(30 * time.Second); err != nil {
			return err
		}
		l.pipeline = nil
	}
	found, err := l.admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, topic := range found.Names() {
		if !strings.HasPrefix(topic, l.prefix+".") {
			continue
		}
		if _, err := l.admin.DeleteTopic(ctx, topic); err != nil {
			errs = append(errs, err)
		}
		for _, subject := range []string{"-key", "-value", "-key?permanent=true", "-value?permanent=true"} {
			address := l.at.registry + "/subjects/" + topic + subject
			request, err := http.NewRequestWithContext(ctx, http.MethodDelete, address, nil)
			if err != nil {
				return err
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			errs = append(errs, response.Body.Close()) // some have none
		}
	}
	return errors.Join(errs...)
}

// atServers are the named servers, with databases of the test's own.
func atServers(t *testing.T, server string) servers {
	var catalog string
	if os.Getenv(envTrino) != "" {
		catalog = trinoCatalog(t, server)
	} else {
		catalog = local.Database(t, server)
	}
	return servers{
		postgres: local.Database(t, server), catalog: catalog, brokers: local.RealKafka(t),
		registry: local.RealRegistry(t), connect: local.RealConnect(t), s3: local.RealS3(t),
	}
}

// change changes a key and adds a column, and what deploy/athena has to be told of the column, as its README
// says.
func change(t *testing.T, l *lake) {
	t.Helper()
	for _, sql := range []string{
		"INSERT INTO city (city, country_id) VALUES ('Jabari', 110)",
		"UPDATE city SET city_id = 1602 WHERE city_id = 602",
		"ALTER TABLE city ADD COLUMN population integer",
		"UPDATE city SET population = 7 WHERE city_id = 600",
		"INSERT INTO city (city, country_id, population) VALUES ('Mbuji', 110, 8)",
	} {
		if err := l.exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	l.edits = strings.NewReplacer(
		"city:string,country_id:int,", "city:string,country_id:int,population:int,",
		"after.city AS city,", "after.city AS city, after.population AS population,",
		"SELECT city_id, city, country_id,", "SELECT city_id, city, country_id, population,")
	var err error
	if l.columns, err = l.externals(); err != nil {
		t.Fatal(err)
	}
}

// holds asks one lake, by what make lake asks: it must print the table's rows, none of them differing, under
// the header of the two logs, and tell the life of the deleted address.
func holds(t *testing.T, l *lake, r recipe) {
	var out strings.Builder
	l.out = &out
	a, err := l.verdict(t.Context(), r)
	if err != nil {
		t.Fatalf("%v; it printed:\n%s", err, &out)
	}
	rows := 0
	for _, table := range captured {
		in, err := l.rowsOf(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		rows += len(in)
	}
	for _, line := range []string{
		fmt.Sprintf("\nrows %d, differing 0\n", rows),
		fmt.Sprintf("\n%-39s  %s\n", "the article's lake: 11 rows", "this lake's log: 12 records"),
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it does not print %q:\n%s", strings.TrimSpace(line), &out)
		}
	}
	var life []string
	for _, one := range a.eleven {
		if one.id == "104" {
			life = append(life, one.op)
		}
	}
	want := "r d"
	if r.layout == icebergRow { // the transform makes an insert of what a snapshot reads
		want = "i d"
	}
	if got := strings.Join(life, " "); got != want {
		t.Errorf("the life of address 104 is %q, want %q", got, want)
	}
	for i, id := range []string{"100", "101", "102", "103", "105"} {
		if !strings.HasPrefix(a.five[i], id+" ") {
			t.Errorf("present rows of 100 to 105: %q", a.five)
		}
	}
	if r.layout != icebergRow && !strings.HasPrefix(a.refined, "100 rows in ") {
		t.Errorf("the refined table has %s, want 100 rows", a.refined)
	}
	t.Logf("rows %d, differing %d; %s", a.rows, len(a.differing), a.refined)
}
