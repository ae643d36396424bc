// Package link keeps this process connected to the relay: it sends what lies
// in the journal's outbox until it is acknowledged, records what the relay
// says of this machine's tasks, and asks for the right to start them. It holds
// nothing that the journal does not: a lost connection loses no message.
package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"portero/proxy/journal"
	"portero/shared/wire"
)

// Times of a link.
const (
	dialWithin  = 15 * time.Second
	writeWithin = 10 * time.Second
	pingEvery   = 20 * time.Second
	pongWithin  = 25 * time.Second
	peekEvery   = 2 * time.Second // for letters that other processes queued
	minBackoff  = 500 * time.Millisecond
	maxBackoff  = 30 * time.Second
	stable      = 10 * time.Second // a connection this long starts the backoff anew
	batch       = 50
)

// Options configure a Link.
type Options struct {
	URL     string // ws:// or wss://, with path
	Token   string // machine token
	Machine string // name to show to approvers
	Version string
	Journal *journal.Journal
	Logger  *slog.Logger
	// OnUp is called each time the link has come up: what was recorded before
	// that was recorded while it was down. It must not block; nil is allowed.
	OnUp func()
}

// Link is this process's connection to the relay. Use New, then Run.
type Link struct {
	opt Options
	log *slog.Logger
	// Tests make these shorter: the shortest pause between two attempts, and
	// how long the relay may take to say welcome.
	backoff, patience time.Duration

	up      atomic.Bool
	mu      sync.Mutex
	problem string
	lost    bool
	session *session
}

// New returns a link that is not connected yet.
func New(opt Options) *Link {
	return &Link{opt: opt, log: opt.Logger, backoff: minBackoff, patience: dialWithin, problem: "not connected yet"}
}

// Up reports whether the relay is connected and has told all it had to tell.
func (l *Link) Up() bool { return l.up.Load() }

// Down reports whether the relay could not be reached, or was lost. It is false
// while the first connection is still being made.
func (l *Link) Down() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Problem says in words why the link is not up; "" when it is.
func (l *Link) Problem() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

// Run connects, and connects again whenever the connection ends, until ctx
// ends. It owns every goroutine of the link.
func (l *Link) Run(ctx context.Context) {
	wait := l.backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := l.connect(ctx)
		l.down(err)
		if ctx.Err() != nil {
			return
		}
		var come *comeBack
		switch {
		case errors.As(err, &come):
			wait = max(come.after, l.backoff)
		case time.Since(began) > stable:
			wait = l.backoff
		}
		// Full jitter: machines that lost the same relay do not come back
		// all at once.
		pause := time.Duration(rand.Int64N(int64(wait))) + l.backoff/2
		l.log.Warn("relay not connected; approvals wait on this machine", "err", err, "retry_in", pause.Round(time.Millisecond))
		wait = min(2*wait, maxBackoff)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (l *Link) down(err error) {
	l.up.Store(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.lost = nil, true
	if err != nil {
		l.problem = err.Error()
	}
}

// comeBack is a closing with a time to return.
type comeBack struct{ after time.Duration }

func (c *comeBack) Error() string { return "the relay is restarting" }

func (l *Link) connect(ctx context.Context) error {
	dial, done := context.WithTimeout(ctx, dialWithin)
	defer done()
	ws, resp, err := websocket.Dial(dial, l.opt.URL, &websocket.DialOptions{
		Subprotocols: []string{wire.Subprotocol},
		HTTPHeader:   http.Header{"Authorization": {"Bearer " + l.opt.Token}},
	})
	switch {
	case err != nil && resp != nil && resp.StatusCode == http.StatusUnauthorized:
		return errors.New("the relay refused this machine's token (401): make a new one with `portero-relay token create --role machine` and set [link] token")
	case err != nil && resp != nil:
		return fmt.Errorf("the relay answered %s; is [link] url right?", resp.Status)
	case err != nil:
		return fmt.Errorf("reach the relay: %w", err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(wire.MaxFrame)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{link: l, ws: ws, log: l.log, gone: make(chan struct{}), calls: map[string]chan wire.Message{}}
	defer close(s.gone)
	return s.serve(ctx, cancel)
}

// ErrDown says that the relay is not connected.
var ErrDown = errors.New("the relay is not connected")

// RefusedError says that the relay did not grant a claim.
type RefusedError struct{ Msg string }

// Error implements error.
func (e *RefusedError) Error() string { return "the relay does not let it start: " + e.Msg }

// Claim asks for the exclusive right to start an approved task. It returns
// ErrDown when there is no relay to ask and a *RefusedError when it says no.
func (l *Link) Claim(ctx context.Context, id, binding string) (wire.Grant, error) {
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	if s == nil {
		return wire.Grant{}, ErrDown
	}
	re, answer := s.expect()
	defer s.forget(re)
	ctx, done := context.WithTimeout(ctx, writeWithin)
	defer done()
	if err := s.send(ctx, wire.Claim{ID: re, Task: id, Binding: binding}); err != nil {
		return wire.Grant{}, errors.Join(ErrDown, err)
	}
	select {
	case <-ctx.Done():
		return wire.Grant{}, errors.Join(ErrDown, ctx.Err())
	case <-s.gone:
		return wire.Grant{}, ErrDown
	case m := <-answer:
		switch m := m.(type) {
		case wire.Grant:
			if m.Task != id || m.Binding != binding {
				return wire.Grant{}, &RefusedError{"it granted something else"}
			}
			return m, nil
		case wire.Refused:
			return wire.Grant{}, &RefusedError{m.Msg}
		case wire.Err:
			return wire.Grant{}, &RefusedError{m.Msg}
		}
		return wire.Grant{}, ErrDown
	}
}
