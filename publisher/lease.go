package publisher

import (
	"context"
	"net"

	"github.com/twmb/franz-go/pkg/kgo"
)

// dial is how connections are made.
type dial = func(ctx context.Context, network, address string) (net.Conn, error)

// leased returns options that have a client's connections refuse to write once MaySend says no. Without it
// a process that was stopped would, before it notices, send what its client holds: as a repetition, behind
// what the one who has the slot by then has written. like is a client whose way to connect, TLS included,
// is kept.
func leased(like *kgo.Client, may func() bool) []kgo.Opt {
	connect, _ := like.OptValue(kgo.Dialer).(dial)
	return []kgo.Opt{
		kgo.DialTLSConfig(nil), // the dialer has it
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := connect(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &leasedConn{Conn: conn, may: may}, nil
		}),
	}
}

// leasedConn is a connection that refuses to write without a lease.
type leasedConn struct {
	net.Conn
	may func() bool
}

// Write writes, or returns a *LeaseError.
func (c *leasedConn) Write(p []byte) (int, error) {
	if !c.may() {
		return 0, &LeaseError{}
	}
	return c.Conn.Write(p)
}
