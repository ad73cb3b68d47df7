package decoder

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// framerName is what an ordinary connection keeps its framer under.
const framerName = "tributary framer"

// framer stands between a connection and pgconn, follows the server's messages and stops before a heavy one:
// pgconn takes memory for all of a message as soon as it has seen the header. It belongs to whoever reads the
// connection.
type framer struct {
	r io.Reader
	// before is asked before the header of a heavy message is handed out whole; nil asks nobody.
	before func(bytes int) error

	head [5]byte // of the message that has begun
	seen int     // how much of it was handed out
	rest int     // what follows in the message
	held []byte  // read and not yet handed out
}

// Read hands out what comes, up to a heavy message.
//
//	kind 1 | length 4, itself included | body
func (f *framer) Read(p []byte) (int, error) {
	var n int
	var err error
	if len(f.held) > 0 {
		n = copy(p, f.held)
		f.held = f.held[n:]
	} else if n, err = f.r.Read(p); n == 0 {
		return 0, err
	}
	for at := 0; at < n; {
		if f.rest > 0 {
			step := min(f.rest, n-at)
			f.rest, at = f.rest-step, at+step
			continue
		}
		f.head[f.seen] = p[at]
		if f.seen+1 < len(f.head) {
			f.seen, at = f.seen+1, at+1
			continue
		}
		length := int(binary.BigEndian.Uint32(f.head[1:]))
		if f.before != nil && Heavy(length) {
			if at > 0 {
				// The last byte of the header waits, with what came behind it.
				f.held = append(append([]byte(nil), p[at:n]...), f.held...)
				return at, nil // an error comes again
			}
			if err := f.before(length); err != nil {
				return 0, err
			}
		}
		f.seen, f.rest, at = 0, max(length-4, 0), at+1
	}
	return n, err
}

// frame has a configuration's connections framed.
func frame(config *pgconn.Config) {
	var last *framer
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		last = &framer{r: r}
		return pgproto3.NewFrontend(last, w)
	}
	after := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[framerName] = last
		return after(ctx, conn)
	}
}

// BeforeHeavy has f asked, by whoever reads the connection, before a heavy message takes memory: an error
// breaks the connection. conn must be an ordinary one that Connect made, with nothing on its way.
func BeforeHeavy(conn *pgconn.PgConn, f func(bytes int) error) {
	if framed, ok := conn.CustomData()[framerName].(*framer); ok {
		framed.before = f
	}
}
