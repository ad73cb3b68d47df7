package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// renamer stands in front of a broker and puts another address in its place in all that it says of itself:
// clients connect to where the broker says that it is, and would go past the proxy otherwise. The cluster
// has one broker.
type renamer struct {
	listen net.Listener
	broker string

	mu    sync.Mutex // guards what follows
	host  string
	port  int32
	conns map[net.Conn]bool
	when  int32 // at which end of a transaction the connection is cut, 0 for none
	torn  chan struct{}
}

// Where the next end of a transaction is cut off.
const (
	tearAsked    int32 = 1 // the broker is not asked
	tearAnswered int32 = 2 // the broker is asked, and its answer is lost
)

// tear has the next request that ends a transaction fail; the channel is closed when it has.
func (r *renamer) tear(when int32) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.when, r.torn = when, make(chan struct{})
	return r.torn
}

// tears says whether a request or an answer that ends a transaction is to be lost.
func (r *renamer) tears(when int32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.when != when {
		return false
	}
	r.when = 0
	close(r.torn)
	return true
}

func openRenamer(broker string) (*renamer, error) {
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &renamer{listen: listen, broker: broker, conns: map[net.Conn]bool{}}
	go r.serve()
	return r, nil
}

func (r *renamer) address() string { return r.listen.Addr().String() }

// rename sets the address that clients are told.
func (r *renamer) rename(address string) {
	host, port, _ := net.SplitHostPort(address) // a listener's address has both
	number, _ := strconv.Atoi(port)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host, r.port = host, int32(number)
}

func (r *renamer) name() (string, int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.host, r.port
}

// close ends everything.
func (r *renamer) close() {
	r.listen.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		conn.Close()
	}
}

func (r *renamer) serve() {
	for {
		client, err := r.listen.Accept()
		if err != nil {
			return // closed
		}
		broker, err := net.Dial("tcp", r.broker)
		if err != nil {
			client.Close()
			continue
		}
		r.mu.Lock()
		r.conns[client], r.conns[broker] = true, true
		r.mu.Unlock()
		p := &passage{r: r, client: client, broker: broker, asked: map[int32]request{}}
		go p.requests()
		go p.responses()
	}
}

// request is what a response is decoded by.
type request struct{ key, version int16 }

// passage is one client's connection, and its broker's.
type passage struct {
	r              *renamer
	client, broker net.Conn

	mu    sync.Mutex        // guards asked
	asked map[int32]request // by correlation id
}

func (p *passage) close() {
	p.client.Close()
	p.broker.Close()
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	delete(p.r.conns, p.client)
	delete(p.r.conns, p.broker)
}

// frame reads one message of Kafka's protocol:
//
//	length 4 | message
func frame(from io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	message := make([]byte, 4+binary.BigEndian.Uint32(head[:]))
	copy(message, head[:])
	_, err := io.ReadFull(from, message[4:])
	return message, err
}

// requests passes on what the client says, and remembers what it asks for:
//
//	length 4 | key 2 | version 2 | correlation id 4 | ...
func (p *passage) requests() {
	defer p.close()
	for {
		message, err := frame(p.client)
		if err != nil {
			return
		}
		if len(message) >= 12 {
			asked := request{int16(binary.BigEndian.Uint16(message[4:])), int16(binary.BigEndian.Uint16(message[6:]))}
			ends := kmsg.Key(asked.key) == kmsg.EndTxn
			if ends && p.r.tears(tearAsked) {
				return
			}
			if ends || tellsAddress(asked.key) {
				p.mu.Lock()
				p.asked[int32(binary.BigEndian.Uint32(message[8:]))] = asked
				p.mu.Unlock()
			}
		}
		if _, err := p.broker.Write(message); err != nil {
			return
		}
	}
}

// tellsAddress says whether the answer to a request names brokers.
func tellsAddress(key int16) bool {
	k := kmsg.Key(key)
	return k == kmsg.Metadata || k == kmsg.FindCoordinator || k == kmsg.DescribeCluster
}

// responses passes on what the broker says, with the other address.
func (p *passage) responses() {
	defer p.close()
	for {
		message, err := frame(p.broker)
		if err != nil {
			return
		}
		if len(message) >= 8 {
			id := int32(binary.BigEndian.Uint32(message[4:]))
			p.mu.Lock()
			asked, found := p.asked[id]
			delete(p.asked, id)
			p.mu.Unlock()
			if found && kmsg.Key(asked.key) == kmsg.EndTxn {
				if p.r.tears(tearAnswered) {
					return
				}
			} else if found {
				if message, err = p.renamed(asked, message); err != nil {
					panic("drill: " + err.Error())
				}
			}
		}
		if _, err := p.client.Write(message); err != nil {
			return
		}
	}
}

// renamed decodes a response and encodes it with the other address:
//
//	length 4 | correlation id 4 | tags 1 (flexible versions) | body
func (p *passage) renamed(asked request, message []byte) ([]byte, error) {
	response := kmsg.ResponseForKey(asked.key)
	response.SetVersion(asked.version)
	head := 8
	if response.IsFlexible() {
		head++
	}
	if len(message) < head {
		return nil, errors.New("a response is too short")
	}
	if err := response.ReadFrom(message[head:]); err != nil {
		return nil, fmt.Errorf("read a response %d: %w", asked.key, err)
	}
	host, port := p.r.name()
	switch body := response.(type) {
	case *kmsg.MetadataResponse:
		for i := range body.Brokers {
			body.Brokers[i].Host, body.Brokers[i].Port = host, port
		}
	case *kmsg.FindCoordinatorResponse:
		body.Host, body.Port = host, port
		for i := range body.Coordinators {
			body.Coordinators[i].Host, body.Coordinators[i].Port = host, port
		}
	case *kmsg.DescribeClusterResponse:
		for i := range body.Brokers {
			body.Brokers[i].Host, body.Brokers[i].Port = host, port
		}
	}
	out := response.AppendTo(append([]byte(nil), message[:head]...))
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out, nil
}
