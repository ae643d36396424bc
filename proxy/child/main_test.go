package child

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kit is the path of the scripted MCP server all tests drive.
var kit string

func TestMain(m *testing.M) {
	if args := os.Getenv("CHILD_TEST_ORPHAN"); args != "" {
		orphanMaker(strings.Fields(args))
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "child-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	kit = filepath.Join(dir, "kit")
	if out, err := exec.Command("go", "build", "-o", kit, "portero/shared/porterotest/kit").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build kit: %v\n%s", err, out)
		return 1
	}
	if flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true" {
		return m.Run() // fuzzing leaves goroutines of its own
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	for deadline := time.Now().Add(2 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines are left over:\n%s\n", buf[:runtime.Stack(buf, true)])
			return 1
		}
		runtime.Gosched()
	}
	return code
}

// fixture is a running Child and what it told.
type fixture struct {
	*Child
	t    *testing.T
	log  syncBuffer
	stop context.CancelFunc
	ran  chan error

	mu      sync.Mutex
	lists   [][]json.RawMessage
	notes   []string // "method params"
	changed chan struct{}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// brisk are the durations of a test that does not look at them.
var brisk = timing{
	backoffMin: time.Millisecond,
	backoffMax: 20 * time.Millisecond,
	stable:     time.Hour,
	stall:      10 * time.Second,
	settle:     100 * time.Millisecond,
	grace:      120 * time.Millisecond,
	closing:    100 * time.Millisecond,
	refetch:    time.Millisecond,
}

// run starts a kit with the flags. change, if given, alters the Child before
// it runs.
func run(t *testing.T, change func(*Child), flags ...string) *fixture {
	t.Helper()
	f := &fixture{t: t, ran: make(chan error, 1), changed: make(chan struct{}, 1)}
	poke := func() {
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
	f.Child = New(Options{
		Name: "kit", Command: kit, Args: flags, Version: "1.2.3",
		Logger:  slog.New(slog.NewTextHandler(&f.log, nil)),
		OnState: poke,
		OnTools: func(tools []json.RawMessage) {
			f.mu.Lock()
			f.lists = append(f.lists, tools)
			f.mu.Unlock()
			poke()
		},
		OnNotify: func(method string, params json.RawMessage) {
			f.mu.Lock()
			f.notes = append(f.notes, method+" "+string(params))
			f.mu.Unlock()
			poke()
		},
	})
	f.timing = brisk
	if change != nil {
		change(f.Child)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	go func() { f.ran <- f.Run(ctx) }()
	t.Cleanup(f.end)
	return f
}

// end stops the child and waits for Run; a second call does nothing.
func (f *fixture) end() {
	f.stop()
	select {
	case err, first := <-f.ran:
		if first {
			close(f.ran)
		}
		if err != nil {
			f.t.Errorf("Run: %v", err)
		}
	case <-time.After(5 * time.Second):
		f.t.Error("Run has not returned")
	}
	if f.t.Failed() {
		f.t.Logf("log:\n%s", f.log.String())
	}
}

// up waits until the child is ready.
func (f *fixture) up() *fixture {
	f.t.Helper()
	f.until("ready", func() bool { return f.Status().State == Ready })
	return f
}

// until polls for what the world outside this process decides.
func (f *fixture) until(what string, cond func() bool) {
	f.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-f.changed:
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("never: %s; status %+v\nlog:\n%s", what, f.Status(), f.log.String())
		}
	}
}

func (f *fixture) notified() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.notes...)
}

// tools is the latest list, by name.
func (f *fixture) tools() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lists) == 0 {
		return nil
	}
	names := []string{}
	for _, raw := range f.lists[len(f.lists)-1] {
		var tool struct{ Name string }
		if err := json.Unmarshal(raw, &tool); err != nil {
			f.t.Error(err)
		}
		names = append(names, tool.Name)
	}
	return names
}

func params(tool, args string) json.RawMessage {
	return json.RawMessage(`{"name":"` + tool + `","arguments":` + args + `}`)
}

// tool calls a tool that must answer with a result.
func (f *fixture) tool(name, args string) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := f.Call(ctx, "tools/call", params(name, args))
	if err != nil {
		f.t.Fatalf("call %s: %v", name, err)
	}
	if r.Error != nil {
		f.t.Fatalf("call %s: error %s", name, r.Error)
	}
	return string(r.Result)
}

// refused calls a tool that must end in a CallError.
func (f *fixture) refused(ctx context.Context, p json.RawMessage) *CallError {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := f.Call(ctx, "tools/call", p)
	var ce *CallError
	if !errors.As(err, &ce) {
		f.t.Fatalf("result %.200s, error %v; want a CallError", r.Result, err)
	}
	return ce
}

// has checks that text holds all of the parts.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in: %s", p, text)
		}
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	if runtime.GOOS != "linux" {
		return syscall.Kill(pid, 0) == nil
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// readPID waits for a file that holds a process id.
func (f *fixture) readPID(file string) (pid int) {
	f.t.Helper()
	f.until("a process id in "+file, func() bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(text))
		return err == nil
	})
	return pid
}
