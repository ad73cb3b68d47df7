package publisher

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
)

// TestLatePosition has a position record of an instance in at-least-once mode arrive when its successor has
// stored others: the next start goes on behind what the successor has confirmed. One that is further than
// the successor's counts, as all before it was acknowledged.
func TestLatePosition(t *testing.T) {
	rig := newRig(t)
	rig.o.Mode = AtLeastOnce
	relation := relationOf("late")
	value := func() []byte {
		records := rig.read(rig.o.PositionTopic)
		return records[len(records)-1].Value
	}
	stream := newStory()
	publish := func(run string, id int) *Publisher {
		rig.o.Run = run
		return rig.must(stream.transaction(insert(relation, id, "v")).cut())
	}
	arrive := func(value []byte) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		client, err := kgo.NewClient(rig.o.Client...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		record := &kgo.Record{Topic: rig.o.PositionTopic, Key: []byte(rig.o.positionKey()), Value: value}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	publish("a", 1)
	first := value()
	publish("a", 2)
	confirmed := publish("b", 3).Confirmed()
	arrive(first)
	load := func(want decoder.LSN, run string) {
		t.Helper()
		stored, err := Load(t.Context(), rig.o.Client, rig.o.PositionTopic, rig.o.Pipeline, rig.o.Slot)
		if err != nil {
			t.Fatal(err)
		}
		if stored.Resume != want || stored.Run != run {
			t.Fatalf("the position is %s of run %s, want %s of run %s", stored.Resume, stored.Run, want, run)
		}
		server := Server{Identity: rig.o.Identity, Confirmed: confirmed, End: 1_000_000}
		if err := stored.Verify(server); err != nil {
			t.Fatalf("a start would stop: %v", err)
		}
	}
	load(confirmed, "b")
	third := publish("c", 4)
	if stored, _ := third.Stored(); stored.Resume != confirmed {
		t.Errorf("the third start goes on at %s, want %s", stored.Resume, confirmed)
	}
	load(third.Confirmed(), "c")
	further := *third.stored
	further.Resume, further.Run = third.Confirmed()+50, "b"
	text, err := further.marshal()
	if err != nil {
		t.Fatal(err)
	}
	arrive(text)
	load(further.Resume, "b")
	publish("c", 5)
	load(stream.last, "c")
	// What has no run, or none that can be read, is told by the one who reads the last.
	arrive([]byte(`{"version":7}`))
	if _, err := Load(t.Context(), rig.o.Client, rig.o.PositionTopic, rig.o.Pipeline, rig.o.Slot); err == nil {
		t.Error("a version that nobody knows was passed over")
	}
}
