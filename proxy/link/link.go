// Package link keeps this process connected to the relay: it sends what lies
// in the journal's outbox until it is acknowledged, records what the relay
// says of this machine's tasks, and asks for the right to start them. It holds
// nothing that the journal does not: a lost connection loses no message.
package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
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
	session *session
}

// New returns a link that is not connected yet.
func New(opt Options) *Link {
	return &Link{opt: opt, log: opt.Logger, backoff: minBackoff, patience: dialWithin, problem: "not connected yet"}
}

// Up reports whether the relay is connected and has told all it had to tell.
func (l *Link) Up() bool { return l.up.Load() }

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
		case time.Since(began) > time.Minute:
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
	l.session = nil
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

// session is one connection.
type session struct {
	link *Link
	ws   *websocket.Conn
	log  *slog.Logger
	gone chan struct{} // closed when the connection has ended

	mu    sync.Mutex
	calls map[string]chan wire.Message // claims under way, by id
	next  int
}

func (s *session) serve(ctx context.Context, cancel context.CancelFunc) error {
	at, err := s.link.opt.Journal.Position(ctx)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	opt := s.link.opt
	err = s.send(ctx, wire.Hello{Proto: [2]int{wire.MinVersion, wire.Version}, Machine: opt.Machine, Proc: opt.Journal.Proc(),
		Journal: opt.Journal.ID(), App: opt.Version, Epoch: at.Epoch, Rev: at.Rev})
	if err != nil {
		return err
	}
	// Until the relay has spoken nobody pings it: without a limit, one that
	// accepts and says nothing would hold the link for good.
	silence := time.AfterFunc(s.link.patience, cancel)
	defer silence.Stop()
	sent := make(chan error, 1)
	started := false
	for {
		_, frame, err := s.ws.Read(ctx)
		if err == nil {
			var m wire.Message
			if m, err = wire.Decode(frame); errors.Is(err, wire.ErrUnsupported) {
				continue // a newer relay may say more than this build understands
			}
			if err == nil {
				err = s.handle(ctx, m)
			}
			if _, ok := m.(wire.Welcome); ok && err == nil && !started {
				started = true
				silence.Stop()
				go func() {
					defer cancel()
					sent <- s.flush(ctx)
				}()
			}
		}
		if err != nil {
			ended := ctx.Err() != nil // then reading failed because of that
			cancel()
			switch {
			case started:
				if cause := <-sent; ended && !errors.Is(cause, context.Canceled) {
					err = cause
				}
			case ended && !silence.Stop():
				err = errors.New("reach the relay: it does not answer; is [link] url right?")
			}
			return err
		}
	}
}

// handle deals with one frame from the relay.
func (s *session) handle(ctx context.Context, m wire.Message) error {
	j := s.link.opt.Journal
	switch m := m.(type) {
	case wire.Welcome:
		return j.Enter(ctx, m.Epoch)
	case wire.Task:
		return j.Observe(ctx, m)
	case wire.Synced:
		s.link.mu.Lock()
		s.link.session, s.link.problem = s, ""
		s.link.mu.Unlock()
		s.link.up.Store(true)
		s.log.Info("relay connected")
		if s.link.opt.OnUp != nil {
			s.link.opt.OnUp()
		}
	case wire.Ack:
		return j.Acked(ctx, m.Re, m.Task)
	case wire.Grant:
		s.deliver(m.Re, m)
	case wire.Refused:
		s.deliver(m.Re, m)
		return j.Heard(ctx, m.Task)
	case wire.Bye:
		return &comeBack{time.Duration(m.ReconnectMS) * time.Millisecond}
	case wire.Err:
		return s.failed(ctx, m)
	}
	return nil
}

func (s *session) failed(ctx context.Context, m wire.Err) error {
	switch {
	case m.Fatal:
		return fmt.Errorf("the relay ended the link: %s", m.Msg)
	case s.deliver(m.Re, m):
		return nil
	case m.Code == wire.CodeInternal:
		return fmt.Errorf("the relay cannot record anything now: %s", m.Msg)
	case m.Re != "":
		s.log.Error("the relay refused a message", "message", m.Re, "code", m.Code, "err", m.Msg)
		return s.link.opt.Journal.Refused(ctx, m.Re, m.Msg)
	}
	s.log.Warn("the relay reports an error", "code", m.Code, "err", m.Msg)
	return nil
}

// flush sends the outbox, and what is added to it, in order. Everything that
// was not acknowledged on an earlier connection goes out again.
func (s *session) flush(ctx context.Context) error {
	changed, stop := s.link.opt.Journal.Watch()
	defer stop()
	peek := time.NewTicker(peekEvery)
	defer peek.Stop()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	var last int64
	for {
		letters, err := s.link.opt.Journal.Outbox(ctx, last, batch)
		if err != nil {
			return fmt.Errorf("read outbox: %w", err)
		}
		for _, l := range letters {
			if err := s.post(ctx, l); err != nil {
				return err
			}
			last = l.Seq
		}
		if len(letters) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-peek.C:
		case <-ping.C:
			wait, done := context.WithTimeout(ctx, pongWithin)
			err := s.ws.Ping(wait)
			done()
			if err != nil {
				return fmt.Errorf("ping the relay: %w", err)
			}
		}
	}
}

func (s *session) post(ctx context.Context, l journal.Letter) error {
	wanted, err := s.link.opt.Journal.Sending(ctx, l)
	if err != nil || !wanted {
		return err
	}
	frame := l.Frame
	if l.Kind == "open" {
		if frame, err = s.aged(ctx, l); err != nil {
			return err
		}
	}
	return s.write(ctx, frame)
}

// aged tells the relay how long a request lay queued.
func (s *session) aged(ctx context.Context, l journal.Letter) ([]byte, error) {
	t, err := s.link.opt.Journal.Get(ctx, l.Task)
	if err != nil {
		return nil, fmt.Errorf("read queued task: %w", err)
	}
	var open wire.Open
	if err := json.Unmarshal(l.Frame, &open); err != nil {
		return nil, fmt.Errorf("read queued request: %w", err)
	}
	open.AgeMS = max(0, time.Since(t.Created).Milliseconds())
	return wire.Encode(open)
}

func (s *session) send(ctx context.Context, m wire.Message) error {
	frame, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return s.write(ctx, frame)
}

func (s *session) write(ctx context.Context, frame []byte) error {
	ctx, done := context.WithTimeout(ctx, writeWithin)
	defer done()
	if err := s.ws.Write(ctx, websocket.MessageText, frame); err != nil {
		return fmt.Errorf("write to the relay: %w", err)
	}
	return nil
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

func (s *session) expect() (string, chan wire.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	id := "claim:" + strconv.Itoa(s.next)
	c := make(chan wire.Message, 1)
	s.calls[id] = c
	return id, c
}

func (s *session) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, id)
}

func (s *session) deliver(id string, m wire.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.calls[id]
	if ok {
		c <- m // one answer per id, and the channel has room for it
		delete(s.calls, id)
	}
	return ok
}
