package main

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestRewind rewinds on the embedded server.
func TestRewind(t *testing.T) {
	rewindSteps(t, newReplayRig(t, local.Postgres(t), local.Kafka(t), replayJSON))
}

// TestRealRewind does so on each real server.
func TestRealRewind(t *testing.T) {
	brokers := local.RealKafka(t)
	for _, server := range local.RealPostgres(t) {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal("parse a server's URL")
		}
		t.Run(u.Host, func(t *testing.T) { rewindSteps(t, newReplayRig(t, server, brokers, replayJSON)) })
	}
}

// rewindSteps crashes a rewind behind each of its steps: run refuses until the same command has finished it,
// and then publishes everything behind the position once more.
func rewindSteps(t *testing.T, r *replayRig) {
	stop := r.begin()
	for range 6 {
		r.exec("INSERT INTO public.a SELECT coalesce(max(id), 0) + 1, 'x' FROM public.a",
			"INSERT INTO public.b SELECT coalesce(max(id), 0) + 1, 'x' FROM public.b")
	}
	r.flowed()
	stop()
	topicA, topicB := r.name+".public.a", r.name+".public.b"
	onceA, onceB := r.read(topicA), r.read(topicB)
	marks := ends(onceA, onceB)
	to := marks[4]
	output := r.must("rewind", "--to-lsn", to.String(), "--dry-run")
	if !strings.Contains(output, "nothing was changed") {
		t.Errorf("--dry-run says\n%s", output)
	}
	if code, output := r.command("rewind", "--to-lsn", to.String()); code != exitUsage ||
		!strings.Contains(output, "--yes does it without asking") {
		t.Errorf("nobody to ask: exit code %d:\n%s", code, output)
	}
	epoch := r.stored().Epoch
	steps := []rewindStep{"", rewindCopied, rewindStored, rewindDropped, rewindReplaced, rewindMoved}
	for _, step := range steps {
		r.crashRewind(step, to)
		switch step {
		case rewindStored, rewindDropped, rewindReplaced:
			code, output := r.command("run")
			if code != exitPerson || !strings.Contains(output, "tributary rewind --to-lsn "+to.String()) {
				t.Errorf("run behind step %q: exit code %d:\n%s", step, code, output)
			}
			if code, output := r.command("rewind", "--to-lsn", marks[5].String(), "--yes"); code != exitPerson {
				t.Errorf("another rewind behind step %q: exit code %d:\n%s", step, code, output)
			}
		}
		r.must("rewind", "--to-lsn", to.String(), "--yes")
		s, slot := r.stored(), r.slot(r.name)
		if slot == nil || slot.Confirmed != to || s.Resume != to || s.LastCommit != to || s.Rewind != nil {
			t.Fatalf("behind step %q: slot %+v, position %+v", step, slot, s)
		}
		if left := r.slot(decoder.SiblingName(r.name, rewindSuffix)); left != nil {
			t.Errorf("behind step %q: slot %s is left", step, left.Name)
		}
		if s.Epoch <= epoch {
			t.Errorf("behind step %q: epoch %d follows %d", step, s.Epoch, epoch)
		}
		epoch = s.Epoch
		// The next round begins where the pipeline has been before.
		r.again(len(between(onceA, to, 1<<63))+len(between(onceB, to, 1<<63)), topicA, topicB)
	}
	for topic, once := range map[string][]record{topicA: onceA, topicB: onceB} {
		want := between(once, to, 1<<63)
		got := between(r.read(topic), to, 1<<63)
		if len(want) == 0 || len(got) != 7*len(want) {
			t.Errorf("%s: %d records behind %s, want 7 times %d", topic, len(got), to, len(want))
		}
		for partition := range int32(3) {
			one, all := inPartition(want, partition), inPartition(got, partition)
			for n := 0; len(one) > 0 && n+len(one) <= len(all); n += len(one) {
				if !reflect.DeepEqual(one, all[n:n+len(one)]) {
					t.Errorf("%s partition %d: round %d differs", topic, partition, n/len(one))
				}
			}
		}
	}
}

func inPartition(all []record, partition int32) (some []record) {
	for _, one := range all {
		if one.partition == partition {
			some = append(some, one)
		}
	}
	return some
}

// crashRewind begins a rewind that dies behind a step; none is a rewind that is not begun.
func (r *replayRig) crashRewind(step rewindStep, to decoder.LSN) {
	r.t.Helper()
	if step == "" {
		return
	}
	w, err := openPast(r.t.Context(), r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	defer w.close()
	crash := errors.New("crashed")
	rewinder := &rewinder{past: w, done: func(s rewindStep) error {
		if s == step {
			return crash
		}
		return nil
	}}
	if err := rewinder.plan(r.t.Context(), point{lsn: to}); err != nil {
		r.t.Fatal(err)
	}
	if err := rewinder.run(r.t.Context()); !errors.Is(err, crash) {
		r.t.Fatalf("step %q: %v", step, err)
	}
}

// again runs the pipeline until it has published so many more records to the topics.
func (r *replayRig) again(more int, topics ...string) {
	r.t.Helper()
	count := func() (n int) {
		for _, topic := range topics {
			n += len(r.read(topic))
		}
		return n
	}
	want := count() + more
	stop := r.start()
	r.until("the past published again", func() bool { return count() >= want })
	stop()
}
