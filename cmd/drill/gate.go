package main

import (
	"net"
	"sync"
)

// gate passes connections on. While it is shut nothing comes through, in either direction, and no
// connection ends: so is a network whose packets are lost.
type gate struct {
	listen net.Listener
	to     string

	mu     sync.Mutex // guards what follows
	opened chan struct{}
	isOpen bool
	conns  map[net.Conn]bool
}

func openGate(to string) (*gate, error) {
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{listen: listen, to: to, opened: make(chan struct{}), isOpen: true, conns: map[net.Conn]bool{}}
	close(g.opened)
	go g.serve()
	return g, nil
}

func (g *gate) address() string { return g.listen.Addr().String() }

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isOpen {
		g.opened, g.isOpen = make(chan struct{}), false
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isOpen {
		close(g.opened)
		g.isOpen = true
	}
}

// wait returns once the gate is open.
func (g *gate) wait() {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	<-opened
}

// close ends everything.
func (g *gate) close() {
	g.listen.Close()
	g.open()
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.conns {
		conn.Close()
	}
}

func (g *gate) serve() {
	for {
		near, err := g.listen.Accept()
		if err != nil {
			return // closed
		}
		go g.pass(near)
	}
}

// pass serves one connection.
func (g *gate) pass(near net.Conn) {
	defer near.Close()
	g.wait()
	far, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer far.Close()
	g.mu.Lock()
	g.conns[near], g.conns[far] = true, true
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		g.copy(far, near)
		close(done)
	}()
	g.copy(near, far)
	<-done
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, near)
	delete(g.conns, far)
}

// copy moves bytes one way, and ends both ways at the end of this one.
func (g *gate) copy(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		g.wait()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	to.Close()
	from.Close()
}
