package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestLookers runs a pipeline and looks at it by the commands that only look: topics, tail, status --watch.
func TestLookers(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.change("[public.orders, public.idle]", "")
	b.exec("CREATE TABLE public.idle (id int PRIMARY KEY); ALTER TABLE public.orders REPLICA IDENTITY FULL")
	b.write(t, "")
	ask := func(args ...string) string {
		t.Helper()
		code, out, errs := execute(t, &program{}, append(args, "-c", b.file)...)
		if code != exitOK {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
		return out
	}
	if before := ask("topics"); !strings.Contains(before, "not there") {
		t.Errorf("before the first run:\n%s", before)
	}
	l := b.rig.run(t)
	l.reach(t, stateStreaming)
	lsn := b.value("SELECT pg_current_wal_insert_lsn()")
	b.exec("UPDATE public.orders SET v = 'new' WHERE id = 2; DELETE FROM public.orders WHERE id = 3")
	out := ask("tail", "--from-lsn", lsn, "-n", "3")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	want := []string{
		`u  public.orders  {"id":2}  v: "order 2" -> "new"  @ `, `d  public.orders  {"id":3}`,
		`tombstone  public.orders  {"id":3}`,
	}
	for _, part := range want { // of several partitions, which have no order among them
		if !strings.Contains(out, part) || len(lines) != len(want) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	if out := ask("tail", "--from-beginning", "--key", "id=2", "--op", "read,update", "-n", "2", "--json",
		"--table", "public.orders"); strings.Count(out, `"key":{"id":2}`) != 2 {
		t.Errorf("by key and operation:\n%s", out)
	}
	var topics []shownTopic
	if err := json.Unmarshal([]byte(ask("topics", "--json")), &topics); err != nil {
		t.Fatal(err)
	}
	found := map[string]shownTopic{}
	for _, topic := range topics {
		found[topic.Table] = topic
	}
	// Three rows, an update, a delete with its tombstone: the markers of transactions count as offsets too.
	if o := found["public.orders"]; !o.Exists || o.Offsets < 6 || len(o.Partitions) != 3 ||
		o.Topic != b.prefix+".public.orders" || o.Subjects[1] != o.Topic+"-value" {
		t.Errorf("topic of the orders: %+v", o)
	}
	if p := found["(positions)"]; !p.Exists || p.Cleanup != "compact" || p.Topic != b.prefix+".positions" {
		t.Errorf("topic of positions: %+v", p)
	}
	if text := ask("topics", "--partitions"); !strings.Contains(text, "  partition 2: offsets 0 to ") {
		t.Errorf("partitions:\n%s", text)
	}
	watched(t, l)
	l.stop(t)
}

// watched follows a status until its second line, and ends as Ctrl-C does.
func watched(t *testing.T, l *life) {
	_, rest, _ := strings.Cut(l.log.String(), `"address":"http://`)
	address, _, _ := strings.Cut(rest, `"`)
	out, signals := &lockedBuffer{}, make(chan os.Signal, 1)
	p := &program{stdout: out, stderr: out, signals: signals}
	ended := make(chan int)
	go func() {
		ended <- p.execute(t.Context(), []string{"status", "--watch", "--addr", address, "--interval", "100ms"})
	}()
	l.eventually(t, func() error {
		if strings.Count(out.String(), "  STREAMING  ") < 2 {
			return fmt.Errorf("watched so far: %s", out.String())
		}
		return nil
	})
	signals <- syscall.SIGINT
	if code := <-ended; code != exitOK {
		t.Errorf("after Ctrl-C: exit code %d: %s", code, out.String())
	}
}

// TestWatchForms: a terminal is redrawn in place, JSON is one line, and silence is told.
func TestWatchForms(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(fixedStatus()); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	ask := func(v watch) string {
		t.Helper()
		v.w = io.Discard
		text, err := v.ask(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := ask(watch{address: address, terminal: true})
	if !strings.HasPrefix(text, "\x1b[H") || strings.Contains(text, "\x1b[2J") ||
		!strings.HasSuffix(text, "\x1b[J") ||
		!strings.Contains(text, "slot tri is lost") {
		t.Errorf("terminal: %q", text)
	}
	if text := ask(watch{address: address, asJSON: true}); strings.Count(text, "\n") != 1 ||
		!json.Valid([]byte(text)) {
		t.Errorf("JSON: %q", text)
	}
	if text := ask(watch{address: "127.0.0.1:1"}); !strings.Contains(text, "nothing answers at 127.0.0.1:1") {
		t.Errorf("silence: %q", text)
	}
	if text := ask(watch{address: "127.0.0.1:1", asJSON: true}); !json.Valid([]byte(text)) {
		t.Errorf("silence as JSON: %q", text)
	}
}

// TestConvert holds the forms of LSNs against the server's own.
func TestConvert(t *testing.T) {
	source := dial(t, local.Database(t, local.Postgres(t)))
	segment := source.value("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")
	timeline, err := strconv.ParseUint(source.value("SELECT timeline_id FROM pg_control_checkpoint()"), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := parseBytes(segment)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"0/16B3748", "23900000", "1/0", "A3/FFFFFFFF", "FF/1000000"}
	list, err := lsnForms(texts, uint32(timeline), bytes)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range list {
		row := source.rows("SELECT file_name, file_offset, pg_lsn '" + one.LSN + "' - '0/0' FROM " +
			"pg_walfile_name_offset('" + one.LSN + "')")[0]
		if got := []string{one.File, fmt.Sprint(one.Offset), fmt.Sprint(one.Decimal)}; got[0] != row[0] ||
			got[1] != row[1] || got[2] != row[2] {
			t.Errorf("%s: got %v, the server says %v", texts[i], got, row)
		}
		if i == 0 {
			continue
		}
		far := source.value("SELECT pg_lsn '" + one.LSN + "' - '" + list[i-1].LSN + "'")
		if fmt.Sprint(*one.Distance) != far {
			t.Errorf("%s: distance %d, want %s", one.LSN, *one.Distance, far)
		}
	}
	var b strings.Builder
	if err := writeLSNs(&b, list[:2]); err != nil || !strings.Contains(b.String(),
		"96,280 bytes (94.0 KiB) later") {
		t.Errorf("%v:\n%s", err, b.String())
	}
	for _, wrong := range []string{
		"positions --convert 0/0", "positions --convert x", "positions --convert 0/1 --wal-segment-size 3MiB",
		"positions --convert 0/1 --lsn 0/1",
	} {
		if code, _, _ := execute(t, &program{}, strings.Fields(wrong)...); code != exitUsage {
			t.Errorf("%s: exit code %d", wrong, code)
		}
	}
}
