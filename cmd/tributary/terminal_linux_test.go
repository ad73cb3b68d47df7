package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal opens a terminal of the test's own, and the side that a person would sit at.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	return master, terminal
}

// TestNoColor: a terminal gets colours unless NO_COLOR says otherwise, and nothing else does.
func TestNoColor(t *testing.T) {
	master, terminal := openTerminal(t)
	defer master.Close()
	defer terminal.Close()
	for _, test := range []struct {
		to      io.Writer
		environ []string
		want    bool
	}{
		{terminal, []string{"TERM=xterm"}, true},
		{terminal, []string{"TERM=xterm", "NO_COLOR=1"}, false},
		{terminal, []string{"TERM=dumb"}, false},
		{&bytes.Buffer{}, []string{"TERM=xterm"}, false},
	} {
		if got := (&program{environ: test.environ}).wantsColor(test.to); got != test.want {
			t.Errorf("%v to %T: %t", test.environ, test.to, got)
		}
	}
}
