package main

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestRealLargeTogether has eight large transactions open at the same time, whose rows lie between each
// other's in the log: they come, and memory stays within its bound. TRIBUTARY_TEST_TRANSACTION_BYTES says how
// large each is; by default it is 40 MB, more than the bound together.
func TestRealLargeTogether(t *testing.T) {
	const writers, parts, rowBytes, bound = 8, 5, 1000, 256 << 20
	rows := fromEnvironment(t, "TRANSACTION_BYTES", 40_000_000) / rowBytes / parts
	b := newBench(t, local.RealPostgres(t)[0], local.RealKafka(t), local.RealRegistry(t))
	b.tables = "[public.large]"
	b.rig.write(t, "")
	b.exec("CREATE TABLE public.large (id bigint PRIMARY KEY, v text)")
	_ = newTopics(t, b.rig) // they are removed at the end
	l := b.start(t)
	l.settled(t)
	var sessions []*sourceConn
	for range writers {
		sessions = append(sessions, dial(t, b.source))
	}
	for part := range parts {
		var together errgroup.Group
		for w, session := range sessions {
			first := (w*parts + part) * rows
			together.Go(func() error {
				sql := fmt.Sprintf("INSERT INTO public.large SELECT g, repeat(md5(g::text), %d) "+
					"FROM generate_series(%d, %d) g", rowBytes/32, first+1, first+rows)
				if part == 0 {
					sql = "BEGIN; " + sql
				}
				_, err := session.conn.Exec(t.Context(), sql).ReadAll()
				return err
			})
		}
		if err := together.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	for _, session := range sessions {
		session.exec("COMMIT")
	}
	for tenth := range 10 { // each has its own patience
		want := int64(writers*parts*rows) * int64(tenth+1) / 10
		l.eventually(t, func() error {
			s, err := l.status()
			if err == nil && (len(s.Tables) != 1 || s.Tables[0].Created < want) {
				err = fmt.Errorf("want %d rows published: %+v", want, s.Tables)
			}
			return err
		})
	}
	peak := l.peak(t)
	t.Logf("%d transactions of %d rows: %d MiB at most", writers, parts*rows, peak>>20)
	if peak > bound {
		t.Errorf("%d MiB of memory, want at most %d", peak>>20, bound>>20)
	}
	l.stop(t)
}
