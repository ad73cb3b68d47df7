package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// Debezium's signals, by the type that a row of the signal table has.
const (
	signalExecute = "execute-snapshot"
	signalStop    = "stop-snapshot"
	signalPause   = "pause-snapshot"
	signalResume  = "resume-snapshot"
	signalLog     = "log"
)

// signals tells the rows of the signal table from others.
type signals struct {
	table decoder.TableName
	// last is the relation that was looked at last, and whether it is the table's.
	last *schema.Relation
	is   bool
}

// isSignal says whether a relation is the signal table.
func (s *signals) isSignal(r *schema.Relation) bool {
	if r != s.last {
		s.last, s.is = r, r != nil && r.Namespace == s.table.Namespace && r.Name == s.table.Name
	}
	return s.is
}

// newSignals returns what knows the signal table, nil when there is none.
func newSignals(table string) *signals {
	namespace, name, found := strings.Cut(strings.ReplaceAll(table, `"`, ""), ".")
	if !found {
		return nil
	}
	return &signals{table: decoder.TableName{Namespace: namespace, Name: name}}
}

// signalData is the JSON of a signal's third column, as Debezium defines it.
type signalData struct {
	DataCollections []string `json:"data-collections"`
	Type            string   `json:"type"`
	Conditions      []struct {
		DataCollection string `json:"data-collection"`
		Filter         string `json:"filter"`
	} `json:"additional-conditions"`
	// Condition is the older form, for all collections.
	Condition string `json:"additional-condition"`
	Surrogate string `json:"surrogate-key"`
	Message   string `json:"message"`
}

// signal does what a row of the signal table asks for and says whether that is to be stored. What it cannot
// do is told in the log and passed over, as in Debezium: whoever writes into the table must not be able to
// stop the pipeline.
func (p *pipeline) signal(c *decoder.Change) bool {
	if len(c.New) < 3 {
		p.Log.Warn("signal passed over: the table needs the columns id, type and data",
			"table", c.Relation.String())
		return false
	}
	id, kind := string(c.New[0].Text), string(c.New[1].Text)
	var data signalData
	if text := c.New[2].Text; len(text) > 0 {
		if err := json.Unmarshal(text, &data); err != nil {
			p.Log.Warn("signal passed over: its data is not the JSON of a signal", "id", id, "type", kind)
			return false
		}
	}
	log := p.Log.With("id", id, "type", kind)
	switch kind {
	case signalExecute:
		j, err := p.signalled(id, data)
		if err == nil {
			err = p.jobs.add(j)
		}
		if err != nil {
			log.Warn("signal passed over", "err", err)
			return false
		}
		log.Info("snapshot asked for by a signal", "tables", data.DataCollections)
	case signalStop:
		n := p.stopSignalled(data)
		log.Info("snapshots ended by a signal", "snapshots", n)
	case signalPause, signalResume:
		p.jobs.pause(kind == signalPause)
		log.Info("snapshots paused or resumed by a signal")
	case signalLog:
		log.Info("signal", "message", data.Message)
		return false
	default:
		log.Warn("signal passed over: its type is not known")
		return false
	}
	return true
}

// signalled makes a job of a signal. Its collections are regular expressions on schema.table.
func (p *pipeline) signalled(id string, data signalData) (job, error) {
	j := job{ID: "signal-" + id, Kind: jobSignal, Asked: time.Now()}
	if len(data.DataCollections) == 0 {
		return j, fmt.Errorf("data-collections names no table")
	}
	if data.Surrogate != "" {
		return j, fmt.Errorf("surrogate-key is not known here: tables are read by a unique key, or whole")
	}
	switch strings.ToLower(data.Type) {
	case "", "incremental":
		j.Incremental = p.debezium()
	case "blocking":
	default:
		return j, fmt.Errorf("snapshot type %q is neither incremental nor blocking", data.Type)
	}
	for _, name := range data.DataCollections {
		pattern, err := collection(name)
		if err != nil {
			return j, err
		}
		j.Tables = append(j.Tables, pattern)
		if data.Condition != "" {
			j.Where = append(j.Where, condition{pattern, data.Condition})
		}
	}
	for _, c := range data.Conditions {
		pattern, err := collection(c.DataCollection)
		if err != nil {
			return j, err
		}
		j.Where = append(j.Where, condition{pattern, c.Filter})
	}
	return j, nil
}

// collection reads a regular expression on schema.table.
func collection(name string) (Pattern, error) {
	return parsePattern("/" + strings.ReplaceAll(strings.TrimSpace(name), `"`, "") + "/")
}

// stopSignalled ends the snapshots of the tables that a signal names, all of them when it names none.
func (p *pipeline) stopSignalled(data signalData) int {
	var named []Pattern
	for _, name := range data.DataCollections {
		if pattern, err := collection(name); err == nil {
			named = append(named, pattern)
		}
	}
	return p.jobs.cancel(func(j job) bool {
		if len(data.DataCollections) == 0 {
			return true
		}
		for _, t := range j.of(p.tables) {
			if matchAny(named, t.String()) {
				return true
			}
		}
		return false
	})
}
