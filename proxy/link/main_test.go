package link

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"portero/proxy/bind"
	"portero/proxy/journal"
	"portero/shared/porterotest/leak"
	"portero/shared/task"
	"portero/shared/wire"
)

// TestMain fails when a goroutine is left over.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(leak.Main(m))
}

const patience = 30 * time.Second

// until fails the test unless ok becomes true in time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for: %s", what)
		}
	}
}

// relay is a scripted relay: the n-th connection meets the n-th script, and
// whoever comes after the last one meets the last one again.
type relay struct {
	t     *testing.T
	url   string
	count atomic.Int32
}

func newRelay(t *testing.T, scripts ...func(*peer)) *relay {
	t.Helper()
	r := &relay{t: t}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n := int(r.count.Add(1))
		if got := req.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("connection %d: Authorization %q", n, got)
		}
		ws, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
		if err != nil {
			t.Error(err)
			return
		}
		running.Add(1)
		defer running.Done()
		defer ws.CloseNow()
		if ws.Subprotocol() != wire.Subprotocol {
			t.Errorf("connection %d: subprotocol %q", n, ws.Subprotocol())
		}
		ws.SetReadLimit(wire.MaxFrame)
		scripts[min(n, len(scripts))-1](&peer{t: t, ws: ws, ctx: ctx})
	}))
	r.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/link"
	t.Cleanup(func() {
		cancel()
		server.Close()
		running.Wait()
	})
	return r
}

// peer is one connection as the scripted relay sees it.
type peer struct {
	t   *testing.T
	ws  *websocket.Conn
	ctx context.Context
}

// read returns the next message, or nil when the connection has ended.
func (p *peer) read() wire.Message {
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	_, frame, err := p.ws.Read(ctx)
	if err != nil {
		return nil
	}
	m, err := wire.Decode(frame)
	if err != nil {
		p.t.Errorf("%s: %v", frame, err)
	}
	return m
}

func (p *peer) send(messages ...wire.Message) {
	for _, m := range messages {
		frame, err := wire.Encode(m)
		if err != nil {
			p.t.Error(err)
			return
		}
		p.raw(string(frame))
	}
}

func (p *peer) raw(frames ...string) {
	for _, f := range frames {
		_ = p.ws.Write(p.ctx, websocket.MessageText, []byte(f))
	}
}

// greet exchanges the greetings and says that there is nothing to tell.
func (p *peer) greet(news ...wire.Message) wire.Hello {
	hello, ok := p.read().(wire.Hello)
	if !ok {
		p.t.Error("the first message is not hello")
	}
	p.send(wire.Welcome{Proto: 1, Epoch: "epoch", Machine: "laptop"})
	p.send(news...)
	p.send(wire.Synced{Epoch: "epoch"})
	return hello
}

// stay reads until the connection ends.
func (p *peer) stay() {
	for p.read() != nil {
	}
}

// up greets and stays.
func up(p *peer) {
	p.greet()
	p.stay()
}

func openJournal(t *testing.T) *journal.Journal {
	t.Helper()
	j, err := journal.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func create(t *testing.T, j *journal.Journal, args string) journal.Task {
	t.Helper()
	quoted, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	made, err := j.Create(context.Background(), journal.Ask{Tool: "kit/echo", Scope: "machine", Args: quoted, Rule: "default", TTL: time.Hour,
		Bind: func(id string, salt []byte) string { return bind.Digest(bind.Fields{Task: id, Salt: salt}) }})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// news is what the relay tells of a task.
func news(t journal.Task, rev int64, s task.State) wire.Task {
	return wire.Task{Task: t.ID, Rev: rev, State: s, Binding: t.Binding}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a link until the test ends, or stop is called.
func start(t *testing.T, url string, j *journal.Journal, change ...func(*Link)) (l *Link, stop func()) {
	t.Helper()
	logs := &logBuffer{}
	l = New(Options{URL: url, Token: "secret", Machine: "Ana's laptop", Version: "v9", Journal: j,
		Logger: slog.New(slog.NewTextHandler(logs, nil))})
	l.backoff = 5 * time.Millisecond
	for _, f := range change {
		f(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		l.Run(ctx)
	}()
	stop = func() {
		t.Helper()
		cancel()
		select {
		case <-ran:
		case <-time.After(patience):
			t.Error("the link does not end")
		}
		if strings.Contains(logs.String(), "secret") {
			t.Errorf("the log holds the token:\n%s", logs)
		}
	}
	t.Cleanup(stop)
	return l, stop
}

func ended(err error) bool { return errors.Is(err, ErrDown) }
