package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// links are the three ways out of tributary. Each goes through a gate, which can stand still, and then
// through a proxy of toxiproxy, which can do worse:
//
//	tributary -> gate -> toxiproxy -> what is in front of the server, if anything -> server
type links struct {
	server   *toxiproxy.ApiServer
	gates    map[string]*gate
	proxies  map[string]*toxiproxy.Proxy
	registry *moody
	broker   *renamer
	closers  []func()
}

// linkNames is the order in which they are drawn.
var linkNames = []string{"postgres", "kafka", "registry"}

// openLinks starts the proxies in front of the servers.
func openLinks(postgres, kafka, registry string) (l *links, err error) {
	zerolog.SetGlobalLevel(zerolog.Disabled)
	l = &links{
		server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		gates:  map[string]*gate{}, proxies: map[string]*toxiproxy.Proxy{},
	}
	address, err := url.Parse(postgres)
	if err != nil {
		return l, fmt.Errorf("read the address of Postgres: %w", err)
	}
	if l.registry, err = openMoody(registry); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.registry.close)
	if l.broker, err = openRenamer(kafka); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.broker.close)
	upstreams := map[string]string{
		"postgres": address.Host, "kafka": l.broker.address(),
		"registry": l.registry.address(),
	}
	for _, name := range linkNames {
		port, err := local.FreePort() // it is closed and opened again
		if err != nil {
			return l, err
		}
		if err := l.renew(name, fmt.Sprintf("127.0.0.1:%d", port), upstreams[name]); err != nil {
			return l, err
		}
		l.closers = append(l.closers, func() { l.proxies[name].Stop() })
		if l.gates[name], err = openGate(l.proxies[name].Listen); err != nil {
			return l, err
		}
		l.closers = append(l.closers, l.gates[name].close)
	}
	l.broker.rename(l.at("kafka"))
	return l, nil
}

func (l *links) close() {
	for _, f := range l.closers {
		f()
	}
}

// renew makes the proxy of a link, free of toxins.
func (l *links) renew(name, listen, upstream string, toxins ...string) error {
	proxy := toxiproxy.NewProxy(l.server, name, listen, upstream)
	for _, toxin := range toxins {
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxin)); err != nil {
			return fmt.Errorf("put %s on the link to %s: %w", toxin, name, err)
		}
	}
	if err := proxy.Start(); err != nil {
		return fmt.Errorf("start the proxy of %s: %w", name, err)
	}
	l.proxies[name] = proxy
	return nil
}

// move has a link lead to another server, and ends its connections.
func (l *links) move(name, upstream string) error {
	healthy := l.proxies[name]
	healthy.Stop()
	return l.renew(name, healthy.Listen, upstream)
}

// at returns where a link is entered.
func (l *links) at(name string) string { return l.gates[name].address() }

// cut ends every connection of a link and lets nobody in for a while.
func (l *links) cut(ctx context.Context, name string, d time.Duration) error {
	return l.toxin(ctx, name, "", nil, d)
}

// toxin lets a link fail in one of toxiproxy's ways, in both directions, for a while. Connections are cut
// before and after: toxiproxy adds and removes a toxin only when everybody reads, and a stream that is held
// does not.
func (l *links) toxin(ctx context.Context, name, kind string, attributes map[string]int,
	d time.Duration,
) error {
	healthy := l.proxies[name]
	healthy.Stop()
	if kind == "" {
		pause(ctx, d)
		return l.renew(name, healthy.Listen, healthy.Upstream)
	}
	var toxins []string
	for _, direction := range []string{"upstream", "downstream"} {
		body, err := json.Marshal(struct {
			Name       string         `json:"name"`
			Type       string         `json:"type"`
			Stream     string         `json:"stream"`
			Attributes map[string]int `json:"attributes"`
		}{kind + direction, kind, direction, attributes})
		if err != nil {
			return err
		}
		toxins = append(toxins, string(body))
	}
	if err := l.renew(name, healthy.Listen, healthy.Upstream, toxins...); err != nil {
		return err
	}
	pause(ctx, d)
	now := l.proxies[name] // a server may have been promoted meanwhile
	now.Stop()
	return l.renew(name, now.Listen, now.Upstream)
}

// moody is a registry in front of the registry: it can answer 500, or late.
type moody struct {
	server *http.Server
	listen net.Listener
	mood   atomic.Int32 // 0 passes on, a status is answered, slow waits first
}

// slow is the mood of one that answers after seconds.
const slow = -1

func openMoody(registry string) (*moody, error) {
	target, err := url.Parse(registry)
	if err != nil {
		return nil, fmt.Errorf("read the registry's address: %w", err)
	}
	m := &moody{}
	if m.listen, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
		w.WriteHeader(http.StatusBadGateway)
	}
	m.server = &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch mood := m.mood.Load(); mood {
			case 0:
			case slow:
				pause(r.Context(), 3*time.Second)
			default:
				w.WriteHeader(int(mood))
				return
			}
			pass.ServeHTTP(w, r)
		}),
	}
	go func() {
		if err := m.server.Serve(m.listen); !errors.Is(err, http.ErrServerClosed) {
			panic("drill: the registry's front ended: " + err.Error())
		}
	}()
	return m, nil
}

func (m *moody) address() string { return m.listen.Addr().String() }

func (m *moody) close() { _ = m.server.Close() } // nothing is lost with it
