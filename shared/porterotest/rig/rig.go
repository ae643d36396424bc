// Package rig drives the built programs in end-to-end tests: it builds them
// once, gives each test a directory and a configuration of its own, starts
// portero-stdio and portero-relay as processes, and ends all of them with the
// test.
package rig

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Patience bounds every wait for something that must happen.
const Patience = 30 * time.Second

var bin string

// Main builds portero-stdio, portero-relay and kit, runs the tests and removes
// what it built. Call it from TestMain and exit with its result.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "portero-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, pkg := range []string{"./cmd/portero-stdio", "./cmd/portero-relay", "./shared/porterotest/kit"} {
		cmd := exec.Command("go", "build", "-o", dir+"/", pkg)
		cmd.Dir = Root()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	bin = dir
	return m.Run()
}

// Root is the module's directory.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Bin is the path of a program that Main built.
func Bin(name string) string { return filepath.Join(bin, name) }

// NodeServer is the script of an npm package's MCP server, and the node that
// runs it. A test fails, not skips, without it.
func NodeServer(t testing.TB, pkg string) (node, script string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("node is needed: %v", err)
	}
	script = filepath.Join(Root(), "demo", "node_modules", filepath.FromSlash(pkg), "dist", "index.js")
	if _, err := os.Stat(script); err != nil {
		t.Fatalf("%v; run make deps", err)
	}
	return node, script
}

// World is one test's directory, configuration and processes.
type World struct {
	T    testing.TB
	Dir  string
	Env  []string // added to PATH and HOME
	Port int      // the relay's, free when the world was made
}

// New makes a world that ends with the test.
func New(t testing.TB) *World {
	t.Helper()
	return &World{T: t, Dir: t.TempDir(), Port: freePort(t)}
}

var lastPort atomic.Uint32

func init() { lastPort.Store(rand.Uint32()) }

// freePort returns a port that is the world's even while its relay is not
// listening, as when it has just been killed: it lies below those that systems
// hand out by themselves, where anybody's next connection could get it.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 20000 + int(lastPort.Add(1)%12000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
}

// Config is the path of the world's portero.toml.
func (w *World) Config() string { return filepath.Join(w.Dir, "portero.toml") }

// Path is a path in the world's directory.
func (w *World) Path(elem ...string) string {
	return filepath.Join(append([]string{w.Dir}, elem...)...)
}

// Write writes portero.toml, with {{dir}}, {{kit}} and {{port}} filled in.
func (w *World) Write(text string) {
	w.T.Helper()
	text = strings.NewReplacer("{{dir}}", w.Dir, "{{kit}}", Bin("kit"), "{{port}}", fmt.Sprint(w.Port)).Replace(text)
	if err := os.WriteFile(w.Config(), []byte(text), 0o600); err != nil {
		w.T.Fatal(err)
	}
}

// Append adds text to portero.toml.
func (w *World) Append(text string) {
	w.T.Helper()
	old, err := os.ReadFile(w.Config())
	if err != nil {
		w.T.Fatal(err)
	}
	w.Write(string(old) + text)
}

func (w *World) environ() []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.Dir, "PORTERO_CONFIG=" + w.Config()}, w.Env...)
}

// Run runs a program to its end and returns what it printed and its exit code.
func (w *World) Run(name string, args ...string) (stdout, stderr string, code int) {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.T.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, Bin(name), args...)
	cmd.Env = w.environ()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		w.T.Fatalf("%s %v did not end: %s", name, args, errs.String())
	}
	if cmd.ProcessState == nil {
		w.T.Fatalf("%s: %v", name, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Eventually polls until f is true. what names it in the failure.
func (w *World) Eventually(what string, f func() bool) {
	w.T.Helper()
	Eventually(w.T, what, f)
}

// Eventually polls until f is true. what names it in the failure.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(Patience)
	for !f() {
		if time.Now().After(end) {
			t.Fatalf("did not happen within %v: %s", Patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// process is a started program with its stderr kept.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	errs *buffer
	done chan struct{}
}

// buffer collects output while others look at it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (w *World) start(name string, cmd *exec.Cmd) *process {
	w.T.Helper()
	p := &process{t: w.T, name: name, cmd: cmd, errs: &buffer{}, done: make(chan struct{})}
	cmd.Stderr = p.errs
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		w.T.Fatalf("start %s: %v", name, err)
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	w.T.Cleanup(func() {
		p.Kill()
		if w.T.Failed() {
			w.T.Logf("stderr of %s:\n%s", name, p.Stderr())
		}
	})
	return p
}

// Stderr is what the process has logged so far.
func (p *process) Stderr() string { return p.errs.String() }

// PID is the process's number.
func (p *process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process with SIGKILL and waits for it.
func (p *process) Kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// Signal sends a signal.
func (p *process) Signal(s os.Signal) { p.cmd.Process.Signal(s) }

// Wait waits for the end and returns the exit code.
func (p *process) Wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(Patience):
		p.t.Fatalf("%s did not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}
