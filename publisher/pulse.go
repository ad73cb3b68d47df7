package publisher

import (
	"sync/atomic"
	"time"
)

// pulse tells for how long a goroutine has been at work without coming round to wait for something. Waiting,
// for Kafka or the registry or the next batch, may take any time; work may not.
type pulse struct{ since atomic.Int64 } // nanoseconds since 1970, 0 while it waits

func (p *pulse) work() { p.since.Store(time.Now().UnixNano()) }
func (p *pulse) rest() { p.since.Store(0) }

// working is how long the present work has taken; 0 while there is none.
func (p *pulse) working() time.Duration {
	since := p.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}
