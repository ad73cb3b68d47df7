package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestPartitionLayouts has partitions whose columns stand in another order than the root's, one of them with
// a dropped column in between: one with rows from before the start, one that is attached while the pipeline
// runs. Rows move from one to the other. Each value stands under its name, whatever the layout.
func TestPartitionLayouts(t *testing.T) {
	for _, viaRoot := range []bool{true, false} {
		t.Run(fmt.Sprintf("via root %t", viaRoot), func(t *testing.T) { partitionLayouts(t, viaRoot) })
	}
}

func partitionLayouts(t *testing.T, viaRoot bool) {
	address := local.Database(t, local.Postgres(t))
	admin := dial(t, address)
	admin.exec("CREATE TABLE m (id int, a text, b bigint, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE " +
		"(at); " +
		"CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM (0) TO (10); " +
		"CREATE TABLE m_2 (b bigint, gone text, at int NOT NULL, id int NOT NULL, a text, PRIMARY KEY (id, at)); " +
		"INSERT INTO m_2 VALUES (1, 'gone', 11, 1, 'one'), (2, 'gone', 12, 2, 'two'); " +
		"ALTER TABLE m_2 DROP gone; ALTER TABLE m ATTACH PARTITION m_2 FOR VALUES FROM (10) TO (20); " +
		"INSERT INTO m VALUES (3, 'three', 3, 3), (4, 'four', 4, 14)")
	r := newRig(t, address, local.Kafka(t), local.Registry(t), "['public.*']", "")
	admin.exec(fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE m WITH (publish_via_partition_root = %t)", r.prefix,
		viaRoot))
	read := newTopics(t, r)
	l := r.run(t)
	l.settled(t)
	admin.exec("CREATE TABLE m_3 (at int NOT NULL, a text, lost int, lost_too text, b bigint, " +
		"id int NOT NULL, " +
		"PRIMARY KEY (id, at)); ALTER TABLE m_3 DROP lost, DROP lost_too; " +
		"ALTER TABLE m ATTACH PARTITION m_3 FOR VALUES FROM (20) TO (30)")
	if !viaRoot { // a table of its own, which is captured from the next start on
		l.stop(t)
		l = r.run(t)
		l.settled(t)
	}
	admin.exec("INSERT INTO m VALUES (5, 'five', 5, 5), (6, 'six', 6, 16), (7, 'seven', 7, 27), " +
		"(8, 'eight', 8, 28); UPDATE m SET a = a || '!', b = b + 1 WHERE id IN (1, 3, 7); " +
		"UPDATE m SET at = at + 10 WHERE id IN (3, 4, 5, 6); DELETE FROM m WHERE id IN (2, 8); " +
		"ALTER TABLE m ADD c int; UPDATE m SET c = id WHERE id > 4; INSERT INTO m VALUES (100, 'end', 0, 29, 1)")
	read.until(l, "the last row", func(r topicRecord) bool { return fmt.Sprint(r.after["id"]) == "100" })
	l.stop(t)
	held := map[string]string{}
	for _, r := range read.all() {
		switch r.op {
		case "r", "c", "u":
			held[r.key] = fmt.Sprintf("%v|%v|%v|%v", r.after["id"], r.after["a"], r.after["b"], r.after["at"])
		case "d":
			delete(held, r.key)
		}
	}
	came := map[string]bool{}
	for _, row := range held {
		came[row] = true
	}
	table := admin.rows("SELECT id, a, b, at FROM m")
	for _, row := range table {
		if want := strings.Join(row, "|"); !came[want] {
			t.Errorf("row %s is not in the topics: %v", want, held)
		}
	}
	if len(held) != len(table) {
		t.Errorf("the topics hold %d rows, the table %d", len(held), len(table))
	}
}
