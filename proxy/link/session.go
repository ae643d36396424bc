package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"portero/proxy/journal"
	"portero/shared/wire"
)

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
		s.link.session, s.link.problem, s.link.lost = s, "", false
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
