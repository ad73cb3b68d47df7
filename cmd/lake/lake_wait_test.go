package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWithin: a server that takes its time is waited for, with a word every half minute, and one that ended
// or never comes is not.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &lake{out: &out}
		began := time.Now()
		starting := func() error {
			if time.Since(began) < 4*time.Minute {
				return errors.New("connection refused")
			}
			return nil
		}
		if err := l.within(t.Context(), startPatience, "an answer of connect", starting); err != nil {
			t.Error(err)
		}
		const line = "waiting for an answer of connect, 30s of at most 10m0s: connection refused"
		if told := strings.Count(out.String(), "waiting for"); told < 7 || told > 8 ||
			!strings.Contains(out.String(), line) {
			t.Errorf("told %d times:\n%s", told, out.String())
		}
		never := func() error { return errors.New("nothing") }
		err := l.until(t.Context(), "objects", never)
		if err == nil || !strings.Contains(err.Error(), "after 3m0s") {
			t.Errorf("gave up with %v", err)
		}
		ended := errors.New("it ended")
		before := time.Now()
		err = l.within(t.Context(), startPatience, "an answer", func() error { return stop{ended} })
		if !errors.Is(err, ended) || time.Since(before) > 0 {
			t.Errorf("an end was waited for: %v after %s", err, time.Since(before))
		}
	})
}
