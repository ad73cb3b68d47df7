package decoder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/deploy/local"
)

func TestAnchorTarget(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		name         string
		slot, anchor LSN
		keep         int64
		to           LSN
		due          bool
	}{
		{"near", 1000 * mib, 900 * mib, 1024 * mib, 900 * mib, false},
		{"as far as may be", 2024 * mib, 1000 * mib, 1024 * mib, 1000 * mib, false},
		{"too far", 2024*mib + 8, 1000 * mib, 1024 * mib, 1128*mib + 8, true},
		{"much too far", 5000 * mib, 1000 * mib, 1024 * mib, (5000 - 896) * mib, true},
		{"a small distance has small steps", 3 * mib, 1 * mib, mib, 3*mib - mib/2, true},
		{"ahead", 1 * mib, 2 * mib, mib, 2 * mib, false},
		{"before the log began", 10 * mib, 1 * mib, 1024 * mib, 1 * mib, false},
	} {
		if to, due := anchorTarget(test.slot, test.anchor, test.keep); to != test.to || due != test.due {
			t.Errorf("%s: want %s %t, got %s %t", test.name, test.to, test.due, to, due)
		}
	}
	if got := (anchorLimits{keep: 100}).bound(80); got != 50 {
		t.Errorf("bound by half of the server's limit: %d", got)
	}
	if got := (anchorLimits{keep: -1}).bound(80); got != 80 {
		t.Errorf("not bound: %d", got)
	}
}

func TestAnchorName(t *testing.T) {
	if name := AnchorName(strings.Repeat("x", 63)); len(name) != 63 || !strings.HasSuffix(name, "_anchor") {
		t.Errorf("of the longest name: %s", name)
	}
}

// anchored is a database with a slot, and an Anchor that is looked after by hand.
type anchored struct {
	t      *testing.T
	url    string
	slot   string
	conn   *pgconn.PgConn
	anchor *Anchor
	log    bytes.Buffer
}

func newAnchored(t *testing.T, server string, keep int64) *anchored {
	a := &anchored{t: t, url: local.Database(t, server)}
	u, err := url.Parse(a.url)
	if err != nil {
		t.Fatal("parse the database's URL")
	}
	a.slot = strings.Trim(u.Path, "/")
	if a.conn, err = Connect(t.Context(), ConnectOptions{URL: a.url}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeQuietly(a.conn) })
	a.exec("CREATE TABLE public.t (id serial PRIMARY KEY, v text)")
	a.exec("CREATE PUBLICATION p FOR ALL TABLES")
	a.exec("SELECT pg_create_logical_replication_slot('" + a.slot + "', 'pgoutput')")
	a.anchor = NewAnchor(AnchorOptions{
		Connect: ConnectOptions{URL: a.url}, Slot: a.slot, Keep: keep,
		Logger: slog.New(slog.NewTextHandler(&a.log, nil)),
	})
	t.Cleanup(func() { closeQuietly(a.anchor.conn) })
	return a
}

func (a *anchored) exec(sql string) {
	a.t.Helper()
	if _, err := simpleQuery(context.Background(), a.conn, sql); err != nil {
		a.t.Fatalf("%s: %v", sql, err)
	}
}

func (a *anchored) inspect(name string) *Slot {
	a.t.Helper()
	slot, err := InspectSlot(context.Background(), a.conn, name)
	if err != nil {
		a.t.Fatal(err)
	}
	return slot
}

// look looks after the anchor once, and returns it.
func (a *anchored) look() *Slot {
	a.t.Helper()
	err := a.anchor.look(a.t.Context())
	a.anchor.tell(err)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.inspect(AnchorName(a.slot))
}

// write fills so much WAL, and moves the slot behind it.
func (a *anchored) write(bytes int) {
	a.t.Helper()
	a.exec(fmt.Sprintf("INSERT INTO public.t (v) SELECT repeat(md5(n::text), 30) FROM generate_series(1, %d) n",
		bytes/1000))
	a.exec("SELECT pg_replication_slot_advance('" + a.slot + "', pg_current_wal_lsn())")
}

// TestAnchor keeps an anchor on the embedded server.
func TestAnchor(t *testing.T) { keepAnchor(t, local.Postgres(t)) }

// TestRealAnchor does so on each real server.
func TestRealAnchor(t *testing.T) {
	for _, server := range local.RealPostgres(t) {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal("parse a server's URL")
		}
		t.Run(u.Host, func(t *testing.T) { keepAnchor(t, server) })
	}
}

// keepAnchor takes an anchor through its life: made, left alone while it is near, moved when it is far, made
// anew when it is gone or wrong, and removed when nothing is to be kept.
func keepAnchor(t *testing.T, server string) {
	const keep = 1 << 20
	a := newAnchored(t, server, keep)
	made := a.look()
	if made == nil || made.Confirmed != a.inspect(a.slot).Confirmed || made.Temporary {
		t.Fatalf("made: %+v", made)
	}
	if near := a.look(); near.Confirmed != made.Confirmed {
		t.Errorf("near the slot it moved from %s to %s", made.Confirmed, near.Confirmed)
	}
	a.write(4 << 20)
	slot, far := a.inspect(a.slot), a.look()
	if far.Confirmed != slot.Confirmed-keep/2 {
		t.Errorf("the slot is at %s and the anchor at %s, want it %d bytes behind", slot.Confirmed, far.Confirmed,
			keep/2)
	}
	s := a.anchor.Status()
	if s.Advances != 1 || s.ReadBytes < 3<<20 || s.Took <= 0 || s.Confirmed != far.Confirmed || s.Problem != "" {
		t.Errorf("status: %+v", s)
	}
	t.Logf("an advance read %d bytes of WAL in %s", s.ReadBytes, s.LastTook)

	a.exec("SELECT pg_drop_replication_slot('" + AnchorName(a.slot) + "')")
	if anew := a.look(); anew == nil || anew.Confirmed < far.Confirmed {
		t.Errorf("made anew: %+v", anew)
	}
	a.write(1 << 20)
	a.exec("SELECT pg_replication_slot_advance('" + AnchorName(a.slot) + "', pg_current_wal_lsn())")
	a.exec("SELECT pg_drop_replication_slot('" + a.slot + "')")
	a.exec("SELECT pg_copy_logical_replication_slot('" + AnchorName(a.slot) + "', '" + a.slot + "')")
	a.write(1 << 20)
	a.anchor.o.Keep = 0
	if gone := a.look(); gone != nil || a.anchor.Status().Confirmed != 0 {
		t.Errorf("nothing is to be kept, and there is %+v", gone)
	}
	a.exec("SELECT pg_create_physical_replication_slot('" + AnchorName(a.slot) + "')")
	a.anchor.o.Keep = keep
	err := a.anchor.look(t.Context())
	a.anchor.tell(err)
	a.anchor.tell(err)
	if err == nil || !strings.Contains(err.Error(), "is not ours") || a.anchor.Status().Problem == "" ||
		strings.Count(a.log.String(), "level=WARN") != 1 {
		t.Errorf("a slot of somebody else's: %v, logged\n%s", err, a.log.String())
	}
	a.exec("SELECT pg_drop_replication_slot('" + AnchorName(a.slot) + "')")
}

// TestCopySlot asks for copies that cannot be had.
func TestCopySlot(t *testing.T) {
	a := newAnchored(t, local.Postgres(t), 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var missing *SlotMissingError
	if err := CopySlot(ctx, a.conn, a.slot+"x", a.slot+"y", false); !errors.As(err, &missing) ||
		missing.Database != a.slot {
		t.Errorf("of a slot that is not there: %v", err)
	}
	var busy *SlotBusyError
	if err := CopySlot(ctx, a.conn, a.slot, a.slot, false); !errors.As(err, &busy) {
		t.Errorf("to a name that is taken: %v", err)
	}
	if _, err := AdvanceSlot(ctx, a.conn, a.slot+"x", 1<<20); !errors.As(err, &missing) {
		t.Errorf("advance of a slot that is not there: %v", err)
	}
	if err := CopySlot(ctx, a.conn, a.slot, "Not a name", true); err == nil {
		t.Error("a name that Postgres refuses was taken")
	}
}

// TestLocate finds the transactions around positions and times.
func TestLocate(t *testing.T) {
	a := newAnchored(t, local.Postgres(t), 1)
	from := a.inspect(a.slot).Confirmed
	for range 3 {
		a.exec("INSERT INTO public.t (v) VALUES ('x')")
	}
	until := a.inspect(a.slot).ServerEnd
	locate := func(at LSN, time int64) Boundary {
		t.Helper()
		b, err := Locate(t.Context(), LocateOptions{
			Source: a.slot, At: at, Time: time, Until: until,
			Stream: StreamOptions{
				Connect: ConnectOptions{URL: a.url}, Slot: a.slot + "_scan", Start: from,
				Publications: []string{"p"},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := locate(from, 0)
	if first.Before.Commit != 0 || first.Next.Begin < from || first.Next.End <= first.Next.Commit {
		t.Fatalf("at the beginning: %+v", first)
	}
	second := locate(first.Next.End, 0)
	if second.Before.Commit != first.Next.Commit || second.Next.LastCommit != first.Next.End {
		t.Errorf("behind the first: %+v", second)
	}
	if same := locate(first.Next.Commit+1, 0); same.Next.Commit != second.Next.Commit {
		t.Errorf("inside of the first's commit record: %+v", same)
	}
	if byTime := locate(0, second.Next.Time); byTime.Next.Commit != second.Next.Commit {
		t.Errorf("at the second's time: %+v", byTime)
	}
	if end := locate(until, 0); end.Next.Commit != 0 || end.Before.Commit <= second.Next.Commit {
		t.Errorf("at the end: %+v", end)
	}
}
