package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coder/websocket"

	"portero/relay/desk"
	"portero/shared/task"
	"portero/shared/wire"
)

// Times of a link.
const (
	helloWithin  = 10 * time.Second
	writeWithin  = 10 * time.Second
	pingEvery    = 20 * time.Second
	pongWithin   = 25 * time.Second
	recheckEvery = 3 * time.Second
	startWithin  = 30 * time.Second
	pushBatch    = 100
)

// conn is one process of one machine.
type conn struct {
	hub     *Hub
	ws      *websocket.Conn
	secret  string
	machine string
	cancel  context.CancelFunc
	log     *slog.Logger
	hello   wire.Hello
}

// serve runs the link: a read loop here, a push loop beside it. Whichever ends
// first ends both.
func (c *conn) serve(ctx context.Context) error {
	epoch, since, err := c.greet(ctx)
	if err != nil {
		return err
	}
	pushed := make(chan error, 1)
	go func() {
		defer c.cancel()
		pushed <- c.push(ctx, epoch, since)
	}()
	err = c.read(ctx)
	c.cancel()
	return errors.Join(err, <-pushed)
}

// greet reads hello, agrees on a version and answers welcome. It returns the
// revision that the machine has seen in this store.
func (c *conn) greet(ctx context.Context) (epoch string, since int64, err error) {
	first, done := context.WithTimeout(ctx, c.hub.patience)
	defer done()
	_, frame, err := c.ws.Read(first)
	if err != nil {
		return "", 0, fmt.Errorf("read hello: %w", err)
	}
	m, err := wire.Decode(frame)
	hello, ok := m.(wire.Hello)
	if err != nil || !ok || hello.Proc == "" || hello.Journal == "" {
		c.fail(ctx, wire.CodeInvalid, "the first frame must be hello, with proc and journal")
		return "", 0, errors.New("no hello")
	}
	hello.Machine, hello.App = clip(hello.Machine, 100), clip(hello.App, 50)
	c.hello = hello
	proto := min(wire.Version, hello.Proto[1])
	if proto < wire.MinVersion || proto < hello.Proto[0] {
		msg := fmt.Sprintf("this relay speaks link versions %d to %d, the machine %d to %d: upgrade the older one", wire.MinVersion, wire.Version, hello.Proto[0], hello.Proto[1])
		c.fail(ctx, wire.CodeVersion, msg)
		return "", 0, errors.New(msg)
	}
	if err := c.hub.desk.SawMachine(ctx, c.machine, hello.Machine, hello.App); err != nil {
		c.fail(ctx, wire.CodeInternal, "the relay's store is not available")
		return "", 0, fmt.Errorf("record machine: %w", err)
	}
	epoch, head, err := c.hub.desk.Head(ctx)
	if err != nil {
		return "", 0, err
	}
	// Who has seen more than there is knew this store before it was put back
	// from a copy: tell it everything.
	if hello.Epoch == epoch && hello.Rev <= head {
		since = hello.Rev
	}
	c.log.Info("linked", "proc", hello.Proc, "app", hello.App)
	return epoch, since, c.send(ctx, wire.Welcome{Proto: proto, Epoch: epoch, Machine: c.machine})
}

func clip(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "")
}

// push sends what changed since the last revision sent, at once and after
// every change; and ends the link when the token is no longer good or the
// machine no longer answers pings.
func (c *conn) push(ctx context.Context, epoch string, rev int64) error {
	changed, stop := c.hub.desk.Watch()
	defer stop()
	recheck := time.NewTicker(c.hub.recheck)
	defer recheck.Stop()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	synced := false
	for {
		tasks, err := c.hub.desk.Since(ctx, c.machine, c.hello.Journal, rev, pushBatch)
		if err != nil {
			return fmt.Errorf("read changes: %w", err)
		}
		for _, t := range tasks {
			if err := c.send(ctx, t.Wire()); err != nil {
				return err
			}
			rev = t.Rev
		}
		if len(tasks) == pushBatch {
			continue
		}
		if !synced {
			synced = true
			if err := c.send(ctx, wire.Synced{Epoch: epoch, Rev: rev}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-recheck.C:
			if _, err := c.hub.desk.CheckToken(ctx, c.secret); errors.Is(err, desk.ErrBadToken) {
				c.fail(ctx, wire.CodeRefused, "the machine's token was revoked or has expired")
				return err
			}
		case <-ping.C:
			wait, done := context.WithTimeout(ctx, pongWithin)
			err := c.ws.Ping(wait)
			done()
			if err != nil {
				return fmt.Errorf("ping: %w", err)
			}
		}
	}
}

func (c *conn) read(ctx context.Context) error {
	for {
		_, frame, err := c.ws.Read(ctx)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		m, err := wire.Decode(frame)
		switch {
		case errors.Is(err, wire.ErrUnsupported):
			err = c.send(ctx, wire.Err{Code: wire.CodeUnsupported, Msg: err.Error()})
		case err != nil:
			err = c.send(ctx, wire.Err{Code: wire.CodeInvalid, Msg: err.Error()})
		default:
			err = c.send(ctx, c.answer(ctx, m))
		}
		if err != nil {
			return err
		}
	}
}

// answer carries one request to the desk. What it returns is on disk.
func (c *conn) answer(ctx context.Context, m wire.Message) wire.Message {
	if open, ok := m.(wire.Open); ok {
		t, err := c.hub.desk.OpenTask(ctx, c.machine, c.hello, open)
		return c.reply(open.ID, open.Task, t, err)
	}
	id, r := c.request(m)
	if id == "" {
		return wire.Err{Code: wire.CodeUnsupported, Msg: fmt.Sprintf("%T is not a request", m)}
	}
	r.Machine, r.Journal, r.Proc = c.machine, c.hello.Journal, c.hello.Proc
	t, err := c.hub.desk.Do(ctx, r)
	if r.Event.Kind == task.Claim {
		switch state := (*task.StateError)(nil); {
		case errors.As(err, &state):
			return wire.Refused{Re: id, Task: t.Wire(), Msg: state.Error()}
		case err == nil:
			return wire.Grant{Re: id, Task: t.ID, Claim: t.Claim, Binding: t.Binding, By: t.By, StartMS: startWithin.Milliseconds()}
		}
	}
	return c.reply(id, r.Task, t, err)
}

// request translates a frame into what the desk is asked.
func (c *conn) request(m wire.Message) (string, desk.Request) {
	note := func(s string) string { return clip(s, wire.MaxText) }
	switch m := m.(type) {
	case wire.Claim:
		return m.ID, desk.Request{Task: m.Task, Binding: m.Binding, Event: task.Event{Kind: task.Claim}}
	case wire.Cancel:
		return m.ID, desk.Request{Task: m.Task, Event: task.Event{Kind: task.Cancel}}
	case wire.Release:
		return m.ID, desk.Request{Task: m.Task, Note: note(m.Note), Event: task.Event{Kind: task.Release, Claim: m.Claim, Why: m.Why}}
	case wire.Started:
		return m.ID, desk.Request{Task: m.Task, Event: task.Event{Kind: task.Start, Claim: m.Claim}}
	case wire.Lost:
		return m.ID, desk.Request{Task: m.Task, Note: note(m.Note), Event: task.Event{Kind: task.Lose, Claim: m.Claim}}
	case wire.Finished:
		kind := task.Finish
		if m.Outcome == wire.RPCError || m.Outcome == wire.Unsent {
			kind = task.Fail
		}
		return m.ID, desk.Request{Task: m.Task, Outcome: m.Outcome, Note: note(m.Note), Event: task.Event{Kind: kind, Claim: m.Claim}}
	}
	return "", desk.Request{}
}

// reply acknowledges. An event that does not apply is acknowledged too: the
// machine learns the state that the task really has, and stops resending.
func (c *conn) reply(id, taskID string, t desk.Task, err error) wire.Message {
	var state *task.StateError
	var rejected *desk.Rejected
	switch {
	case err == nil, errors.As(err, &state):
		return wire.Ack{Re: id, Task: t.Wire()}
	case errors.As(err, &rejected):
		return wire.Err{Re: id, Code: rejected.Code, Msg: rejected.Msg}
	case errors.Is(err, desk.ErrConflict):
		return wire.Err{Re: id, Code: wire.CodeConflict, Msg: err.Error()}
	case errors.Is(err, desk.ErrNoTask):
		return wire.Err{Re: id, Code: wire.CodeUnknown, Msg: err.Error()}
	}
	c.log.Error("store refused a request", "task", taskID, "err", err)
	return wire.Err{Re: id, Code: wire.CodeInternal, Msg: "the relay's store is not available; the request stays queued"}
}

func (c *conn) send(ctx context.Context, m wire.Message) error {
	frame, err := wire.Encode(m)
	if err != nil {
		return err
	}
	ctx, done := context.WithTimeout(ctx, writeWithin)
	defer done()
	if err := c.ws.Write(ctx, websocket.MessageText, frame); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// fail says why the link ends.
func (c *conn) fail(ctx context.Context, code wire.Code, msg string) {
	c.send(ctx, wire.Err{Code: code, Msg: msg, Fatal: true})
	c.ws.Close(websocket.StatusPolicyViolation, clip(msg, 120))
}
