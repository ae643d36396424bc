package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"portero/shared/rawjson"
)

// errEnding is the cause of a call that came too late for its session.
var errEnding = errors.New("the session is ending")

// session is one process from its start to its end.
type session struct {
	c     *Child
	proc  *process
	out   *writer
	lines *lineReader
	tail  *tail  // of stderr
	noise *noise // on stdout

	broken    chan *failure // why the session cannot go on, for live; holds one
	closing   chan struct{} // closed when no call is taken any more
	changed   chan struct{} // tools/list_changed came; holds one
	readDone  chan struct{}
	drainDone chan struct{}

	mu      sync.Mutex
	pending map[int64]*pending
	last    int64
	closed  bool
	up      bool // the start went well
}

// pending is a request and what it waits for.
type pending struct {
	message
	done chan outcome // holds one
}

type outcome struct {
	reply Reply
	f     *failure // instead of a reply
}

// start starts a process and the goroutines around it.
func (c *Child) start() (*session, *failure) {
	path, err := lookCommand(c.opt.Command, c.opt.Dir, c.opt.Env)
	if err != nil {
		return nil, c.cannotStart(err)
	}
	proc, err := startProcess(path, append([]string{c.opt.Command}, c.opt.Args...), c.opt.Env, c.opt.Dir)
	if err != nil {
		return nil, c.cannotStart(err)
	}
	s := &session{
		c: c, proc: proc,
		lines:     &lineReader{src: proc.stdout, max: c.opt.MaxMessage, grow: func() { growPipe(proc.stdout) }},
		tail:      &tail{clean: c.opt.LogLine},
		broken:    make(chan *failure, 1),
		closing:   make(chan struct{}),
		changed:   make(chan struct{}, 1),
		readDone:  make(chan struct{}),
		drainDone: make(chan struct{}),
		pending:   map[int64]*pending{},
	}
	s.noise = &noise{log: c.log, text: "child wrote a line that is not JSON-RPC on stdout"}
	s.out = newWriter(proc.stdin, c.timing.stall, func() { growPipe(proc.stdin) })
	go s.write()
	go s.read()
	go func() {
		defer close(s.drainDone)
		s.tail.drain(proc.stderr, &noise{log: c.log, text: "child wrote on stderr"})
	}()
	return s, nil
}

// cannotStart says what stands in the way of a process. What a user has to
// mend is not tried again soon.
func (c *Child) cannotStart(err error) *failure {
	f := &failure{what: "cannot be started: " + c.clean(err.Error()), cause: err, settled: true}
	switch {
	case c.opt.Dir != "" && !isDir(c.opt.Dir):
		f.hint = fmt.Sprintf("its cwd %s is no folder: correct cwd of [[mcp]] %q", c.clean(c.opt.Dir), c.opt.Name)
	case errors.Is(err, fs.ErrNotExist):
		f.hint = fmt.Sprintf("install it, or give its full path as command of [[mcp]] %q", c.opt.Name)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOEXEC):
		f.hint = fmt.Sprintf("command of [[mcp]] %q must be a program that you may execute", c.opt.Name)
	default:
		f.hint, f.settled = "Portero tries again by itself", false
	}
	return f
}

// clean anonymizes what Portero says in the child's stead: a path may hold a
// name as well.
func (c *Child) clean(text string) string {
	if c.opt.LogLine == nil {
		return text
	}
	return c.opt.LogLine(text)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// call sends a request and waits for its reply, the end of ctx, or that of
// the session. sent is as in CallError.
func (s *session) call(ctx context.Context, method string, params json.RawMessage) (r Reply, f *failure, sent bool) {
	p := &pending{done: make(chan outcome, 1)}
	p.method, p.params = method, params
	if ctx.Err() != nil {
		return Reply{}, interrupted(ctx, "had not been asked"), false
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return Reply{}, &failure{cause: errEnding}, false
	}
	s.last++
	p.id = s.last
	s.pending[p.id] = p
	s.mu.Unlock()

	// If it is not queued, one of the two below is about to happen.
	s.out.request(&p.message, ctx.Done(), s.closing)
	select {
	case o := <-p.done:
		return o.reply, o.f, o.f != nil && !p.drop()
	case <-ctx.Done():
	}
	if s.forget(p.id) == nil { // the reply was faster
		o := <-p.done
		return o.reply, o.f, o.f != nil && !p.drop()
	}
	f = interrupted(ctx, "had not answered")
	if p.drop() {
		return Reply{}, f, false
	}
	if method != "initialize" { // which must not be cancelled
		s.tell("notifications/cancelled", json.RawMessage(`{"requestId":`+strconv.FormatInt(p.id, 10)+`}`))
	}
	return Reply{}, f, true
}

// tell sends a notification without waiting.
func (s *session) tell(method string, params json.RawMessage) {
	s.control(&message{method: method, params: params})
}

func (s *session) control(m *message) {
	if !s.out.control(m) {
		s.fail(&failure{what: fmt.Sprintf("sent requests and did not read %d answers to them", waitingAnswers), hint: "Portero restarts it"})
	}
}

// forget removes a pending request and returns it, nil if it has its outcome.
func (s *session) forget(id int64) *pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pending[id]
	delete(s.pending, id)
	return p
}

// fail has live end the session; of several reasons the first is told.
func (s *session) fail(f *failure) {
	select {
	case s.broken <- f:
	default:
	}
}

func (s *session) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *session) write() {
	defer close(s.out.done)
	err := s.out.run()
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.fail(&failure{what: fmt.Sprintf("did not read its input for %v", s.c.timing.stall), cause: err, hint: "Portero restarts it"})
	default:
		s.fail(&failure{what: "closed its input", cause: err, own: true})
	}
}

func (s *session) read() {
	defer close(s.readDone)
	defer s.noise.flush()
	for {
		line, over, err := s.lines.next()
		switch {
		case err != nil:
			return
		case over != nil:
			s.oversize(over)
		default:
			s.handle(line)
		}
	}
}

func (s *session) oversize(o *oversize) {
	s.c.log.Warn("child wrote a message over the limit", "bytes", o.size, "limit", s.c.opt.MaxMessage)
	if !o.id.HasMethod() {
		s.settle(o.id.ID(), outcome{f: &failure{
			what: fmt.Sprintf("answered with a message of %d bytes, over the limit of %d", o.size, s.c.opt.MaxMessage),
			hint: "ask it for less at once",
		}})
	}
}

// settle gives a pending request its outcome; an id that none has is ignored:
// the request was cancelled, or never existed.
func (s *session) settle(id []byte, o outcome) {
	n, err := strconv.ParseInt(string(id), 10, 64)
	if err != nil {
		return
	}
	if p := s.forget(n); p != nil {
		p.done <- o
	}
}

// end ends the session: no new calls, then the ladder of close stdin, SIGTERM,
// SIGKILL for the whole group, then the calls that are still pending fail. It
// completes f with what the end has brought to light.
func (s *session) end(f *failure, stopping bool) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.closing)

	t := s.c.timing
	if f.own && !stopping {
		wait(t.settle, s.proc.exited)
	}
	alone := closed(s.proc.exited) // it ended by itself
	s.out.close()
	<-s.out.done
	if !alone {
		s.proc.signal(syscall.SIGTERM)
		// The end of stdout says that what the leader started is gone as well.
		wait(t.grace, s.proc.exited, s.readDone)
	} else {
		wait(t.settle/4, s.readDone) // what it wrote last
	}
	deadline := time.Now().Add(t.closing)
	f.left = s.proc.end(deadline)
	// A process that left the group may hold these for as long as it lives.
	wait(time.Until(deadline)/2, s.readDone, s.drainDone)
	closeAll([]*os.File{s.proc.stdout, s.proc.stderr})
	<-s.readDone
	<-s.drainDone

	s.mu.Lock()
	left, up := s.pending, s.up
	s.pending = nil
	s.mu.Unlock()
	if how := s.proc.outcome(); f.own && alone && how != "" {
		f.what = how
	}
	if !stopping {
		s.explain(f, up)
	}
	for _, p := range left {
		p.done <- outcome{f: f}
	}
}

// explain adds to f what helps to find the cause.
func (s *session) explain(f *failure, up bool) {
	f.stderr = s.tail.last()
	if up {
		if f.hint == "" {
			f.hint = "Portero restarts it"
		}
		return
	}
	f.hint = "check that its command starts an MCP server over stdio and that it can reach what it needs"
	if n, last := s.noise.seen(); n > 0 {
		f.what += fmt.Sprintf(" (and wrote %d lines on stdout that are not JSON-RPC, the last: %q)", n, last)
	}
}

// wait returns when all of the channels are closed, at most after d.
func wait(d time.Duration, all ...<-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	for _, ch := range all {
		select {
		case <-ch:
		case <-t.C:
			return
		}
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// parse reads a line of the child.
func parse(line []byte) (rawjson.Envelope, error) { return rawjson.ParseEnvelope(line) }
