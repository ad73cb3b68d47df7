package decoder

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestValidateSlotName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "tributary_1": true, strings.Repeat("x", 63): true,
		"": false, strings.Repeat("x", 64): false, "Upper": false, "a-b": false, `a"b`: false, "a b": false,
		"\u00e9": false, "a\n": false,
	} {
		if err := ValidateSlotName(name); (err == nil) != ok {
			t.Errorf("%q: valid %t, got %v", name, ok, err)
		}
	}
}

func TestParseHistory(t *testing.T) {
	text := "1\t0/3000158\tno recovery target specified\n\n# a comment\n2\t1/A0\tbefore 2000-01-01\n"
	want := []Switch{{1, 0x3000158, "no recovery target specified"}, {2, 0x1000000A0, "before 2000-01-01"}}
	got, err := parseHistory(text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("want %v, got %v, %v", want, got, err)
	}
	if lsn, found := LeftAt(got, 2); !found || lsn != 0x1000000A0 {
		t.Errorf("left timeline 2 at %s, %t", lsn, found)
	}
	if _, found := LeftAt(got, 3); found {
		t.Error("timeline 3 was left")
	}
	for _, bad := range []string{"1", "x 0/1 r", "1 0/x r"} {
		if _, err := parseHistory(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestSlotUsable(t *testing.T) {
	good := Slot{Name: "s", Plugin: "pgoutput", Database: "db", Status: "reserved"}
	for _, test := range []struct {
		name   string
		change func(*Slot)
		want   string // "" is usable
	}{
		{"usable", func(*Slot) {}, ""},
		{"extended", func(s *Slot) { s.Status = "extended" }, ""},
		{"lost", func(s *Slot) { s.Status = "lost" }, "WAL removed"},
		{"invalidated", func(s *Slot) { s.Reason = "idle_timeout" }, "idle_timeout"},
		{"physical", func(s *Slot) { s.Plugin = "" }, "physical"},
		{"plugin", func(s *Slot) { s.Plugin = "wal2json" }, "wal2json"},
		{"database", func(s *Slot) { s.Database = "other" }, "belongs to database other"},
		{"temporary", func(s *Slot) { s.Temporary = true }, "temporary"},
		{"two-phase", func(s *Slot) { s.TwoPhase = true }, "two_phase"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := good
			test.change(&s)
			err := s.Usable("db")
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("want %q, got %v", test.want, err)
			}
		})
	}
}

func TestCreateCommand(t *testing.T) {
	for _, test := range []struct {
		o       CreateOptions
		version int
		want    string // "" is refused
	}{
		{CreateOptions{Name: "s"}, 130023, `CREATE_REPLICATION_SLOT "s" LOGICAL pgoutput EXPORT_SNAPSHOT`},
		{
			CreateOptions{Name: "s", Temporary: true},
			140000,
			`CREATE_REPLICATION_SLOT "s" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT`,
		},
		{CreateOptions{Name: "1a"}, 150000, `CREATE_REPLICATION_SLOT "1a" LOGICAL pgoutput (SNAPSHOT 'export')`},
		{
			CreateOptions{Name: "s", Failover: true},
			170000,
			`CREATE_REPLICATION_SLOT "s" LOGICAL pgoutput (SNAPSHOT 'export', FAILOVER true)`,
		},
		{CreateOptions{Name: "s", Failover: true}, 160000, ""},
		{CreateOptions{Name: "s", Failover: true, Temporary: true}, 180000, ""},
	} {
		got, err := createCommand(test.o, test.version)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%+v on %d: want %q, got %q, %v", test.o, test.version, test.want, got, err)
		}
	}
}

func TestSlotLife(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		ctx := context.Background()
		if s := db.slot(); s != nil {
			t.Fatalf("slot %+v before it is made", s)
		}
		created, err := CreateSlot(ctx, CreateOptions{
			Connect: db.connect, Name: db.slotName(),
			Failover: db.version >= 170000,
		})
		if err != nil {
			t.Fatal(err)
		}
		if created.Point == 0 || created.Restart == 0 || created.Restart > created.Point || created.Snapshot == "" {
			t.Errorf("created %+v", created)
		}
		// The snapshot is still there, although restart_lsn was read.
		reader := dial(t, db.connect)
		query(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
		query(t, reader, "SET TRANSACTION SNAPSHOT '"+created.Snapshot+"'")
		system, err := IdentifySystem(ctx, created.Conn)
		if err != nil || system.ID == "" || system.Timeline < 1 || system.Flushed == 0 ||
			system.Database != db.name {
			t.Errorf("system %+v, %v", system, err)
		}
		if history, err := TimelineHistory(ctx, created.Conn, 1); err != nil || len(history) != 0 {
			t.Errorf("history %v, %v", history, err)
		}
		closeQuietly(created.Conn)
		s := db.slot()
		if s.Plugin != "pgoutput" || s.Database != db.name || s.Temporary || s.Confirmed != created.Point ||
			s.Restart != created.Restart || s.Lost() || s.Failover != (db.version >= 170000) || s.ServerEnd == 0 {
			t.Errorf("slot %+v", s)
		}
		if err := s.Usable(db.name); err != nil {
			t.Error(err)
		}
		if _, err = CreateSlot(ctx, CreateOptions{Connect: db.connect, Name: db.slotName()}); err == nil ||
			!strings.Contains(err.Error(), "use it, or drop it") {
			t.Errorf("second creation: %v", err)
		}
		for range 2 { // The second finds nothing, which is no error.
			if err := DropSlot(ctx, db.conn, db.slotName()); err != nil {
				t.Fatal(err)
			}
		}
		if s := db.slot(); s != nil {
			t.Errorf("slot %+v after it was dropped", s)
		}
	})
}

// A creation that waits says what for; given up, it leaves nothing behind.
func TestCreateSlotNamesItsBlockers(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		writer := dial(t, db.connect)
		query(t, writer, "CREATE TABLE public.b (id int)")
		query(t, writer, "BEGIN; INSERT INTO public.b VALUES (1)")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var seen []Blocker
		_, err := CreateSlot(ctx, CreateOptions{
			Connect: db.connect, Name: db.slotName(),
			Progress: func(blockers []Blocker) { seen = blockers; cancel() },
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("want context canceled, got %v", err)
		}
		found := false
		for _, b := range seen {
			found = found || b.PID == int(writer.PID()) && b.Database == db.name && b.State == "idle in transaction"
		}
		if !found {
			t.Errorf("pid %d is not named: %v", writer.PID(), seen)
		}
		query(t, writer, "ROLLBACK")
		// The server would have gone on now, had it not been told to stop.
		never := time.After(500 * time.Millisecond)
		for waiting := true; waiting; {
			select {
			case <-never:
				waiting = false
			default:
				if s := db.slot(); s != nil {
					t.Fatalf("an orphan is left: %+v", s)
				}
			}
		}
	})
}

func TestDropBusySlot(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		s := db.stream(o)
		var busy *SlotBusyError
		if err := DropSlot(context.Background(), db.conn, db.slotName()); !errors.As(err, &busy) ||
			busy.PID != int(s.pid) || busy.ErrorCode() != "E123" {
			t.Errorf("want a SlotBusyError of pid %d, got %v", s.pid, err)
		}
	})
}

// A lost slot is told as such on every version, by what the view says.
func TestOpenLostSlot(t *testing.T) {
	onMortalServers(t, []int{18}, func(t *testing.T, m *mortal) {
		db := m.database(t)
		closeQuietly(db.prepare().Conn)
		db.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
		db.exec("SELECT pg_reload_conf()")
		waitFor(t, "the slot to be lost", func() bool {
			db.exec("INSERT INTO public.unpublished SELECT generate_series(1, 100000)")
			db.exec("SELECT pg_switch_wal()")
			db.exec("CHECKPOINT")
			return db.slot().Lost()
		})
		_, err := Open(context.Background(), db.options())
		var lost *SlotLostError
		if !errors.As(err, &lost) || lost.Slot != db.slotName() || Retryable(err) ||
			lost.ErrorCode() != "E122" {
			t.Errorf("want a SlotLostError, got %v", err)
		}
		t.Log(err)
	})
}

// TestCreatedSlotGone: a temporary slot is gone when its session is, say by a restart of the server between
// two questions. That passes by itself.
func TestCreatedSlotGone(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		_, err := restartOf(context.Background(), CreateOptions{Connect: db.connect, Name: db.slotName()})
		if err == nil || !Retryable(err) || !strings.Contains(err.Error(), "it is gone already") {
			t.Errorf("want an error that is retried, got %v", err)
		}
	})
}
