package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// slowly is a condition under which a row takes the server 20 ms to find.
const slowly = "pg_sleep(0.02) IS NOT NULL"

// holds returns how long the stream was held for each part of a snapshot, as the log tells it.
func (l *life) holds(t testing.TB) []time.Duration {
	t.Helper()
	var all []time.Duration
	for _, line := range strings.Split(l.log.String(), "\n") {
		var told struct {
			Took float64 `json:"took"` // seconds
		}
		if !strings.Contains(line, "stream held for a snapshot") {
			continue
		}
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			t.Fatalf("read the log's %s: %v", line, err)
		}
		all = append(all, time.Duration(told.Took*float64(time.Second)))
	}
	return all
}

// TestSnapshotPause takes a snapshot of rows that are slow to read beside a stream: the stream is held for
// snapshot.pause at each point and goes on in between, and a row that was committed meanwhile does not wait
// for the snapshot's end.
func TestSnapshotPause(t *testing.T) {
	address := local.Database(t, local.Postgres(t))
	admin := dial(t, address)
	const rows, pause = 150, 150 * time.Millisecond
	admin.exec(fmt.Sprintf("CREATE TABLE a (id int PRIMARY KEY); "+
		"INSERT INTO a SELECT generate_series(1, %d)", rows))
	r := newRig(t, address, local.Kafka(t), local.Registry(t), "[public.a]",
		fmt.Sprintf("snapshot: {pause: %s, workers: 1}\nlog: {level: debug}\n", pause)+withToken(t))
	read := newTopics(t, r)
	l := r.run(t)
	l.settled(t)
	read.until(l, "the first snapshot", countOf("public.a", rows))
	asker(t, r, l)(exitOK, "public.a", "--table", "public.a", "--where", slowly, "--detach")
	read.until(l, "a part of the snapshot", countOf("public.a", rows+1))
	admin.exec("INSERT INTO a VALUES (1000000)")
	read.until(l, "all rows", countOf("public.a", 2*rows))
	l.settled(t)
	l.stop(t)
	// The partition of the row from the stream, and what was read behind it there.
	streamed, behind := int32(-1), 0
	for _, r := range read.all() {
		switch {
		case r.op == "c":
			streamed = r.partition
		case r.op == "r" && r.partition == streamed:
			behind++
		}
	}
	if behind == 0 {
		t.Error("the row that was committed meanwhile came behind the whole snapshot")
	}
	// The rows take 3 s, whatever the machine: where the stream is held for all of them this is exceeded.
	holds, total := l.holds(t), time.Duration(0)
	for _, took := range holds {
		total += took
		if took > pause+time.Second {
			t.Errorf("the stream was held for %s, want about %s", took, pause)
		}
	}
	t.Logf("%d holds of %s together, %d rows behind the one from the stream", len(holds), total, behind)
	if len(holds) < 4 {
		t.Errorf("%d holds, want as many as fill 3 s", len(holds))
	}
}

// TestSnapshotCancelled cancels a requested snapshot while it reads, in the middle of a hold: the server's
// query ends, the stream goes on, and the next start does not take it up again.
func TestSnapshotCancelled(t *testing.T) {
	address := local.Database(t, local.Postgres(t))
	admin := dial(t, address)
	const rows = 10_000
	admin.exec(fmt.Sprintf("CREATE TABLE a (id int PRIMARY KEY); "+
		"INSERT INTO a SELECT generate_series(1, %d)", rows))
	r := newRig(t, address, local.Kafka(t), local.Registry(t), "[public.a]",
		"snapshot: {pause: 1h, workers: 2, resume_rows: 1000}\n"+withToken(t))
	read := newTopics(t, r)
	l := r.run(t)
	l.settled(t)
	read.until(l, "the first snapshot", countOf("public.a", rows))
	ask := asker(t, r, l)
	ask(exitOK, "public.a", "--table", "public.a", "--where", slowly, "--detach")
	reading := func() string {
		return admin.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
	}
	l.eventually(t, func() error {
		if reading() == "0" {
			return errors.New("the snapshot does not read")
		}
		return nil
	})
	ask(exitOK, "1 snapshots ended", "--cancel", "all")
	l.settled(t)
	l.eventually(t, func() error { // the rest would take minutes
		if n := reading(); n != "0" {
			return fmt.Errorf("%s sessions still read", n)
		}
		return nil
	})
	admin.exec("INSERT INTO a VALUES (1000000)")
	read.until(l, "a row of the stream", func(r topicRecord) bool { return r.key == "id=1000000" })
	l.stop(t)
	l = r.run(t)
	l.settled(t)
	admin.exec("INSERT INTO a VALUES (1000001)")
	read.until(l, "a row of the next start", func(r topicRecord) bool { return r.key == "id=1000001" })
	if n := reading(); n != "0" {
		t.Errorf("%s sessions read again what was cancelled", n)
	}
	l.stop(t)
	again := -rows
	for _, r := range read.all() {
		if r.op == "r" {
			again++
		}
	}
	if again > rows/10 {
		t.Errorf("%d rows came of a snapshot that was cancelled at its beginning", again)
	}
}
