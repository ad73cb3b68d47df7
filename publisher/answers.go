package publisher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// answers is the Kafka client's log. Of all that it tells two things are kept: that it aborts what was to
// be committed, and what a broker answers to a batch that is then sent again. The client does that for as
// long as it takes, and tells it nobody else; a person must know why nothing moves. Its words are no
// promise of the library's: TestRefusedForNow and TestAbortedInsteadOfCommitted fail where another version
// has others.
type answers struct {
	board   *board
	aborted *atomic.Bool // Publisher.aborted
}

// againAfter is how long records must have waited for the client to be asked why: leaders that move, and
// topics that are new, are refused for a moment every day.
const againAfter = 3 * time.Second

// abortsInstead begins the line that tells that a transaction which was to be committed is aborted.
const abortsInstead = "no produce succeeded in this transaction"

// errAborted is the end of a transaction that the client aborted by itself and gave no error for.
var errAborted = errors.New("the client knew of no record in the transaction and aborted it")

// commit ends the transaction. The client gives no error where it aborts one of which it believes that no
// record arrived; what it then tells its log is an error here.
func (p *Publisher) commit(ctx context.Context) error {
	p.aborted.Store(false)
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	if p.aborted.Load() {
		return errAborted
	}
	return nil
}

// Level has the client tell each answer while records wait, and otherwise what it does of itself.
func (a answers) Level() kgo.LogLevel {
	a.board.mu.Lock()
	defer a.board.mu.Unlock()
	if len(a.board.flying) == 0 || time.Since(a.board.flying[0].since) < againAfter {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelDebug
}

// Log looks for the line that tells what became of each batch, such as
// orders[0{retrying@-1,3(NOT_ENOUGH_REPLICAS: ...)}].
func (a answers) Log(_ kgo.LogLevel, line string, pairs ...any) {
	if strings.HasPrefix(line, abortsInstead) {
		a.aborted.Store(true)
	}
	for i := 0; line == "produced" && i+1 < len(pairs); i += 2 {
		if text, ok := pairs[i+1].(string); ok && pairs[i] == "to" {
			a.board.again(retried(text))
		}
	}
}

// retried finds the answer in the client's line, nil when no batch was refused for now.
func retried(text string) error {
	for _, one := range kafkaCodes {
		at := strings.Index(text, "("+one.err.Message+":")
		if at < 0 || !one.err.Retriable || !strings.Contains(text[:at], "retrying@") {
			continue
		}
		topic, _, _ := strings.Cut(text[:at], "[")
		if i := strings.LastIndex(topic, ", "); i >= 0 {
			topic = topic[i+2:]
		}
		return fmt.Errorf("publish to topic %s: Kafka refuses for now, and is asked again: %w", topic, one.err)
	}
	return nil
}

// again notes why records are sent again. What is delivered ends it.
func (b *board) again(why error) {
	if why == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Again = why
}
