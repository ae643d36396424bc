// Package child runs one MCP server as a child process over stdio and moves
// raw JSON to and from it.
//
// A Child owns its process: Run starts it, shakes hands, lists its tools,
// restarts it when it ends, and leaves no process of its group behind. Call
// sends one request and returns the raw result or error. Nothing a child does
// reaches further than its own calls: it may write junk, flood, hang, stop
// reading, answer with too much or die, and those calls fail with a CallError
// that says why and whether the request can have been acted upon.
//
// One process is one session, with these goroutines, all waited for before
// Run starts the next one or returns:
//
//	hold   keeps the OS thread that forked, waits for the process, reaps it
//	read   reads stdout: notifications and replies in the order of the wire
//	write  writes stdin from a bounded queue, the only one that may block on it
//	drain  reads stderr into the log, keeps the last lines
//	keep   shakes hands, then lists the tools again after each list_changed
//
// The states:
//
//	starting ──> ready ──> backoff ──> starting ...
//	    └───────────────────^             every state ──> stopped, at Run's end
package child

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Options says what to run and who hears of it. Callbacks must not block and
// must not call the Child's Call; they are called from its goroutines.
type Options struct {
	// Name is the child's name in logs and errors.
	Name string
	// Command is a path, or a name looked up in the PATH of Env. Relative
	// entries of PATH are passed over; a relative path starts at Dir.
	Command string
	// Args are the arguments after the command.
	Args []string
	// Env is the complete environment, K=V; nil is an empty one. See Env.
	Env []string
	// Dir is the working directory; empty is Portero's own.
	Dir string
	// MaxMessage is the longest line accepted from the child in bytes;
	// 0 is 64 MiB.
	MaxMessage int
	// StartTimeout bounds initialize and tools/list together; 0 is 60 s.
	StartTimeout time.Duration
	// Version is Portero's version in clientInfo.
	Version string
	// Logger receives the child's life and what it writes to stderr; nil
	// discards it.
	Logger *slog.Logger
	// LogLine anonymizes a line the child wrote before it is logged, kept or
	// quoted in an error. It is called by several goroutines at once. nil
	// leaves lines as they are.
	LogLine func(line string) string
	// OnTools receives the complete list of tools, as the child defined them,
	// after each start and after each change, never twice at the same time.
	// The child is ready only when it has returned.
	OnTools func(tools []json.RawMessage)
	// OnNotify receives the child's notifications in the order of the wire,
	// each before any reply that came after it. tools/list_changed is not
	// among them: OnTools tells its outcome. params may be kept, and is nil
	// when the child sent none.
	OnNotify func(method string, params json.RawMessage)
	// OnState is called after each change of Status.
	OnState func()
}

// State is where a Child stands.
type State string

// The states of a Child; Starting is also the one before Run.
const (
	Starting State = "starting" // the process runs or is about to; calls wait
	Ready    State = "ready"    // calls are sent
	Backoff  State = "backoff"  // waiting to start again; calls fail at once
	Stopped  State = "stopped"  // Run has returned; calls fail at once
)

// Status is a Child's state at one moment.
type Status struct {
	State State
	// Err is why the last process is not there; nil when ready.
	Err error
	// Restarts counts the starts after the first one.
	Restarts int
	// PID is that of the running process and of its group; 0 without one.
	PID int
}

// timing holds the durations a user cannot set.
type timing struct {
	backoffMin, backoffMax time.Duration
	stable                 time.Duration // ready this long, the backoff starts anew
	stall                  time.Duration // a write without progress this long ends the session
	settle                 time.Duration // for the exit status of a child that has closed its files
	grace                  time.Duration // between SIGTERM and SIGKILL
	closing                time.Duration // after SIGKILL, for all that was inherited to be gone
	refetch                time.Duration // least time between two answers to list_changed
}

var defaults = timing{
	backoffMin: 500 * time.Millisecond,
	backoffMax: 30 * time.Second,
	stable:     60 * time.Second,
	stall:      10 * time.Second,
	settle:     100 * time.Millisecond,
	grace:      120 * time.Millisecond,
	closing:    100 * time.Millisecond,
	refetch:    250 * time.Millisecond,
}

// Child is one MCP server kept running. Its methods may be called by any
// goroutine at any time.
type Child struct {
	opt    Options
	log    *slog.Logger
	timing timing

	first     chan struct{} // closed at the first outcome
	firstOnce sync.Once

	mu      sync.Mutex
	status  Status
	failed  *failure // what Status.Err says, for calls; nil when starting for the first time or ready
	session *session // the running one, also while it starts and ends
	changed chan struct{}
}

// New returns a Child that Run starts. It does nothing by itself.
func New(opt Options) *Child {
	if opt.MaxMessage <= 0 {
		opt.MaxMessage = 64 << 20
	}
	if opt.StartTimeout <= 0 {
		opt.StartTimeout = 60 * time.Second
	}
	log := opt.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Child{
		opt:     opt,
		log:     log.With("child", opt.Name),
		timing:  defaults,
		first:   make(chan struct{}),
		status:  Status{State: Starting},
		changed: make(chan struct{}),
	}
}

// Run keeps the child running until ctx is done, then ends its process group:
// stdin is closed and SIGTERM sent, SIGKILL follows. It returns within 250 ms,
// when every process of the group is gone; the error, if any, names a process
// that outlived SIGKILL. Run is called once.
func (c *Child) Run(ctx context.Context) error {
	defer c.firstOnce.Do(func() { close(c.first) })
	back := newBackoff(c.timing)
	for n := 0; ; n++ {
		f, ready := c.live(ctx, n)
		if ctx.Err() != nil {
			c.set(Stopped, stopped(ctx))
			return f.left
		}
		delay := back.next(ready, f.settled)
		c.log.Warn("child is down", "reason", f.what, "stderr", f.stderr, "next_start", delay.Round(time.Millisecond))
		c.set(Backoff, f)
		c.firstOnce.Do(func() { close(c.first) })
		wait := time.NewTimer(delay)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

// live runs one process from start to end. It returns why that ended and how
// long it was ready.
func (c *Child) live(ctx context.Context, n int) (*failure, time.Duration) {
	if ctx.Err() != nil {
		return stopped(ctx), 0
	}
	c.mu.Lock()
	c.status.Restarts = n
	c.mu.Unlock()
	c.set(Starting, nil)
	s, f := c.start()
	if f != nil {
		return f, 0
	}
	c.mu.Lock()
	c.session = s
	c.status.PID = s.proc.pid
	c.mu.Unlock()

	sctx, cancel := context.WithCancel(ctx)
	kept := make(chan *failure, 1)
	up := make(chan time.Time, 1)
	go func() { kept <- s.keep(sctx, func() { c.ready(s); up <- time.Now() }) }()

	var ready time.Duration
	select {
	case <-ctx.Done():
		f = stopped(ctx)
	case f = <-kept:
		kept <- nil // waited for below
		if ctx.Err() != nil {
			f = stopped(ctx)
		}
	case f = <-s.broken:
	case <-s.readDone:
		f = &failure{what: "closed its output", own: true}
	case <-s.proc.exited:
		f = &failure{what: "ended", own: true}
	}
	select {
	case t := <-up:
		ready = time.Since(t)
	default:
	}
	cancel()
	s.end(f, ctx.Err() != nil)
	<-kept
	return f, ready
}

func stopped(ctx context.Context) *failure {
	return &failure{what: "is stopped", cause: context.Cause(ctx)}
}

// ready announces that the session takes calls.
func (c *Child) ready(s *session) {
	if s.ending() {
		return
	}
	c.set(Ready, nil)
	c.firstOnce.Do(func() { close(c.first) })
}

// set changes the state and tells all who wait for a change. f is why there
// is no process to call, nil where calls wait or are sent.
func (c *Child) set(state State, f *failure) {
	c.mu.Lock()
	c.status.State = state
	switch {
	case f != nil:
		c.failed, c.status.Err = f, f.status(c.opt.Name)
	case state == Ready:
		c.failed, c.status.Err = nil, nil
	}
	if state == Backoff || state == Stopped {
		c.session, c.status.PID = nil, 0
	}
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	if c.opt.OnState != nil {
		c.opt.OnState()
	}
}

// Status returns the present state.
func (c *Child) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Ready is closed at the first outcome, good or bad, of the first start.
func (c *Child) Ready() <-chan struct{} { return c.first }

// Reply is the child's answer: either Result or Error is set, the raw bytes
// the child wrote. They belong to the caller.
type Reply struct {
	Result, Error json.RawMessage
}

// Call sends one request and waits for its reply. While the child starts it
// waits; while the child is down it fails at once with the reason of that. A
// JSON-RPC error is a Reply, not an error: every error is a *CallError. When
// ctx ends, the child is told to cancel and its reply, should it still come,
// is dropped. params must be valid JSON or nil and must never be changed
// afterwards, for the writer may still hold it when Call returns early.
func (c *Child) Call(ctx context.Context, method string, params json.RawMessage) (Reply, error) {
	for {
		c.mu.Lock()
		state, f, s, changed := c.status.State, c.failed, c.session, c.changed
		c.mu.Unlock()
		switch state {
		case Ready:
			r, f, sent := s.call(ctx, method, oneLine(params))
			if f == nil {
				return r, nil
			}
			if !errors.Is(f.cause, errEnding) {
				return Reply{}, f.call(c.opt.Name, sent)
			}
			// It has not been sent; the next state tells why.
		case Backoff, Stopped:
			return Reply{}, f.call(c.opt.Name, false)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Reply{}, interrupted(ctx, "was still starting").call(c.opt.Name, false)
		}
	}
}
