// Package proxy is portero-stdio: one MCP server in front of many. A call's
// way through it, file by file:
//
//	front.go   a line from stdin: who is it for?
//	call.go    find the tool ▸ fake to real ▸ policy ▸ server ▸ real to fake ▸ leak gate
//	ask.go     policy wants a human: the call becomes a task, on disk, then told
//	own.go     Portero's own tools: call, check_task, list_tasks, cancel_task, search_tools
//	run.go     an approved task: claim ▸ same as shown? ▸ journal ▸ server ▸ journal
//	servers.go the child processes and their tools
//
// and back through front.go, the only place that writes to stdout. The
// packages below it each do one thing: mask rewrites, policy decides, catalog
// names, child speaks to a server, journal remembers, link talks to the relay.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"portero/proxy/catalog"
	"portero/proxy/journal"
	"portero/proxy/link"
	"portero/proxy/mask"
	"portero/proxy/policy"
)

// Server is one configured MCP server.
type Server struct {
	Name    string
	Command string
	Args    []string
	Env     map[string]string // added to a scrubbed environment
	Dir     string
	Scope   string // "machine" or "session"
}

// Relay is where and how to reach portero-relay.
type Relay struct {
	URL   string
	Token string
}

// Options configure a Proxy.
type Options struct {
	Machine      string // name that approvers see
	StateDir     string // must exist
	Separator    string // "/", "__" or "auto"
	Instructions string // for the client's model; "" = none
	Servers      []Server
	Hidden       func(tool string) bool
	Policy       *policy.Policy
	Table        *mask.Table
	ExpireAfter  time.Duration
	Relay        *Relay // nil: no relay, approvals stay queued
	Environ      []string
	Version      string
	Logger       *slog.Logger
}

// Proxy is one running portero-stdio. Use New, then Run, then nothing else.
type Proxy struct {
	opt      Options
	began    time.Time
	log      *slog.Logger
	journal  *journal.Journal
	words    *mask.Session // what was said in which spelling
	calls    *callLog
	catalog  *catalog.Catalog
	servers  map[string]*server
	settled  chan struct{} // closed when every server had its first outcome
	link     *link.Link    // nil without a relay
	front    *front
	wake     chan struct{} // holds one: the link or a server has come up
	runs     sync.WaitGroup
	mu       sync.Mutex
	running  map[string]bool // tasks that this process is executing
	listings map[string][]byte
	progress sync.Map // token of a call under way -> name of its server
}

// New opens the machine's state and prepares everything that Run starts.
func New(ctx context.Context, opt Options) (*Proxy, error) {
	p := &Proxy{opt: opt, words: opt.Table.Session(), began: time.Now(), log: opt.Logger, servers: map[string]*server{}, settled: make(chan struct{}),
		wake: make(chan struct{}, 1), running: map[string]bool{}, listings: map[string][]byte{}}
	var err error
	if p.journal, err = journal.Open(ctx, opt.StateDir); err != nil {
		return nil, err
	}
	if p.calls, err = openCallLog(opt.StateDir, p.journal.Proc()); err != nil {
		p.journal.Close()
		return nil, err
	}
	var order []string
	for _, s := range opt.Servers {
		order = append(order, s.Name)
	}
	p.catalog = catalog.New(order, opt.Hidden)
	for _, s := range opt.Servers {
		p.servers[s.Name] = p.newServer(s)
	}
	if opt.Relay != nil {
		p.link = link.New(link.Options{URL: opt.Relay.URL, Token: opt.Relay.Token, Machine: opt.Table.MaskText(opt.Machine),
			Version: opt.Version, Journal: p.journal, Logger: p.log, OnUp: p.nudge})
	}
	return p, nil
}

// Run serves one client on in and out until in ends or ctx does. It owns every
// goroutine and every child process of the proxy and leaves none behind.
func (p *Proxy) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	start := func(f func(context.Context)) {
		wg.Go(func() { f(ctx) })
	}
	p.front = newFront(p, out)
	for _, s := range p.servers {
		start(s.run)
	}
	start(p.settle)
	if p.link != nil {
		start(p.link.Run)
	}
	start(p.execute)
	err := p.front.serve(ctx, in)
	cancel()
	wg.Wait()
	p.runs.Wait()
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, p.calls.Close(), closing(p.journal.Close()))
}

func closing(err error) error {
	if err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}
