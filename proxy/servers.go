package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"portero/proxy/child"
	"portero/proxy/mask"
	"portero/shared/rawjson"
)

// server is one child and what an approval is bound to about it.
type server struct {
	Server
	child  *child.Child
	launch []byte // digest of how it is launched
}

func (p *Proxy) newServer(s Server) *server {
	launch := sha256.New()
	// Environment names, not values: a rotated key is the same server.
	fmt.Fprintf(launch, "%q %q %q %q", s.Command, s.Args, s.Dir, slices.Sorted(maps.Keys(s.Env)))
	srv := &server{Server: s, launch: launch.Sum(nil)}
	srv.child = child.New(child.Options{
		Name: s.Name, Command: s.Command, Args: s.Args, Dir: s.Dir,
		Env:     child.Env(p.opt.Environ, s.Env),
		Version: p.opt.Version,
		Logger:  p.log,
		LogLine: p.opt.Table.MaskText,
		OnTools: func(defs []json.RawMessage) { p.setTools(s.Name, defs) },
		OnNotify: func(method string, params json.RawMessage) {
			p.notified(s.Name, method, params)
		},
		OnState: p.nudge,
	})
	return srv
}

func (s *server) run(ctx context.Context) {
	// Why it ended is in the log and in the errors of its calls; nobody else
	// is to suffer from it.
	_ = s.child.Run(ctx)
}

// settle waits for the first outcome of every server.
func (p *Proxy) settle(ctx context.Context) {
	for _, s := range p.servers {
		select {
		case <-s.child.Ready():
		case <-ctx.Done():
			return
		}
	}
	close(p.settled)
}

// listWithin is how long after the start a list waits for servers.
const listWithin = 5 * time.Second

// settledSoon waits until every server has come up or failed, but only in the
// first seconds of the process: a server that never answers must not slow
// every list.
func (p *Proxy) settledSoon(ctx context.Context) {
	wait := time.NewTimer(time.Until(p.began.Add(listWithin)))
	defer wait.Stop()
	select {
	case <-p.settled:
	case <-wait.C:
	case <-ctx.Done():
	}
}

func (p *Proxy) setTools(name string, defs []json.RawMessage) {
	changed, problems := p.catalog.Set(name, defs)
	for _, problem := range problems {
		p.log.Warn("tool definition", "server", name, "err", p.opt.Table.MaskText(problem))
	}
	if !changed {
		return
	}
	p.mu.Lock()
	clear(p.listings)
	p.mu.Unlock()
	p.front.listChanged()
}

// notified passes on what a server says unasked. Progress belongs to a call of
// the client to that very server; everything else is for the log at most.
func (p *Proxy) notified(name, method string, params json.RawMessage) {
	if method != "notifications/progress" {
		p.log.Debug("notification", "server", name, "method", p.opt.Table.MaskText(method))
		return
	}
	raw, _ := rawjson.Get(params, "progressToken")
	if server, ok := p.progress.Load(token(raw)); !ok || server != name {
		p.log.Debug("progress of no call", "server", name)
		return
	}
	params, err := p.outward(params, mask.Result, name)
	if err != nil {
		p.log.Error("notification withheld", "server", name, "err", err)
		return
	}
	line := append([]byte(`{"jsonrpc":"2.0","method":"notifications/progress","params":`), params...)
	p.front.write(append(line, '}'))
}

// expectProgress lets a server report progress under the token in a call's
// _meta, if there is one, until the function it returns is called.
func (p *Proxy) expectProgress(meta []byte, server string) (done func()) {
	raw, ok := rawjson.Get(meta, "progressToken")
	if !ok {
		return func() {}
	}
	t := token(raw)
	p.progress.Store(t, server)
	return func() { p.progress.CompareAndDelete(t, server) }
}

// token is a progress token as it compares: strings by their text.
func token(raw []byte) string {
	if text, err := rawjson.Unquote(raw); err == nil {
		return `"` + text
	}
	return string(raw)
}

// outward turns a raw JSON value into what the client may see (real to fake),
// or refuses it: the leak gate. server is whose words they are, "" for Portero's
// own.
func (p *Proxy) outward(raw []byte, kind mask.Kind, server string) ([]byte, error) {
	masked, err := p.words.Mask(raw, kind, server)
	if err != nil {
		return nil, fmt.Errorf("withheld: anonymize: %w", err)
	}
	return masked.JSON, p.gate(masked.JSON, kind)
}

func (p *Proxy) gate(raw []byte, kind mask.Kind) error {
	if label, found := p.opt.Table.Leak(raw, kind); found {
		p.log.Error("leak gate: message withheld", "value", label)
		return &leakError{label}
	}
	return nil
}

// leakError says which replacement's real value was about to get out.
type leakError struct{ label string }

func (e *leakError) Error() string {
	return "withheld: the real value of the " + e.label + " was still in it"
}

// noResult is an empty object when a server answered with nothing at all.
func noResult(raw []byte) []byte {
	if len(raw) == 0 || rawjson.Valid(raw) != nil {
		return []byte(`{"content":[]}`)
	}
	return raw
}
