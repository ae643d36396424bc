package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"portero/proxy/policy"
)

// session is a proxy without servers, with the test as its client.
type session struct {
	t      *testing.T
	in     *io.PipeWriter
	reader *io.PipeReader
	out    *bufio.Reader
	ended  chan error
}

func newSession(t *testing.T, ctx context.Context, edit func(*Options)) *session {
	t.Helper()
	rules, err := policy.Compile(nil, policy.RequireApproval)
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Machine: "m", StateDir: t.TempDir(), Separator: "auto", Instructions: "be John Doe", Hidden: func(string) bool { return false },
		Policy: rules, Table: anonymous(t, person).opt.Table, ExpireAfter: time.Hour, Version: "1", Logger: slog.New(slog.DiscardHandler)}
	if edit != nil {
		edit(&opt)
	}
	p, err := New(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	fromUs, in := io.Pipe()
	out, toUs := io.Pipe()
	s := &session{t, in, out, bufio.NewReader(out), make(chan error, 1)}
	go func() {
		s.ended <- p.Run(ctx, fromUs, toUs)
		toUs.Close()
	}()
	t.Cleanup(func() { in.Close(); out.Close() })
	return s
}

// do sends a line and returns the next one from the proxy.
func (s *session) do(line string) string {
	s.t.Helper()
	if _, err := io.WriteString(s.in, line+"\n"); err != nil {
		s.t.Fatal(err)
	}
	answer, err := s.out.ReadString('\n')
	if err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	return strings.TrimSuffix(answer, "\n")
}

func (s *session) call(name, args string) string {
	s.t.Helper()
	return s.do(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":` + args + `}}`)
}

func (s *session) end() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(30 * time.Second):
		s.t.Fatal("Run does not return")
		return nil
	}
}

const hello = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"claude-code","version":"1"}}}`

func TestSessionWithoutServers(t *testing.T) {
	s := newSession(t, t.Context(), nil)
	sees(t, s.do(hello), `"instructions":"be John Doe"`, `"name":"portero"`)
	list := s.do(`{"jsonrpc":"2.0","id":"l","method":"tools/list"}`)
	var r struct {
		Result struct{ Tools []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(list), &r); err != nil || len(r.Result.Tools) != len(ownDefs) {
		t.Fatalf("%v: %s", err, list)
	}
	for i, tool := range r.Result.Tools {
		if tool.Name != "portero__"+ownDefs[i].name {
			t.Errorf("tool %d is %s", i, tool.Name)
		}
	}
	for args, want := range map[string]string{
		`{"task_id":"t_none"}`:                           `{"error":"Task not found","task_id":"t_none"},"isError":true}`,
		`{"task_id":"María Cárdenas","wait_seconds":1}`:  `"task_id":"John Doe"},"isError":true}`,
		`{"task_id":"` + strings.Repeat("x", 500) + `"}`: strings.Repeat("x", 100) + `…"},"isError":true}`,
		`{"task_id":"x","wait_seconds":51}`:              `"wait_seconds\" is 0 to 50"`,
		`{"task_id":"x","wait_seconds":-1}`:              `"wait_seconds\" is 0 to 50"`,
		`{"task_id":7}`:                                  `"code":-32602,"message":"arguments of portero/check_task: cannot unmarshal number`,
		`{"taskId":"x"}`:                                 `unknown field \"taskId\"`,
	} {
		sees(t, s.call("portero/check_task", args), want)
	}
	sees(t, s.call("portero/list_tasks", `{}`), `"structuredContent":{"count":0,"tasks":[]}}`)
	sees(t, s.call("portero/list_tasks", `{"limit":101}`), `"limit\" is 1 to 100"`)
	sees(t, s.call("portero/cancel_task", `{"task_id":"t_none"}`), `Task not found`, `"isError":true`)
	sees(t, s.call("portero/search_tools", `{"query":"anything"}`), `"structuredContent":{"count":0,"tools":[]}}`)
	sees(t, s.call("portero/search_tools", `{"schemas":"some"}`), `"code":-32602`)
	sees(t, s.call("portero/call", `{"tool":"portero/list_tasks","args":{"limit":1}}`), `"count":0`)
	sees(t, s.call("portero/call", `{"tool":7}`), `"code":-32602`)
	s.in.Close()
	if err := s.end(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// TestSessionEndsWithItsContext: also while stdin stays open and nobody reads.
func TestSessionEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSession(t, ctx, nil)
	s.do(hello)
	cancel()
	if err := s.end(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestNewNeedsItsState(t *testing.T) {
	for name, dir := range map[string]string{"missing": filepath.Join(t.TempDir(), "missing"), "a file": "/dev/null"} {
		if _, err := New(t.Context(), Options{StateDir: dir, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "audit.ndjson"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), Options{StateDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Fatal("no error")
	}
	sees(t, err.Error(), "open audit log", "the state directory must be writable by this user")
}

// TestCallLog: lines of several writers do not mix, and what cannot be written
// is an error.
func TestCallLog(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for proc := range 4 {
		l, err := openCallLog(dir, fmt.Sprint("proc", proc))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := range 100 {
				if err := l.record(callEntry{Event: "allowed", Tool: "kit/" + strings.Repeat("<&>", i), Rule: "default"}); err != nil {
					t.Error(err)
				}
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if err := l.record(callEntry{Event: "late"}); err == nil {
				t.Error("a line was written to a closed file")
			}
		})
	}
	wg.Wait()
	path := filepath.Join(dir, "audit.ndjson")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 400 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		var e callEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Event != "allowed" || !strings.HasPrefix(e.Proc, "proc") || e.Time == "" {
			t.Fatalf("%q: %+v, %v", line, e, err)
		}
	}
}

// TestSessionEndsWithItsReader: a client that takes no more answers is gone.
func TestSessionEndsWithItsReader(t *testing.T) {
	s := newSession(t, t.Context(), nil)
	s.do(hello)
	s.reader.Close()
	if _, err := io.WriteString(s.in, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := s.end(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
