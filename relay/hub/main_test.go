package hub

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"portero/relay/desk"
	"portero/shared/porterotest/leak"
	"portero/shared/task"
	"portero/shared/wire"
)

var ctx = context.Background()

// TestMain fails when a goroutine is left over.
func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for reconnects more than they work.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(leak.Main(m))
}

const patience = 60 * time.Second

// until fails the test unless ok becomes true in time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for: %s", what)
		}
	}
}

// relay is the relay's side: a real store and a hub on a real port.
type relay struct {
	*testing.T
	dir    string
	desk   *desk.Desk
	hub    *Hub
	server *httptest.Server
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	r := &relay{T: t, dir: t.TempDir()}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *relay) start() {
	r.Helper()
	var err error
	if r.desk, err = desk.Open(ctx, r.dir); err != nil {
		r.Fatal(err)
	}
	r.hub = New(r.desk, slog.New(slog.DiscardHandler))
	r.hub.recheck = 200 * time.Millisecond
	r.server = httptest.NewServer(r.hub)
}

// stop ends the relay as its program does: bye first, then the door.
func (r *relay) stop() {
	r.Helper()
	if r.server == nil {
		return
	}
	bound, done := context.WithTimeout(ctx, patience)
	defer done()
	if err := r.hub.Close(bound); err != nil {
		r.Error(err)
	}
	r.server.Close()
	if err := r.desk.Close(); err != nil {
		r.Error(err)
	}
	r.server = nil
}

// in is the same relay, for a subtest.
func (r relay) in(t *testing.T) *relay {
	r.T = t
	return &r
}

func (r *relay) url() string { return "ws" + strings.TrimPrefix(r.server.URL, "http") }

func (r *relay) token(name, role string) string {
	r.Helper()
	s, err := r.desk.CreateToken(ctx, name, role, nil, time.Time{})
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// task returns a task, or one without an id while the relay knows of none.
func (r *relay) task(id string) desk.Task {
	r.Helper()
	t, err := r.desk.Task(ctx, id)
	if err != nil && !errors.Is(err, desk.ErrNoTask) {
		r.Error(err)
	}
	return t
}

func (r *relay) decide(id string, approve bool) {
	r.Helper()
	v, err := r.desk.Press(ctx, id, approve, "Ana")
	if err != nil || !v.Changed {
		r.Fatalf("press: %+v, %v", v, err)
	}
}

// becomes waits for a task to reach a state on the relay.
func (r *relay) becomes(id string, want task.State) {
	r.Helper()
	until(r.T, fmt.Sprintf("%s to be %s on the relay", id, want), func() bool { return r.task(id).State == want })
}

// raw is a client that says whatever a test wants.
type raw struct {
	*testing.T
	ws *websocket.Conn
}

func (r *relay) dial(secret string) *raw {
	r.Helper()
	bound, done := context.WithTimeout(ctx, patience)
	defer done()
	ws, _, err := websocket.Dial(bound, r.url(), &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol},
		HTTPHeader: http.Header{"Authorization": {"Bearer " + secret}}})
	if err != nil {
		r.Fatal(err)
	}
	ws.SetReadLimit(wire.MaxFrame)
	r.Cleanup(func() { ws.CloseNow() })
	return &raw{r.T, ws}
}

var hello = wire.Hello{Proto: [2]int{1, 1}, Machine: "a label", Proc: "proc1", Journal: "journal1", App: "v1"}

// linked dials and gets through the greetings.
func (r *relay) linked(secret string, h wire.Hello) *raw {
	r.Helper()
	c := r.dial(secret)
	c.send(h)
	if m, ok := c.read().(wire.Welcome); !ok {
		r.Fatalf("no welcome but %+v", m)
	}
	for {
		switch m := c.read().(type) {
		case wire.Task:
		case wire.Synced:
			return c
		default:
			r.Fatalf("greeted with %+v", m)
		}
	}
}

func (c *raw) send(m wire.Message) {
	c.Helper()
	frame, err := wire.Encode(m)
	if err != nil {
		c.Fatal(err)
	}
	c.write(string(frame))
}

func (c *raw) write(frame string) {
	c.Helper()
	bound, done := context.WithTimeout(ctx, patience)
	defer done()
	if err := c.ws.Write(bound, websocket.MessageText, []byte(frame)); err != nil {
		c.Error(err)
	}
}

// read returns the next message; the connection's end is a *wire.Err with the
// code "closed".
func (c *raw) read() wire.Message {
	c.Helper()
	bound, done := context.WithTimeout(ctx, patience)
	defer done()
	_, frame, err := c.ws.Read(bound)
	if err != nil {
		return wire.Err{Code: "closed", Msg: err.Error()}
	}
	m, err := wire.Decode(frame)
	if err != nil {
		c.Fatalf("%s: %v", frame, err)
	}
	return m
}

// answer sends a request and returns what answers it, leaving out news.
func (c *raw) answer(m wire.Message) wire.Message {
	c.Helper()
	c.send(m)
	for {
		m := c.read()
		if _, news := m.(wire.Task); !news {
			return m
		}
	}
}

func request(id string) wire.Open {
	return wire.Open{ID: "open:" + id, Task: id, Binding: "binding-" + id, Code: "7K3F", Tool: "kit/echo", Args: []byte(`{}`), Rule: "default",
		Session: "proc1", TTLMS: time.Hour.Milliseconds()}
}

// middle stands between a machine and the relay. It passes frames on, until it
// is told to cut the line: then both connections end without a goodbye.
type middle struct {
	server *httptest.Server
	wg     sync.WaitGroup

	mu     sync.Mutex
	target string // "" = nobody there
	secret string // put in the place of the machine's token
	cut    func(m wire.Message, up bool) bool
	lines  map[context.Context]context.CancelFunc
	count  int
}

func newMiddle(t *testing.T) *middle {
	t.Helper()
	m := &middle{lines: map[context.Context]context.CancelFunc{}}
	m.server = httptest.NewServer(m)
	t.Cleanup(func() {
		m.away()
		m.server.Close()
		m.wg.Wait()
	})
	return m
}

func (m *middle) url() string { return "ws" + strings.TrimPrefix(m.server.URL, "http") }

// to connects the middle with a relay.
func (m *middle) to(r *relay, secret string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.target, m.secret = r.url(), secret
}

// away cuts every line; nobody is there any more.
func (m *middle) away() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.target = ""
	for _, cancel := range m.lines {
		cancel()
	}
}

// cutOnce cuts the line the first time that a frame is one: before passing it on.
func (m *middle) cutOnce(one func(m wire.Message, up bool) bool) (done func() bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	hit := false
	m.cut = func(f wire.Message, up bool) bool {
		if hit || !one(f, up) {
			return false
		}
		hit = true
		return true
	}
	return func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return hit
	}
}

// dials is how often somebody got through.
func (m *middle) dials() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

func (m *middle) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	m.mu.Lock()
	target, secret := m.target, m.secret
	line, cancel := context.WithCancel(ctx)
	if target != "" {
		m.count++
		m.lines[line] = cancel
	}
	m.wg.Add(1)
	m.mu.Unlock()
	defer m.wg.Done()
	defer func() {
		cancel()
		m.mu.Lock()
		delete(m.lines, line)
		m.mu.Unlock()
	}()
	if target == "" {
		panic(http.ErrAbortHandler) // the connection breaks without an answer
	}
	relay, resp, err := websocket.Dial(line, target, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol},
		HTTPHeader: http.Header{"Authorization": {"Bearer " + secret}}})
	if err != nil {
		code := http.StatusBadGateway
		if resp != nil {
			code = resp.StatusCode
		}
		http.Error(w, err.Error(), code)
		return
	}
	defer relay.CloseNow()
	machine, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return
	}
	defer machine.CloseNow()
	relay.SetReadLimit(-1)
	machine.SetReadLimit(-1)
	var wg sync.WaitGroup
	wg.Go(func() { defer cancel(); m.pass(line, machine, relay, true) })
	m.pass(line, relay, machine, false)
	cancel()
	wg.Wait()
}

func (m *middle) pass(line context.Context, from, to *websocket.Conn, up bool) {
	for {
		kind, frame, err := from.Read(line)
		if err != nil {
			return
		}
		if decoded, err := wire.Decode(frame); err == nil {
			m.mu.Lock()
			cut := m.cut != nil && m.cut(decoded, up)
			m.mu.Unlock()
			if cut {
				return
			}
		}
		if err := to.Write(line, kind, frame); err != nil {
			return
		}
	}
}
