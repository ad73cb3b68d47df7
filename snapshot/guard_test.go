package snapshot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParseSnapshot(t *testing.T) {
	s, err := parseSnapshot("10:20:17,12")
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range map[uint64]bool{
		9: true, 10: true, 12: false, 13: true, 17: false, 19: true,
		20: false, 21: false,
	} {
		if got := s.finished(x); got != want {
			t.Errorf("%d finished: got %v, want %v", x, got, want)
		}
	}
	for _, bad := range []string{"", "10:20", "10:x:", "10:20:1,,2", "10:20:-1", "10:20:1:2"} {
		if _, err := parseSnapshot(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// TestUnsafe has both conditions of the guard, alone and together.
func TestUnsafe(t *testing.T) {
	for _, test := range []struct {
		name, seen, now string
		want            []uint64
	}{
		{"the same", "10:20:12", "10:20:12", nil},
		{"later", "10:20:12", "21:25:21,22", nil},
		{"running in both", "10:20:12", "12:30:12", nil},
		{"still committing", "10:20:12", "12:30:12,15", []uint64{15}},
		{"behind", "10:20:12", "12:19:12", []uint64{19}},
		{"behind, and still committing", "10:20:12", "12:18:12,15", []uint64{19, 15}},
		{"the newest still commits", "10:20:", "19:25:19", []uint64{19}},
		{"begun since", "10:20:", "20:25:20,21", nil},
	} {
		seen, err := parseSnapshot(test.seen)
		if err != nil {
			t.Fatal(err)
		}
		now, err := parseSnapshot(test.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := seen.unsafe(now); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

// TestGuardNamesBlockers has a transaction that a made-up snapshot counts as finished, and that runs.
func TestGuardNamesBlockers(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		ctx := context.Background()
		writer, conn := db.open(), db.open()
		db.exec("CREATE TABLE t (id int)")
		results, err := writer.Exec(ctx, "SET application_name = 'slow one'; BEGIN; INSERT INTO public.t "+
			"VALUES (1); "+
			"SELECT pg_current_xact_id()").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		xid, err := strconv.ParseUint(string(results[3].Rows[0][0]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seen, err := currentSnapshot(ctx, conn)
		if err != nil {
			t.Fatal(err)
		}
		seen.xmax = max(seen.xmax, xid+1)
		seen.running = slices.DeleteFunc(seen.running, func(x uint64) bool { return x == xid })
		err = guard(ctx, conn, seen, 20*time.Millisecond, slog.New(slog.DiscardHandler))
		var blocked *GuardError
		if !errors.As(err, &blocked) || blocked.ErrorCode() != "E156" || !strings.Contains(err.Error(),
			"slow one") {
			t.Fatalf("got %v, want a guard error that names the session", err)
		}
		if _, err := writer.Exec(ctx, "COMMIT").ReadAll(); err != nil {
			t.Fatal(err)
		}
		if err := guard(ctx, conn, seen, time.Minute, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	})
}
