package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tributary-cdc/tributary/schema"
)

// maxChronicled bounds how many errors and how many schema changes are kept: the latest.
const maxChronicled = 100

// statusProblem is an error that the pipeline met, told once however often it came. It holds no row data:
// errors do not.
type statusProblem struct {
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count int       `json:"count"`
	Code  string    `json:"code"` // of the catalogue
	Text  string    `json:"text"`
	Fix   string    `json:"fix"`
}

// statusChange is a change of a table's definition, as the stream met it.
type statusChange struct {
	Time  time.Time `json:"time"`
	Table string    `json:"table"`
	What  string    `json:"what"`
	// Subject and SchemaID are what the registry has since for the rows: empty until it was asked, and where it
	// had the schema already or none is written.
	Subject  string `json:"subject,omitempty"`
	SchemaID int    `json:"schema_id,omitempty"`
	turn     int    // of the chronicle
}

// registration is an id that the registry gave.
type registration struct {
	subject  string
	id, turn int
}

// chronicle remembers, over restarts of the pipeline in this process, what a person will ask about. The zero
// value is ready. Safe for concurrent use.
type chronicle struct {
	mu       sync.Mutex // guards all below
	problems []statusProblem
	changes  []statusChange
	counts   map[string]int              // changes of definition since the start, by schema.table
	known    map[string]*schema.Relation // by schema.table
	ids      map[string]int              // the registry's, by subject
	given    []registration              // the latest of them, in their order
	turn     int                         // counts definitions and registrations
	totals   map[string]tableCount       // of each table, for its rate
	met      map[string]codeCount        // by code
	last     map[string]time.Time        // when a table's count was seen to have grown
}

// tableCount is how many changes of a table there were at a moment, and how many a second before it.
type tableCount struct {
	at      time.Time
	total   int64
	rate    float64
	visible int64 // total of the status before
}

// codeCount is how often an error came, and when last.
type codeCount struct {
	count int
	last  time.Time
}

// rateSpan is the least time that a table's rate is taken over.
const rateSpan = 5 * time.Second

// counted takes a table's total, and returns whether it is another than before.
func (t *tableCount) counted(now time.Time, total int64) bool {
	changed := total != t.visible
	t.visible = total
	switch past := now.Sub(t.at); {
	case t.at.IsZero(), total < t.total: // the first, or a pipeline that began anew
		t.at, t.total, t.rate = now, total, 0
	case past >= rateSpan:
		t.rate = float64(total-t.total) / past.Seconds()
		t.at, t.total = now, total
	}
	return changed
}

// problem notes an error. The same text again only counts.
func (c *chronicle) problem(now time.Time, code, text, fix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.met == nil {
		c.met = map[string]codeCount{}
	}
	c.met[code] = codeCount{c.met[code].count + 1, now}
	p := statusProblem{First: now, Code: code, Text: text, Fix: fix}
	if i := slices.IndexFunc(c.problems, func(p statusProblem) bool { return p.Text == text }); i >= 0 {
		p = c.problems[i]
		c.problems = slices.Delete(c.problems, i, i+1)
	}
	p.Last = now
	p.Count++
	c.problems = append(c.problems, p)
	c.problems = c.problems[max(0, len(c.problems)-maxChronicled):]
}

// occurred is how often each error came since the start, by code.
func (c *chronicle) occurred() map[string]codeCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.met)
}

// definition notes how a table is defined from here on.
func (c *chronicle) definition(now time.Time, r *schema.Relation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known, c.counts = map[string]*schema.Relation{}, map[string]int{}
	}
	name := r.String()
	if old := c.known[name]; old != nil {
		if what := definitionChanges(old, r); what != "" {
			c.turn++
			c.changes = append(c.changes, statusChange{Time: now, Table: name, What: what, turn: c.turn})
			c.changes = c.changes[max(0, len(c.changes)-maxChronicled):]
			c.counts[name]++
		}
	}
	c.known[name] = r
}

// redefined is how often each table's definition has changed since the start.
func (c *chronicle) redefined() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// registered notes the id that a subject's latest schema has.
func (c *chronicle) registered(subject string, id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil {
		c.ids = map[string]int{}
	}
	c.ids[subject] = id
	c.turn++
	c.given = append(c.given, registration{subject, id, c.turn})
	c.given = c.given[max(0, len(c.given)-maxChronicled):]
}

// settle finds for each change of a definition the schema that the rows behind it have: the first that was
// registered for the table's topic after the change, and before the next one of that table.
func (c *chronicle) settle(tables []statusTable) {
	subjects, next := make(map[string]string, len(tables)), map[string]int{}
	for _, t := range tables {
		subjects[t.Table] = t.Topic + "-value"
	}
	for i := len(c.changes) - 1; i >= 0; i-- {
		change := &c.changes[i]
		until, superseded := next[change.Table]
		next[change.Table] = change.turn
		for _, g := range c.given {
			if change.SchemaID == 0 && g.subject == subjects[change.Table] && g.turn > change.turn &&
				(!superseded || g.turn < until) {
				change.Subject, change.SchemaID = g.subject, g.id
			}
		}
	}
}

// fill puts into a status what is remembered, the latest first.
func (c *chronicle) fill(s *status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Problems = append([]statusProblem{}, c.problems...)
	c.settle(s.Tables)
	s.SchemaChanges = append([]statusChange{}, c.changes...)
	slices.Reverse(s.Problems)
	slices.Reverse(s.SchemaChanges)
	if c.totals == nil {
		c.totals, c.last = map[string]tableCount{}, map[string]time.Time{}
	}
	for i := range s.Tables {
		t := &s.Tables[i]
		if r := c.known[t.Table]; r != nil {
			t.Identity = identityNames[r.Identity]
			for _, k := range r.Key {
				t.Key = append(t.Key, r.Columns[k].Name)
			}
		}
		t.KeySchema, t.ValueSchema = c.ids[t.Topic+"-key"], c.ids[t.Topic+"-value"]
		total := t.Read + t.Created + t.Updated + t.Deleted + t.Truncated
		before := c.totals[t.Table]
		if before.counted(s.Time, total) && total > 0 {
			c.last[t.Table] = s.Time
		}
		c.totals[t.Table], t.PerSecond = before, before.rate
		if at, seen := c.last[t.Table]; seen {
			t.LastSeen = &at
		}
	}
}

var identityNames = map[schema.Identity]string{
	schema.IdentityDefault: "default", schema.IdentityNothing: "nothing", schema.IdentityFull: "full",
	schema.IdentityIndex: "index",
}

// definitionChanges says in words how one definition of a table differs from the one before, "" if it does
// not. A renamed column cannot be told from one that was dropped and one that was added.
func definitionChanges(old, now *schema.Relation) string {
	var told []string
	before := map[string]schema.Column{}
	for _, c := range old.Columns {
		before[c.Name] = c
	}
	for _, c := range now.Columns {
		b, was := before[c.Name]
		delete(before, c.Name)
		switch {
		case !was:
			told = append(told, fmt.Sprintf("added %s %s", c.Name, c.Type.Name))
		case b.Type.OID != c.Type.OID:
			told = append(told, fmt.Sprintf("%s is %s, was %s", c.Name, c.Type.Name, b.Type.Name))
		case b.TypMod != c.TypMod:
			told = append(told, c.Name+" has another length or precision")
		case b.NotNull != c.NotNull:
			told = append(told, c.Name+map[bool]string{true: " is NOT NULL", false: " may be NULL"}[c.NotNull])
		case (b.Default == nil) != (c.Default == nil) || b.Default != nil && *b.Default != *c.Default:
			told = append(told, c.Name+" has another default")
		}
	}
	for _, c := range old.Columns {
		if _, gone := before[c.Name]; gone {
			told = append(told, "dropped "+c.Name)
		}
	}
	key := func(r *schema.Relation) string {
		var names []string
		for _, k := range r.Key {
			names = append(names, r.Columns[k].Name)
		}
		return strings.Join(names, ", ")
	}
	if key(old) != key(now) {
		told = append(told, fmt.Sprintf("the key is (%s), was (%s)", key(now), key(old)))
	}
	if old.Identity != now.Identity {
		told = append(told, "replica identity is "+identityNames[now.Identity])
	}
	return strings.Join(told, "; ")
}
