package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"portero/proxy/journal"
	"portero/shared/task"
	"portero/shared/wire"
)

// TestProblems: whatever is wrong, Problem says what, and what to do about it
// where somebody can do something.
func TestProblems(t *testing.T) {
	t.Parallel()
	answering := func(code int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	says := func(frames ...string) string {
		return newRelay(t, func(p *peer) { p.read(); p.raw(frames...); p.stay() }).url
	}
	tests := map[string]struct {
		url  string
		says []string
	}{
		"wrong token": {answering(401), []string{"refused this machine's token (401)", "portero-relay token create --role machine", "[link] token"}},
		"wrong path":  {answering(404), []string{"404 Not Found", "is [link] url right?"}},
		"overloaded":  {answering(503), []string{"503"}},
		"not there":   {gone.URL, []string{"reach the relay", "refused"}},
		"no URL":      {"wss:// not a url", []string{"reach the relay"}},
		"silent":      {newRelay(t, (*peer).stay).url, []string{"does not answer", "is [link] url right?"}},
		"too old":     {says(`{"type":"err","code":"version","msg":"upgrade the older one","fatal":true}`), []string{"ended the link", "upgrade the older one"}},
		"revoked":     {says(`{"type":"welcome","proto":1,"epoch":"e"}`, `{"type":"err","code":"refused","msg":"revoked","fatal":true}`), []string{"ended the link: revoked"}},
		"nonsense":    {says(`{"type":"welcome"`), []string{"decode frame"}},
		"wrong types": {says(`{"type":"welcome","proto":1,"epoch":"e"}`, `{"type":"task","rev":"x"}`), []string{"decode task"}},
		"huge frame":  {says(`{"type":"welcome","proto":1,"epoch":"e"}`, strings.Repeat(" ", wire.MaxFrame+1)), []string{"read limited at 1048577 bytes"}},
		"its store":   {says(`{"type":"welcome","proto":1,"epoch":"e"}`, `{"type":"err","code":"internal","msg":"disk full"}`), []string{"cannot record anything now", "disk full"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, _ := start(t, tc.url, openJournal(t), func(l *Link) {
				if name == "silent" {
					l.patience = 50 * time.Millisecond
				}
			})
			until(t, "the problem "+strings.Join(tc.says, ", ")+"; it is: "+l.Problem(), func() bool {
				p := l.Problem()
				return !slices.ContainsFunc(tc.says, func(s string) bool { return !strings.Contains(p, s) })
			})
			if l.Up() {
				t.Error("it counts as up")
			}
			if _, err := l.Claim(context.Background(), "t", "b"); !ended(err) {
				t.Errorf("claim: %v", err)
			}
		})
	}
}

func TestUpAndDown(t *testing.T) {
	t.Parallel()
	j := openJournal(t)
	made := create(t, j, "a")
	hellos := make(chan wire.Hello, 3)
	end := make(chan struct{})
	r := newRelay(t, func(p *peer) {
		hellos <- p.greet(news(made, 41, task.Pending), wire.Task{Task: "t_foreign", Rev: 42})
		<-end
	}, func(p *peer) {
		hellos <- p.greet()
		p.stay()
	})
	var ups atomic.Int32
	l, stop := start(t, r.url, j, func(l *Link) { l.opt.OnUp = func() { ups.Add(1) } })
	if l.Up() && l.Problem() == "" {
		t.Error("up before it connected")
	}
	until(t, "the link and its announcement, which comes after it", func() bool { return l.Up() && ups.Load() > 0 })
	if l.Problem() != "" || ups.Load() != 1 {
		t.Errorf("up, with the problem %q, announced %d times", l.Problem(), ups.Load())
	}
	first := <-hellos
	want := wire.Hello{Proto: [2]int{wire.MinVersion, wire.Version}, Machine: "Ana's laptop", Proc: j.Proc(), Journal: j.ID(), App: "v9"}
	if first != want {
		t.Errorf("hello %+v, want %+v", first, want)
	}
	close(end)
	second := <-hellos // says what it has seen
	if want.Epoch, want.Rev = "epoch", 42; second != want {
		t.Errorf("hello again %+v, want %+v", second, want)
	}
	until(t, "the link again", func() bool { return l.Up() && ups.Load() == 2 })
	stop()
	if l.Up() {
		t.Error("up after its end")
	}
}

// TestOutbox: in order, whatever was there before and what comes later, and
// again on the next connection until it is acknowledged.
func TestOutbox(t *testing.T) {
	t.Parallel()
	j := openJournal(t)
	a, b, c := create(t, j, "a"), create(t, j, "b"), create(t, j, "c")
	until(t, "some age", func() bool { return time.Since(a.Created) > 20*time.Millisecond })
	var d journal.Task
	later := make(chan struct{})
	got := make(chan wire.Open, 20)
	opens := func(p *peer, n int) (ids []string) {
		for range n {
			open, ok := p.read().(wire.Open)
			if !ok {
				return append(ids, "something else")
			}
			got <- open
			ids = append(ids, open.Task)
		}
		return ids
	}
	order := make(chan []string, 2)
	r := newRelay(t, func(p *peer) {
		p.greet()
		ids := opens(p, 3)
		later <- struct{}{}
		<-later
		order <- append(ids, opens(p, 1)...)
		// b is acknowledged, the others are not; then the connection breaks.
		p.send(wire.Ack{Re: "open:" + b.ID, Task: news(b, 7, task.Pending)}, wire.Err{Re: "open:" + c.ID, Code: wire.CodeInternal, Msg: "disk full"})
		p.stay()
	}, func(p *peer) {
		p.greet()
		order <- opens(p, 3)
		for _, x := range []journal.Task{a, c} {
			p.send(wire.Ack{Re: "open:" + x.ID, Task: news(x, 8, task.Pending)})
		}
		p.send(wire.Err{Re: "open:" + d.ID, Code: wire.CodeInvalid, Msg: "too long"})
		p.stay()
	})
	start(t, r.url, j)
	<-later
	d = create(t, j, "d")
	later <- struct{}{}
	if ids := <-order; !slices.Equal(ids, []string{a.ID, b.ID, c.ID, d.ID}) {
		t.Errorf("sent %v, want %v", ids, []string{a.ID, b.ID, c.ID, d.ID})
	}
	if ids := <-order; !slices.Equal(ids, []string{a.ID, c.ID, d.ID}) {
		t.Errorf("sent again %v, want %v", ids, []string{a.ID, c.ID, d.ID})
	}
	until(t, "an empty outbox", func() bool {
		rest, err := j.Outbox(context.Background(), 0, 10)
		return err == nil && len(rest) == 0
	})
	for _, x := range []journal.Task{a, b, c, d} {
		now, err := j.Get(context.Background(), x.ID)
		want := task.Pending
		if x.ID == d.ID {
			want = task.Failed
		}
		if err != nil || now.State != want {
			t.Errorf("%s is %s, want %s", now.Args, now.State, want)
		}
	}
	first := <-got
	if first.AgeMS < 20 || first.AgeMS > 60_000 || string(first.Args) != `"a"` || first.Binding != a.Binding || first.ID != "open:"+a.ID || first.TTLMS != time.Hour.Milliseconds() {
		t.Errorf("asked %+v", first)
	}
}

// TestGrease: what a newer relay may say beside what this build knows.
func TestGrease(t *testing.T) {
	t.Parallel()
	j := openJournal(t)
	made := create(t, j, "a")
	r := newRelay(t, func(p *peer) {
		p.raw(`{"type":"x-first","n":1}`)
		p.greet()
		p.raw(`{"type":"x-grease"}`, `{"type":"grants","list":[]}`, `{"type":"err","code":"unsupported","msg":"what is this"}`,
			`{"type":"ack","re":"open:unknown","task":{}}`, `{"type":"grant","re":"claim:99"}`, `{"type":"refused","re":"claim:98","task":{}}`,
			`{"type":"err","re":"unknown","code":"brand-new","msg":"?"}`, `{"type":"hello"}`, `{"type":"welcome","epoch":"epoch"}`, `{"type":"synced"}`)
		p.send(news(made, 5, task.Approved))
		p.stay()
	})
	const limit = time.Second // for a welcome, not for what follows
	began := time.Now()
	l, _ := start(t, r.url, j, func(l *Link) { l.patience = limit })
	until(t, "the decision behind the grease", func() bool {
		now, err := j.Get(context.Background(), made.ID)
		return err == nil && now.State == task.Approved && time.Since(began) > limit+limit/8
	})
	if !l.Up() || r.count.Load() != 1 {
		t.Errorf("up %v, %d connections", l.Up(), r.count.Load())
	}
}

func TestBye(t *testing.T) {
	t.Parallel()
	said := make(chan struct{})
	r := newRelay(t, func(p *peer) { p.greet(); p.send(wire.Bye{ReconnectMS: 30}); p.stay(); close(said) }, up)
	var problem atomic.Value
	l, _ := start(t, r.url, openJournal(t))
	until(t, "another link", func() bool {
		if p := l.Problem(); p != "" {
			problem.Store(p)
		}
		return r.count.Load() == 2 && l.Up()
	})
	<-said
	if p, _ := problem.Load().(string); p != "the relay is restarting" && p != "not connected yet" {
		t.Errorf("meanwhile the problem was %q", p)
	}
}

// TestEndsAtOnce: in whatever state it is when its context ends.
func TestEndsAtOnce(t *testing.T) {
	t.Parallel()
	hung, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	reached := make(chan struct{}, 9)
	go func() {
		for {
			c, err := hung.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			reached <- struct{}{}
		}
	}()
	silent := newRelay(t, func(p *peer) { p.read(); reached <- struct{}{}; p.stay() })
	linked := newRelay(t, func(p *peer) { p.greet(); reached <- struct{}{}; p.stay() })
	for name, url := range map[string]string{"dialling": "ws://" + hung.Addr().String(), "greeting": silent.url, "linked": linked.url} {
		_, stop := start(t, url, openJournal(t))
		<-reached
		began := time.Now()
		stop()
		if took := time.Since(began); took > dialWithin/2 {
			t.Errorf("%s: it took %s", name, took)
		}
	}
	l, stop := start(t, "ws://"+hung.Addr().String()+"x:1", openJournal(t), func(l *Link) { l.backoff = time.Hour })
	until(t, "the first failure", func() bool { return l.Problem() != "not connected yet" })
	stop()
}

func TestClaim(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	j := openJournal(t)
	made := create(t, j, "a")
	answers := make(chan func(*peer, wire.Claim))
	r := newRelay(t, func(p *peer) {
		p.greet(news(made, 1, task.Approved))
		for m := p.read(); m != nil; m = p.read() {
			if claim, ok := m.(wire.Claim); ok {
				(<-answers)(p, claim)
			}
		}
	})
	l, _ := start(t, r.url, j)
	until(t, "the link", l.Up)
	grant := wire.Grant{Task: made.ID, Binding: made.Binding, Claim: 3, By: "Ana", StartMS: 30_000}
	for _, tc := range []struct {
		name   string
		answer func(*peer, wire.Claim)
		says   string // "" = granted
	}{
		{"granted", func(p *peer, c wire.Claim) { g := grant; g.Re = c.ID; p.send(g) }, ""},
		{"granted behind other answers", func(p *peer, c wire.Claim) {
			g := grant
			g.Re, g.Claim = "claim:0", 99
			p.send(g, wire.Refused{Re: "claim:0"})
			p.raw(`{"type":"x-grease"}`)
			g.Re, g.Claim = c.ID, 3
			p.send(g, g) // twice
		}, ""},
		{"another task", func(p *peer, c wire.Claim) { g := grant; g.Re, g.Task = c.ID, "t_other"; p.send(g) }, "something else"},
		{"another binding", func(p *peer, c wire.Claim) { g := grant; g.Re, g.Binding = c.ID, "other"; p.send(g) }, "something else"},
		{"conflict", func(p *peer, c wire.Claim) {
			p.send(wire.Err{Re: c.ID, Code: wire.CodeConflict, Msg: "other contents"})
		}, "other contents"},
		{"refused", func(p *peer, c wire.Claim) {
			p.send(wire.Refused{Re: c.ID, Task: news(made, 2, task.Expired), Msg: "it expired"})
		}, "it expired"},
	} {
		go func() { answers <- tc.answer }()
		got, err := l.Claim(ctx, made.ID, made.Binding)
		var refused *RefusedError
		switch {
		case tc.says == "" && (err != nil || got.Claim != 3 || got.By != "Ana" || got.Task != made.ID):
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		case tc.says != "":
			if ok := errors.As(err, &refused); !ok || !strings.Contains(err.Error(), tc.says) || got != (wire.Grant{}) {
				t.Errorf("%s: %+v, %v", tc.name, got, err)
			}
		}
	}
	until(t, "the state that came with the refusal", func() bool {
		now, err := j.Get(ctx, made.ID)
		return err == nil && now.State == task.Expired
	})
	// The connection breaks before the answer: nobody waits for it.
	go func() { answers <- func(p *peer, _ wire.Claim) { p.ws.CloseNow() } }()
	began := time.Now()
	if got, err := l.Claim(ctx, made.ID, made.Binding); !ended(err) || time.Since(began) > writeWithin/2 {
		t.Errorf("cut off: %+v, %v after %s", got, err, time.Since(began))
	}
	until(t, "the link again", func() bool { return r.count.Load() == 2 && l.Up() })
	short, cancel := context.WithCancel(ctx)
	go func() { answers <- func(*peer, wire.Claim) { cancel() } }()
	if _, err := l.Claim(short, made.ID, made.Binding); !ended(err) {
		t.Errorf("given up: %v", err)
	}
	if !l.Up() {
		t.Error("a claim that was given up cost the link")
	}
}

// TestManyClaims: each gets its own answer, in whatever order they come.
func TestManyClaims(t *testing.T) {
	t.Parallel()
	const n = 20
	r := newRelay(t, func(p *peer) {
		p.greet()
		var claims []wire.Claim
		for len(claims) < n {
			c, ok := p.read().(wire.Claim)
			if !ok {
				return
			}
			claims = append(claims, c)
		}
		for i := range claims {
			c := claims[n-1-i]
			var no int64
			fmt.Sscanf(c.Task, "t%d", &no)
			p.send(wire.Grant{Re: c.ID, Task: c.Task, Binding: c.Binding, Claim: no})
		}
		p.stay()
	})
	l, _ := start(t, r.url, openJournal(t))
	until(t, "the link", l.Up)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			g, err := l.Claim(context.Background(), fmt.Sprint("t", i), "b")
			if err != nil || g.Claim != int64(i) {
				t.Errorf("claim of t%d: %+v, %v", i, g, err)
			}
		})
	}
	wg.Wait()
}

// TestRefusedUpgrade: a server that speaks WebSocket, but not this protocol.
func TestRefusedUpgrade(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err == nil {
			ws.Close(websocket.StatusPolicyViolation, "subprotocol portero.1 is required")
		}
	}))
	defer s.Close()
	l, stop := start(t, s.URL, openJournal(t))
	until(t, "the reason", func() bool { return strings.Contains(l.Problem(), "subprotocol portero.1 is required") })
	stop()
}
