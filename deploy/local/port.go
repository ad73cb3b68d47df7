package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
)

// The ports that FreePort draws from. They end below those that Linux gives to outgoing connections (32768
// and up, ip_local_port_range): thousands of these come and go in a test run, and one on a server's port
// keeps it from starting, or from starting again.
const firstPort, lastPort = 10_000, 32_767

// FreePort returns a port of 127.0.0.1 that nobody listens on, for a server that cannot choose its own.
// Another server may take it before its user does.
func FreePort() (int, error) {
	var errs []error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, listener.Close()
		}
		errs = append(errs, err)
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return 0, fmt.Errorf("find a free port of 127.0.0.1: %w", errors.Join(errs...))
}
