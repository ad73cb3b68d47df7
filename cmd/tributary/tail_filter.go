package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
)

// operations are the words for what an envelope's op says.
var operations = map[string]string{
	"create": "c", "update": "u", "delete": "d", "read": "r", "truncate": "t", "message": "m",
}

// parse reads the flags that pflag does not.
func (o *tailOptions) parse(lsn string) (err error) {
	if lsn != "" {
		if o.lsn, err = parseLSN(lsn); err != nil {
			return fmt.Errorf("--from-lsn: %w", err)
		}
	}
	var known []string
	for word, letter := range operations {
		known = append(known, word, letter)
	}
	known = append(known, opTombstone)
	slices.Sort(known)
	words := splitList(o.op, true)
	for i, word := range words {
		if !slices.Contains(known, word) {
			return fmt.Errorf("--op %q: want create, update, delete, read, truncate, message, their first letters "+
				"or tombstone%s", word, didYouMean(word, known))
		}
		words[i] = textOr(operations[word], word)
	}
	o.op = strings.Join(words, ",")
	return nil
}

// sourceLSN is source.lsn: a number, which some forms write as text, or null.
type sourceLSN decoder.LSN

// UnmarshalJSON never fails: a value of another program may have another lsn.
func (l *sourceLSN) UnmarshalJSON(text []byte) error {
	var n uint64
	if _, err := fmt.Sscan(strings.Trim(string(text), `"`), &n); err == nil {
		*l = sourceLSN(n)
	}
	return nil
}

// startLSN finds where each partition comes to an LSN. Its records are in the order of their commits, and a
// transaction commits behind all of its changes: whatever follows a change at the LSN or later was committed
// later, wherever it was written.
type startLSN struct {
	lsn decoder.LSN // 0 for the beginning
	at  map[string]bool
}

// reached says whether a record is to be shown. One without an LSN, as a tombstone, is where the one before
// it is. What follows a commit at the LSN or later was committed later too, though it may have been written
// earlier.
func (f startLSN) reached(s shownRecord) bool {
	place := fmt.Sprint(s.Topic, "/", s.Partition)
	if s.lsn >= f.lsn || s.after >= f.lsn {
		f.at[place] = true
	}
	return f.at[place]
}

// keyMatches says whether a record's key is the one that a person means: column=value, the value of any of
// its columns, or a part of what is printed where that has a quotation mark or a brace.
func keyMatches(key json.RawMessage, text string) bool {
	if strings.ContainsAny(text, `"{`) {
		return strings.Contains(string(key), text)
	}
	names, values := fields(key)
	column, value, named := strings.Cut(text, "=")
	for _, name := range names {
		printed := strings.Trim(values[name], `"`)
		if printed == text || named && name == column && printed == value {
			return true
		}
	}
	return names == nil && strings.Trim(string(key), `"`) == text
}

// tailMargin is how long before a window was stored the records behind it may have been made.
const tailMargin = time.Hour

// beginAt finds where to begin reading for the changes from an LSN on: at the time of the last window that
// ends before it, as far back as the ledger tells, else at the beginning.
func beginAt(ctx context.Context, c Config, client []kgo.Opt, lsn decoder.LSN) (kgo.Offset, error) {
	var at time.Time
	err := publisher.History(ctx, client, c.Kafka.LedgerTopic, c.Pipeline, c.Source.Slot, time.Time{},
		func(l publisher.LedgerRecord) error {
			if l.Resume <= lsn && l.Written.After(at) {
				at = l.Written
			}
			return nil
		})
	switch {
	case err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition):
		return kgo.Offset{}, err
	case at.IsZero():
		return kgo.NewOffset().AtStart(), nil
	}
	return kgo.NewOffset().AfterMilli(at.Add(-tailMargin).UnixMilli()), nil
}
