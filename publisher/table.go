package publisher

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// cachedTables bounds how many compiled relations are kept; beyond it all are forgotten and those in use
// compiled again, which asks the registry for nothing.
const cachedTables = 20_000

// table is one version of one table, ready to be written.
type table struct {
	codec *schema.Codec
	topic *topic
	// keyPrefix and valuePrefix are the registry's 5 bytes; nil where there is no schema id.
	keyPrefix, valuePrefix []byte
	// gap is a key column that old rows do not hold, empty when they hold the whole key.
	gap   string
	stats *tableStats
}

// tableStats counts one table's changes over all its versions.
type tableStats struct {
	name, topic string
	counts      [len(operations)]uint64 // guarded by board.mu, as removed is
	removed     uint64                  // tombstones
	counters    [len(operations)]prometheus.Counter
	tombstones  prometheus.Counter
	unchanged   prometheus.Counter
}

// operations are the letters of the operations that are counted, in the order of tableStats.counts.
const operations = "rcudtm"

// operationIndex returns an operation's place in operations.
func operationIndex(op schema.Op) int {
	for i := range len(operations) {
		if operations[i] == byte(op) {
			return i
		}
	}
	panic(fmt.Sprintf("tributary: operation %q is none of %s", op, operations))
}

// tables finds the table of a relation. It belongs to the encoding goroutine.
type tables struct {
	o      *Options
	topics *topics
	status *board
	pulse  *pulse

	byRelation map[*schema.Relation]*table
	stats      map[string]*tableStats

	// The last one found, which most often is the next one.
	relation *schema.Relation
	table    *table
}

// known returns the table of a relation, nil when it has not been made.
func (t *tables) known(r *schema.Relation) *table {
	if r == t.relation {
		return t.table
	}
	found := t.byRelation[r]
	if found != nil {
		t.relation, t.table = r, found
	}
	return found
}

// of returns the table of a relation, made if it is not known.
func (t *tables) of(ctx context.Context, r *schema.Relation) (*table, error) {
	if found := t.known(r); found != nil {
		return found, nil
	}
	return t.make(ctx, r)
}

// make compiles a relation, waits for its schema ids, and makes its topic if it is missing.
func (t *tables) make(ctx context.Context, r *schema.Relation) (*table, error) {
	t.pulse.rest() // registry and brokers may take their time
	defer t.pulse.work()
	name := t.o.Topic(r.Namespace, r.Name)
	codec, err := schema.Compile(r, t.o.SchemaTopic(r.Namespace, r.Name), t.o.Schema)
	if err != nil {
		return nil, err
	}
	if columns := codec.Omitted(); len(columns) > 0 {
		t.o.Logger.Warn("columns left out, their types have no Debezium form", "table", r.String(), "columns",
			columns)
	}
	to, err := t.topics.ensure(ctx, name, r.String())
	if err != nil {
		return nil, err
	}
	made := &table{codec: codec, topic: to, gap: keyGap(r), stats: t.statsOf(r.String(), name)}
	if made.keyPrefix, err = t.prefix(ctx, name+"-key", codec.KeySchema()); err != nil {
		return nil, err
	}
	if made.valuePrefix, err = t.prefix(ctx, name+"-value", codec.ValueSchema()); err != nil {
		return nil, err
	}
	if len(t.byRelation) >= cachedTables {
		clear(t.byRelation)
	}
	t.byRelation[r] = made
	t.relation, t.table = r, made
	return made, nil
}

// prefix returns what stands before a datum: a zero byte and the schema's id; nil without a schema.
func (t *tables) prefix(ctx context.Context, subject, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	id, err := t.o.Register(ctx, subject, text)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), nil
}

// statsOf returns the counts of a table, or of what a topic beside the tables' holds.
func (t *tables) statsOf(name, topic string) *tableStats {
	if s := t.stats[name]; s != nil {
		return s
	}
	s := &tableStats{name: name, topic: topic}
	t.o.Metrics.bind(s)
	t.stats[name] = s
	t.status.track(s)
	return s
}

// keyGap returns the first key column that is not part of the replica identity.
func keyGap(r *schema.Relation) string {
	if r.Identity == schema.IdentityFull {
		return ""
	}
	for _, i := range r.Key {
		if !r.Columns[i].InIdentity {
			return r.Columns[i].Name
		}
	}
	return ""
}

// numbers numbers the changes of a transaction, all of them and by table.
type numbers struct {
	total  int64
	counts []TableCount
	index  map[string]int
	most   int // counts that a transaction had so far
}

// inOrder appends the counts in the order in which Debezium writes them: that of a Java hash table, which
// never shrinks.
func (n *numbers) inOrder(to []schema.CollectionCount) []schema.CollectionCount {
	n.most = max(n.most, len(n.counts))
	for _, c := range n.counts {
		to = append(to, schema.CollectionCount{Name: c.Table, Count: c.Count})
	}
	mask := schema.JavaBuckets(n.most) - 1
	slices.SortStableFunc(to, func(a, b schema.CollectionCount) int {
		return cmp.Compare(schema.JavaHash([]byte(a.Name))&mask, schema.JavaHash([]byte(b.Name))&mask)
	})
	return to
}

// reset begins a transaction; what counts holds has been numbered already.
func (n *numbers) reset(counts []TableCount) {
	n.total, n.counts = 0, append(n.counts[:0], counts...)
	if n.index == nil {
		n.index = make(map[string]int)
	}
	clear(n.index)
	for i, c := range n.counts {
		n.total += c.Count
		n.index[c.Table] = i
	}
}

// of returns how many changes of a table are numbered.
func (n *numbers) of(table string) int64 {
	if i, known := n.index[table]; known {
		return n.counts[i].Count
	}
	return 0
}

// add numbers so many more changes of a table.
func (n *numbers) add(table string, changes int64) {
	i, known := n.index[table]
	if !known {
		i = len(n.counts)
		n.counts = append(n.counts, TableCount{Table: table})
		n.index[table] = i
	}
	n.counts[i].Count += changes
	n.total += changes
}

// copied returns the counts in memory of their own, nil for none.
func (n *numbers) copied() []TableCount { return append([]TableCount(nil), n.counts...) }

// isSnapshot says that a transaction is a run of snapshot rows, or of a repair's deletes, which have no
// position in the stream.
func isSnapshot(t *decoder.Transaction) bool {
	return len(t.Changes) > 0 && (t.Changes[0].Op == schema.OpRead || t.Changes[0].Key != nil)
}

// isLone says that a transaction is a logical message outside of any.
func isLone(t *decoder.Transaction) bool {
	return len(t.Changes) == 1 && t.Changes[0].Op == schema.OpMessage && !t.Changes[0].Transactional
}
