package decoder

import (
	"time"

	"golang.org/x/sys/unix"
)

// setLowWater has a waiting read return only when bytes have come; 1 is the kernel's default. It is best
// effort: without it reads are smaller.
func (s *socket) setLowWater(bytes int) {
	s.control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
	})
}

// setUserTimeout ends the connection when what was sent is not acknowledged for d, instead of a quarter of
// an hour.
func (s *socket) setUserTimeout(d time.Duration) {
	s.control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

// answered returns when the other end last acknowledged what we sent, the zero time when that is unknown, and
// whether it has closed the connection, which an unread connection would not notice.
func (s *socket) answered(now time.Time) (at time.Time, closed bool) {
	s.control(func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return err
		}
		at = now.Add(-time.Duration(info.Last_ack_recv) * time.Millisecond)
		closed = info.State != unix.BPF_TCP_ESTABLISHED
		return nil
	})
	return at, closed
}

// control runs f on the descriptor; what f refuses is left as it was.
func (s *socket) control(f func(fd int) error) {
	if s.raw == nil {
		return
	}
	var refused error
	if err := s.raw.Control(func(fd uintptr) { refused = f(int(fd)) }); err != nil || refused != nil {
		return
	}
}
