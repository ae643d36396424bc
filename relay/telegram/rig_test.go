package telegram

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"portero/relay/desk"
	"portero/shared/porterotest/botapi"
	"portero/shared/task"
	"portero/shared/wire"
)

const (
	token = "12345:AAsecretTOKENsecret_token-x"
	admin = 1001 // user and private chat
	guest = 2002
	group = -3003
)

// rig is a real desk, an emulated Bot API and the bot between them.
type rig struct {
	*testing.T
	api  *botapi.Server
	desk *desk.Desk
	dir  string
	opt  Options
	bot  *Bot
	ctx  context.Context
	// cancel ends the bot's context, stop also waits for its end.
	cancel, stop func()
	logs         *logs
}

// logs collects what the bot logs.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func quick() *knobs {
	return &knobs{
		poll: 50 * time.Second, slack: time.Second, call: 5 * time.Second, upload: 5 * time.Second,
		backoffMin: 4 * time.Millisecond, backoffMax: 30 * time.Millisecond,
		tick: 20 * time.Millisecond, slow: 30 * time.Millisecond, second: 20 * time.Millisecond, every: time.Millisecond,
		hour: time.Hour, grace: time.Second,
	}
}

// start runs a bot for the admin's private chat, after edits of its options.
func start(t *testing.T, edit ...func(*rig)) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	dir := t.TempDir()
	d, err := desk.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, api: botapi.New(token), desk: d, dir: dir, ctx: ctx, logs: &logs{}}
	r.api.AddUser(admin, "Ana")
	r.api.AddUser(guest, "Eve")
	r.api.AddChat(group, "supergroup", "Team")
	log := slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.opt = Options{Desk: d, Token: token, APIURL: r.api.URL(), AdminChat: admin, Version: "v0", Logger: log, knobs: quick()}
	for _, e := range edit {
		e(r)
	}
	r.run()
	t.Cleanup(func() {
		r.stop()
		r.api.Close()
		d.Close()
		_, secret, _ := strings.Cut(token, ":")
		if text := r.logs.String(); strings.Contains(text, secret) {
			t.Errorf("the token is in the log:\n%s", text)
		} else if strings.Contains(text, "John Doe") || strings.Contains(text, "/pair") {
			t.Errorf("a message or an argument is in the log:\n%s", text)
		}
		if t.Failed() {
			t.Logf("log:\n%s", r.logs)
		}
	})
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.ctx)
	r.bot = New(r.opt)
	ended := make(chan error)
	go func() { ended <- r.bot.Run(ctx) }()
	r.cancel = cancel
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.Errorf("Run: %v", err)
		}
	})
}

// restart ends the bot and runs a new one on the same desk.
func (r *rig) restart() {
	r.stop()
	r.run()
}

// ask opens a task and returns it.
func (r *rig) ask(id string, args string) desk.Task {
	r.Helper()
	t, err := r.desk.OpenTask(r.ctx, "laptop", wire.Hello{Machine: "lap", Journal: "j", Proc: "p"}, wire.Open{
		ID: "o-" + id, Task: id, Binding: "sha256:" + id, Code: "7K3F", Tool: "github/create_issue",
		Args: json.RawMessage(args), Rule: "github/*", Session: "p", TTLMS: 60_000,
	})
	if err != nil {
		r.Fatal(err)
	}
	return t
}

// message waits for a message of the bot in chat that holds all the texts.
func (r *rig) message(chat int64, texts ...string) botapi.Message {
	r.Helper()
	m, err := r.api.WaitMessage(r.ctx, chat, func(m botapi.Message) bool {
		for _, text := range texts {
			if !strings.Contains(m.Text, text) {
				return false
			}
		}
		return true
	})
	if err != nil {
		r.Fatalf("no message with %q in chat %d; there are:\n%s", texts, chat, r.texts(chat))
	}
	return m
}

func (r *rig) texts(chat int64) string {
	var b strings.Builder
	for _, m := range r.api.Messages(chat) {
		fmt.Fprintf(&b, "%d from %d: %s\n----\n", m.ID, m.From, m.Text)
	}
	return b.String()
}

// toast waits for the answer to a press.
func (r *rig) toast(callback string) string {
	r.Helper()
	a, err := r.api.WaitAnswer(r.ctx, callback)
	if err != nil {
		r.Fatalf("no answer to %s", callback)
	}
	return a.Text
}

// card waits for a pending card.
func (r *rig) card(id string) botapi.Message {
	r.Helper()
	m := r.message(admin, "ID: "+id)
	if len(m.Buttons) == 0 {
		r.Fatalf("card without buttons: %s", m.Text)
	}
	return m
}

func (r *rig) state(id string, want task.State) desk.Task {
	r.Helper()
	t, err := r.desk.Task(r.ctx, id)
	if err != nil || t.State != want {
		r.Fatalf("task %s is %s (%v), want %s", id, t.State, err, want)
	}
	return t
}

// settled waits until every update is confirmed, so that whatever they were to
// do has been done.
func (r *rig) settled() {
	r.Helper()
	if err := r.api.Wait(r.ctx, func() bool { return len(r.api.Unconfirmed()) == 0 }); err != nil {
		r.Fatalf("updates left: %v", r.api.Unconfirmed())
	}
}

// health waits until the bot has, or has not, a problem with that text.
func (r *rig) health(problem string) {
	r.Helper()
	r.eventually("health: "+problem, func() bool {
		h := r.bot.Health()
		return h.OK == (problem == "") && strings.Contains(h.Problem, problem) && !h.Since.IsZero()
	})
}

func (r *rig) eventually(what string, cond func() bool) {
	r.Helper()
	for !cond() {
		select {
		case <-r.ctx.Done():
			r.Fatalf("never: %s (health %+v)", what, r.bot.Health())
		case <-time.After(time.Millisecond):
		}
	}
}

// do moves a task on as its machine would.
func (r *rig) do(id string, e task.Event, outcome wire.Outcome, note string) {
	r.Helper()
	_, err := r.desk.Do(r.ctx, desk.Request{Machine: "laptop", Journal: "j", Proc: "p", Task: id, Binding: "sha256:" + id,
		Event: e, Outcome: outcome, Note: note})
	if err != nil {
		r.Fatal(err)
	}
}

// store runs f on the store behind the desk's back.
func (r *rig) store(f func(*sql.DB) error) {
	r.Helper()
	store, err := sql.Open("sqlite", "file:"+filepath.Join(r.dir, "relay.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		r.Fatal(err)
	}
	defer store.Close()
	if err := f(store); err != nil {
		r.Fatal(err)
	}
}

// full makes the store refuse a kind of write, until the returned func is
// called.
func (r *rig) full(write string) (empty func()) {
	r.Helper()
	exec := func(query string) {
		r.store(func(s *sql.DB) error { _, err := s.ExecContext(r.ctx, query); return err })
	}
	exec("CREATE TRIGGER no_room BEFORE " + write + " BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
	return func() { exec("DROP TRIGGER no_room") }
}

// audited counts the audit lines of an event.
func (r *rig) audited(event string) (n int) {
	r.Helper()
	r.store(func(s *sql.DB) error {
		return s.QueryRowContext(r.ctx, "SELECT COUNT(*) FROM audit WHERE json_extract(line, '$.event') = ?", event).Scan(&n)
	})
	return n
}
