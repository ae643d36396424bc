package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDeathInACall(t *testing.T) {
	f := run(t, func(c *Child) {
		c.opt.LogLine = func(line string) string { return strings.ReplaceAll(line, "Jane", "FAKE") }
	}).up()
	pid := f.Status().PID
	ce := f.refused(context.Background(), params("crash", `{"code":3,"message":"panic: Jane\u001b[31m is unhappy"}`))
	if !ce.Sent {
		t.Error("the call had been sent")
	}
	has(t, ce.Error(), `child "kit" exited with status 3`, "may have run", `"panic: FAKE[31m is unhappy"`, "restarts")
	f.up() // and calls work again
	f.until("another process", func() bool { return f.Status().PID != pid && f.Status().State == Ready })
	has(t, f.tool("echo", `{"again":1}`), "again")
	if s := f.Status(); s.Restarts != 1 || s.Err != nil {
		t.Errorf("status %+v", s)
	}
	if strings.Contains(f.log.String(), "Jane") {
		t.Error("a line was logged as it was")
	}
}

func TestDeathBySignal(t *testing.T) {
	f := run(t, nil).up()
	pid := f.Status().PID
	failed := make(chan *CallError, 2)
	for range 2 {
		go func() { failed <- f.refused(context.Background(), params("slow", `{"ms":60000}`)) }()
	}
	f.until("both calls are pending", func() bool {
		f.Child.mu.Lock()
		s := f.session
		f.Child.mu.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.pending) == 2
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		has(t, (<-failed).Error(), "was ended by signal 9 (killed)")
	}
}

func TestClosedOutput(t *testing.T) {
	f := run(t, nil).up()
	pid := f.Status().PID
	ce := f.refused(context.Background(), params("close", `{}`))
	has(t, ce.Error(), "closed its output")
	if !ce.Sent {
		t.Error("unsent")
	}
	if alive(pid) {
		t.Error("the process lives on")
	}
	f.up()
}

// TestLastWords: what a child wrote before it ended still counts.
func TestLastWords(t *testing.T) {
	f := run(t, nil).up()
	failed := make(chan *CallError, 1)
	for range 20 {
		f.up()
		go func() { failed <- f.refused(context.Background(), params("crash", `{"code":1}`)) }()
		r, err := f.Call(context.Background(), "tools/call", params("echo", `{"x":1}`))
		if err == nil {
			has(t, string(r.Result), `{"x":1}`)
		}
		<-failed
	}
}

// TestDeaf: a child that stops reading fails its own calls in time, says which
// of them cannot have run, and is ended.
func TestDeaf(t *testing.T) {
	f := run(t, func(c *Child) { c.timing.stall = 200 * time.Millisecond }, "-deaf", "-stubborn").up()
	other := run(t, nil).up()
	pid := f.Status().PID
	results := make(chan *CallError, 3)
	call := func(args string) { results <- f.refused(context.Background(), params("echo", args)) }
	go call(`{"fill":"` + strings.Repeat("x", 3<<20) + `"}`)
	f.until("the large call is being written", func() bool {
		f.Child.mu.Lock()
		s := f.session
		f.Child.mu.Unlock()
		if s == nil {
			return true
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range s.pending {
			return p.state.Load() == taken
		}
		return false
	})
	go call(`{"small":1}`)
	has(t, other.tool("echo", `{"unharmed":true}`), "unharmed")
	sent := 0
	for range 2 {
		ce := <-results
		has(t, ce.Error(), "did not read its input for 200ms")
		if ce.Sent {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("%d calls are said to have been sent, want the large one alone", sent)
	}
	if alive(pid) {
		t.Error("the process lives on")
	}
}

// TestFloodOfRequests: answers nobody reads are not piled up for ever.
func TestFloodOfRequests(t *testing.T) {
	f := run(t, func(c *Child) { c.timing.stall = time.Minute }, "-deaf").up()
	s := f.session
	for range 200_000 { // as if the child had sent them: it reads nothing
		s.asked(mustParse(t, `{"jsonrpc":"2.0","id":"`+strings.Repeat("i", 100)+`","method":"ping"}`))
		if f.Status().State != Ready {
			break
		}
	}
	f.until("the end of the session", func() bool { return f.Status().Restarts > 0 })
	has(t, f.log.String(), "did not read 1024 answers")
}

func TestGrandchildren(t *testing.T) {
	t.Run("after the leader's death", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pid")
		f := run(t, nil, "-grandchild", file).up()
		pid := f.readPID(file)
		if !alive(pid) {
			t.Fatal("no grandchild")
		}
		// The grandchild holds stdout and stderr: neither may hang the end.
		ce := f.refused(context.Background(), params("crash", `{"code":4}`))
		has(t, ce.Error(), "exited with status 4")
		f.until("the grandchild's end", func() bool { return !alive(pid) })
	})
	t.Run("at the end of Run", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pid")
		f := run(t, nil, "-grandchild", file, "-stubborn").up()
		pid, leader := f.readPID(file), f.Status().PID
		f.end()
		if alive(pid) || alive(leader) {
			t.Error("a process lives on")
		}
	})
}

// TestEndIsQuick: all is gone within 250 ms, however stubborn the child is.
// The best of five counts, for the machine may be busy.
func TestEndIsQuick(t *testing.T) {
	best := time.Hour
	for range 5 {
		f := run(t, func(c *Child) { c.timing = defaults }, "-stubborn", "-grandchild", filepath.Join(t.TempDir(), "pid")).up()
		begin := time.Now()
		f.end()
		if best = min(best, time.Since(begin)); best < 250*time.Millisecond {
			return
		}
	}
	t.Errorf("Run took %v to end", best)
}

// TestPoliteEnd: a child that obeys is not waited for longer than it needs.
func TestPoliteEnd(t *testing.T) {
	best := time.Hour
	for range 5 {
		f := run(t, nil).up()
		failed := make(chan *CallError, 1)
		go func() { failed <- f.refused(context.Background(), params("slow", `{"ms":60000}`)) }()
		f.until("a pending call", func() bool {
			f.session.mu.Lock()
			defer f.session.mu.Unlock()
			return len(f.session.pending) > 0
		})
		begin := time.Now()
		f.end()
		best = min(best, time.Since(begin))
		has(t, (<-failed).Error(), "is stopped", "may have run")
		ce := f.refused(context.Background(), params("echo", `{}`))
		has(t, ce.Error(), "is stopped", "was not sent")
		if s := f.Status(); s.State != Stopped || s.PID != 0 {
			t.Errorf("status %+v", s)
		}
	}
	if best > 100*time.Millisecond {
		t.Errorf("Run took %v to end", best)
	}
}

// orphanMaker runs a child in a process of its own until it is killed.
func orphanMaker(args []string) {
	c := New(Options{Name: "kit", Command: args[0], Args: args[2:]})
	go c.Run(context.Background())
	<-c.Ready()
	if err := os.WriteFile(args[1]+".tmp", fmt.Append(nil, c.Status().PID), 0o600); err == nil {
		err = os.Rename(args[1]+".tmp", args[1])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	select {}
}

// TestPorteroKilled: a child that ignores the end of its stdin does not
// outlive a Portero that had no chance to end it.
func TestPorteroKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills a child with its parent")
	}
	file := filepath.Join(t.TempDir(), "pid")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "CHILD_TEST_ORPHAN="+kit+" "+file+" -stubborn")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, Child: New(Options{})}
	pid := f.readPID(file)
	if !alive(pid) {
		t.Fatal("no child")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	f.until("the child's end", func() bool { return !alive(pid) })
}
