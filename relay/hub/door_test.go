package hub

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"portero/proxy/journal"
	"portero/proxy/link"
	"portero/relay/desk"
	"portero/shared/task"
	"portero/shared/wire"
)

func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	good, mate := r.token("laptop", "machine"), r.token("bob", "teammate")
	old, err := r.desk.CreateToken(ctx, "old", "machine", nil, time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	revoked := r.token("revoked", "machine")
	if err := r.desk.RevokeToken(ctx, "revoked"); err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{"no token": "", "wrong token": "Bearer prt_x", "teammate": "Bearer " + mate, "expired": "Bearer " + old,
		"revoked": "Bearer " + revoked, "another scheme": "Basic " + good, "only the token": good, "nothing behind the scheme": "Bearer "} {
		req, err := http.NewRequest("GET", r.server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("Authorization", header)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != "Bearer" || !strings.Contains(string(body), "portero-relay token create --role machine") {
			t.Errorf("%s: %s, %v, %s", name, resp.Status, resp.Header, body)
		}
	}
	if all, err := r.desk.Machines(ctx); err != nil || len(all) != 0 {
		t.Errorf("machines %v, %v", all, err)
	}
	// The right token, in another spelling of the scheme, without the subprotocol.
	ws, _, err := websocket.Dial(ctx, r.url(), &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"bearer  " + good}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if _, _, err := ws.Read(ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation || !strings.Contains(err.Error(), wire.Subprotocol) {
		t.Errorf("without the subprotocol: %v", err)
	}
}

// TestWrongToken: the machine says what to do, and gets in once it was done.
func TestWrongToken(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	m := newMachine(t, nil, "", t.TempDir())
	m.wire.to(r, "prt_wrong")
	made := m.ask("a")
	until(t, "the problem", func() bool { return strings.Contains(m.link.Problem(), "401") })
	if p := m.link.Problem(); !strings.Contains(p, "portero-relay token create --role machine") || m.link.Up() {
		t.Errorf("problem %q", p)
	}
	m.wire.to(r, r.token("laptop", "machine"))
	r.becomes(made.ID, task.Pending)
}

// TestRevokedToken: live links end, also when the command line revokes.
func TestRevokedToken(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	m := newMachine(t, r, "laptop", t.TempDir())
	other := newMachine(t, r, "desktop", t.TempDir())
	m.up()
	other.up()
	cli, err := desk.Open(ctx, r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	if err := cli.RevokeToken(ctx, "laptop"); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of the link", func() bool { return !m.link.Up() })
	made := m.ask("after")
	until(t, "the problem", func() bool { return strings.Contains(m.link.Problem(), "token create") })
	if !other.link.Up() || r.task(made.ID).ID != "" {
		t.Errorf("the other machine is up: %v; the revoked one's request arrived: %v", other.link.Up(), r.task(made.ID).ID != "")
	}
	m.wire.to(r, r.token("laptop", "machine")) // the same name again
	r.becomes(made.ID, task.Pending)
}

func TestGreetings(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	secret := r.token("laptop", "machine")
	with := func(f func(*wire.Hello)) string {
		h := hello
		f(&h)
		frame, err := wire.Encode(h)
		if err != nil {
			t.Fatal(err)
		}
		return string(frame)
	}
	for _, tc := range []struct {
		name, frame string
		code        wire.Code // "" = welcome
		says        string
	}{
		{"well-behaved", with(func(*wire.Hello) {}), "", ""},
		{"newer, and knows this version", with(func(h *wire.Hello) { h.Proto = [2]int{1, 9} }), "", ""},
		{"older, and knows this version", with(func(h *wire.Hello) { h.Proto = [2]int{0, 1} }), "", ""},
		{"too new", with(func(h *wire.Hello) { h.Proto = [2]int{2, 3} }), wire.CodeVersion, "speaks link versions 1 to 1, the machine 2 to 3: upgrade the older one"},
		{"too old", with(func(h *wire.Hello) { h.Proto = [2]int{0, 0} }), wire.CodeVersion, "upgrade the older one"},
		{"no process", with(func(h *wire.Hello) { h.Proc = "" }), wire.CodeInvalid, "must be hello"},
		{"no journal", with(func(h *wire.Hello) { h.Journal = "" }), wire.CodeInvalid, "must be hello"},
		{"a request first", `{"type":"claim","id":"c"}`, wire.CodeInvalid, "must be hello"},
		{"an unknown type first", `{"type":"x-hello"}`, wire.CodeInvalid, "must be hello"},
		{"no JSON", `hello?`, wire.CodeInvalid, "must be hello"},
	} {
		c := r.dial(secret)
		c.write(tc.frame)
		switch m := c.read().(type) {
		case wire.Welcome:
			epoch, _, err := r.desk.Head(ctx)
			if tc.code != "" || m.Proto != 1 || m.Epoch != epoch || m.Machine != "laptop" || err != nil {
				t.Errorf("%s: %+v, %v", tc.name, m, err)
			}
		case wire.Err:
			if m.Code != tc.code || tc.code == "" || !m.Fatal || !strings.Contains(m.Msg, tc.says) {
				t.Errorf("%s: %+v", tc.name, m)
			}
			if end, ok := c.read().(wire.Err); !ok || !strings.Contains(end.Msg, "StatusPolicyViolation") {
				t.Errorf("%s: then %+v", tc.name, end)
			}
		default:
			t.Errorf("%s: %+v", tc.name, m)
		}
	}
}

func TestSilentClient(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	r.hub.patience = 20 * time.Millisecond
	c := r.dial(r.token("laptop", "machine"))
	if m, ok := c.read().(wire.Err); !ok || m.Code != "closed" {
		t.Errorf("%+v", m)
	}
}

// TestOddFrames: they are answered, and the link goes on.
func TestOddFrames(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	c := r.linked(r.token("laptop", "machine"), hello)
	for _, tc := range []struct {
		frame string
		code  wire.Code
	}{
		{`{"type":"x-grease","n":1}`, wire.CodeUnsupported},
		{`{"type":"used","grant":1}`, wire.CodeUnsupported},
		{`{"type":"welcome","proto":1}`, wire.CodeUnsupported}, // the relay's to say
		{`{"type":"ack","re":"x"}`, wire.CodeUnsupported},
		{`{"type":"hello","proto":[1,1],"proc":"other","journal":"other"}`, wire.CodeUnsupported}, // once is enough
		{`{"type":"cancel","task":"t1"}`, wire.CodeUnsupported},                                   // without an id nobody waits for an answer
		{`{"type":"open","task":5}`, wire.CodeInvalid},
		{`{"type":`, wire.CodeInvalid},
		{`[]`, wire.CodeInvalid},
	} {
		c.write(tc.frame)
		if m, ok := c.read().(wire.Err); !ok || m.Code != tc.code || m.Fatal || m.Msg == "" {
			t.Errorf("%s: %+v", tc.frame, m)
		}
	}
	// What cannot be done is named by the request's id.
	for _, m := range []wire.Message{wire.Cancel{ID: "1", Task: "t"}, wire.Claim{ID: "1", Task: "t", Binding: "b"}, wire.Started{ID: "1", Task: "t"},
		wire.Finished{ID: "1", Task: "t"}, wire.Lost{ID: "1", Task: "t"}, wire.Release{ID: "1", Task: "t", Why: task.Dead}} {
		if got, ok := c.answer(m).(wire.Err); !ok || got.Re != "1" || got.Code != wire.CodeUnknown || got.Fatal {
			t.Errorf("%T of an unknown task: %+v", m, got)
		}
	}
	bad := request("t1")
	bad.TTLMS = 0
	if got, ok := c.answer(bad).(wire.Err); !ok || got.Re != "open:t1" || got.Code != wire.CodeInvalid {
		t.Errorf("a bad request: %+v", got)
	}
	if got, ok := c.answer(request("t1")).(wire.Ack); !ok || got.Re != "open:t1" || got.Task.State != task.Pending || got.Task.Binding != "binding-t1" {
		t.Errorf("a good request: %+v", got)
	}
	rebound := request("t1")
	rebound.Binding = "other"
	if got, ok := c.answer(rebound).(wire.Err); !ok || got.Code != wire.CodeConflict {
		t.Errorf("the same task with another binding: %+v", got)
	}
	if got, ok := c.answer(wire.Claim{ID: "2", Task: "t1", Binding: "binding-t1"}).(wire.Refused); !ok || got.Re != "2" || got.Task.State != task.Pending || got.Msg == "" {
		t.Errorf("claim of what is not approved: %+v", got)
	}
	r.decide("t1", true)
	if got, ok := c.answer(wire.Claim{ID: "3", Task: "t1", Binding: "other"}).(wire.Err); !ok || got.Re != "3" || got.Code != wire.CodeConflict {
		t.Errorf("claim with another binding: %+v", got)
	}
	want := wire.Grant{Re: "4", Task: "t1", Claim: 1, Binding: "binding-t1", By: "Ana", StartMS: 30_000}
	if got := c.answer(wire.Claim{ID: "4", Task: "t1", Binding: "binding-t1"}); got != want {
		t.Errorf("claim: %+v, want %+v", got, want)
	}
	// An event that comes too late is acknowledged with the state as it is.
	if got, ok := c.answer(wire.Cancel{ID: "5", Task: "t1"}).(wire.Ack); !ok || got.Re != "5" || got.Task.State != task.Claimed || got.Task.Holder != "proc1" {
		t.Errorf("withdrawn too late: %+v", got)
	}
}

func TestOversizedFrame(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	secret := r.token("laptop", "machine")
	c, other := r.linked(secret, hello), r.linked(secret, hello)
	biggest := wire.Finished{ID: "f", Task: "t", Note: "x"}
	frame, err := wire.Encode(biggest)
	if err != nil {
		t.Fatal(err)
	}
	biggest.Note += strings.Repeat("x", wire.MaxFrame-len(frame))
	if got, ok := c.answer(biggest).(wire.Err); !ok || got.Code != wire.CodeUnknown {
		t.Errorf("a frame of the largest size: %+v", got)
	}
	bound, done := context.WithTimeout(ctx, patience)
	defer done()
	_ = c.ws.Write(bound, websocket.MessageText, make([]byte, wire.MaxFrame+1)) // may fail: it is cut off
	if m, ok := c.read().(wire.Err); !ok || m.Code != "closed" || !strings.Contains(m.Msg, "StatusMessageTooBig") {
		t.Errorf("one byte more: %+v", m)
	}
	if got, ok := other.answer(request("t1")).(wire.Ack); !ok {
		t.Errorf("the other link: %+v", got)
	}
}

// TestOtherMachinesTasks are neither told nor touched.
func TestOtherMachinesTasks(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	mine := r.linked(r.token("laptop", "machine"), hello)
	if got, ok := mine.answer(request("t1")).(wire.Ack); !ok {
		t.Fatalf("%+v", got)
	}
	r.decide("t1", true)
	foreign := r.linked(r.token("desktop", "machine"), hello) // even with the same journal's name
	restored := hello
	restored.Journal = "journal2"
	clone := r.linked(r.token("laptop2", "machine"), restored)
	for _, c := range []*raw{foreign, clone} {
		if got, ok := c.answer(wire.Claim{ID: "c", Task: "t1", Binding: "binding-t1"}).(wire.Err); !ok || got.Code != wire.CodeUnknown {
			t.Errorf("claim: %+v", got)
		}
		if got, ok := c.answer(request("t1")).(wire.Err); !ok || got.Code != wire.CodeConflict || strings.Contains(fmt.Sprint(got), "kit/echo") {
			t.Errorf("open: %+v", got)
		}
		if got, ok := c.answer(request("t2-" + fmt.Sprintf("%p", c))).(wire.Ack); !ok { // nothing else was in between
			t.Errorf("its own: %+v", got)
		}
	}
	if got := r.task("t1"); got.State != task.Approved {
		t.Errorf("it is %s", got.State)
	}
}

// TestManyNews: more than one batch, in the order of their revisions, each task
// once, and synced behind them; then from where the machine left off.
func TestManyNews(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	secret := r.token("laptop", "machine")
	const n = pushBatch + 5
	for i := range n {
		if _, err := r.desk.OpenTask(ctx, "laptop", hello, request(fmt.Sprint("t", i))); err != nil {
			t.Fatal(err)
		}
	}
	r.decide("t0", true)
	epoch, head, err := r.desk.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		epoch string
		rev   int64
		want  int
	}{{"", 0, n}, {epoch, head - 3, 3}, {epoch, head, 0}, {epoch, head + 1, n}, {"another", head, n}} {
		h := hello
		h.Epoch, h.Rev = tc.epoch, tc.rev
		c := r.dial(secret)
		c.send(h)
		c.read() // welcome
		var last int64
		got := 0
		for {
			m := c.read()
			if synced, ok := m.(wire.Synced); ok {
				if synced.Epoch != epoch || synced.Rev != head {
					t.Errorf("%+v, the store is at %d", synced, head)
				}
				break
			}
			news, ok := m.(wire.Task)
			if !ok || news.Rev <= last {
				t.Fatalf("after %d came %+v", last, m)
			}
			last = news.Rev
			got++
		}
		if got != tc.want {
			t.Errorf("since %q %d: %d tasks, want %d", tc.epoch, tc.rev, got, tc.want)
		}
		c.ws.CloseNow()
	}
}

func TestStoreTrouble(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	secret := r.token("laptop", "machine")
	c := r.linked(secret, hello)
	if err := r.desk.Close(); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.answer(request("t1")).(wire.Err); !ok || got.Code == wire.CodeInternal && got.Re != "open:t1" || got.Code != wire.CodeInternal && got.Code != "closed" {
		t.Errorf("%+v", got)
	}
	req, err := http.NewRequest("GET", r.server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("at the door: %s; a wrong token it is not", resp.Status)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	secret := r.token("laptop", "machine")
	var clients []*raw
	for range 5 {
		clients = append(clients, r.linked(secret, hello))
	}
	m := newMachine(t, r, "desktop", t.TempDir())
	m.up()
	closed := make(chan error, 1)
	go func() {
		bound, done := context.WithTimeout(ctx, patience)
		defer done()
		closed <- r.hub.Close(bound)
	}()
	for _, c := range clients {
		if bye, ok := c.read().(wire.Bye); !ok || bye.ReconnectMS != 1000 {
			t.Errorf("%+v", bye)
		}
		if end, ok := c.read().(wire.Err); !ok || end.Code != "closed" {
			t.Errorf("%+v", end)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	until(t, "the machine to notice", func() bool { return !m.link.Up() })
	if all, err := r.desk.Machines(ctx); err != nil || all[0].Procs != 0 || all[1].Procs != 0 {
		t.Errorf("still connected: %+v, %v", all, err)
	}
	late := r.dial(secret)
	if m, ok := late.read().(wire.Err); !ok || !strings.Contains(m.Msg, "StatusGoingAway") {
		t.Errorf("whoever comes later: %+v", m)
	}
}

// TestLinkWithoutMiddle: nothing of what works above is the middle's doing.
func TestLinkWithoutMiddle(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	j, err := journal.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	l := link.New(link.Options{URL: r.url(), Token: r.token("laptop", "machine"), Machine: "m", Journal: j, Logger: slog.New(slog.DiscardHandler)})
	bound, cancel := context.WithCancel(ctx)
	ran := make(chan struct{})
	go func() { defer close(ran); l.Run(bound) }()
	until(t, "the link", l.Up)
	cancel()
	<-ran
	bad := link.New(link.Options{URL: r.url(), Token: r.token("bob", "teammate"), Machine: "m", Journal: j, Logger: slog.New(slog.DiscardHandler)})
	bound, cancel = context.WithCancel(ctx)
	ran = make(chan struct{})
	go func() { defer close(ran); bad.Run(bound) }()
	until(t, "the problem", func() bool { return strings.Contains(bad.Problem(), "token create --role machine") })
	cancel()
	<-ran
}
