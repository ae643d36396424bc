package child

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"portero/shared/rawjson"
)

func mustParse(t *testing.T, line string) rawjson.Envelope {
	t.Helper()
	m, err := parse([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// down waits for the first outcome, which must be a bad one, and returns it.
func (f *fixture) down() string {
	f.t.Helper()
	select {
	case <-f.Ready():
	case <-time.After(10 * time.Second):
		f.t.Fatal("no outcome of the start")
	}
	s := f.Status()
	if s.Err == nil {
		f.t.Fatalf("the start went well: %+v", s)
	}
	return s.Err.Error()
}

// lasting keeps a child in backoff once it is there.
func lasting(c *Child) { c.timing.backoffMin, c.timing.backoffMax = time.Hour, time.Hour }

func TestCallsWaitForTheStart(t *testing.T) {
	f := run(t, nil, "-init-delay", "100ms")
	if s := f.Status(); s.State != Starting {
		t.Fatalf("status %+v", s)
	}
	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	ce := f.refused(short, params("echo", `{}`))
	if ce.Sent || !errors.Is(ce, context.DeadlineExceeded) {
		t.Errorf("%#v", ce)
	}
	has(t, ce.Error(), "was still starting when the call's time was up")
	has(t, f.tool("echo", `{"waited":1}`), "waited")
	<-f.Ready()
}

func TestNeverAnswers(t *testing.T) {
	f := run(t, func(c *Child) { c.opt.StartTimeout = 200 * time.Millisecond; lasting(c) }, "-hang-init", "-stubborn")
	f.until("a process", func() bool { return f.Status().PID != 0 })
	pid := f.Status().PID
	ce := f.refused(context.Background(), params("echo", `{}`))
	if ce.Sent {
		t.Error("sent")
	}
	has(t, ce.Error(), "did not answer initialize within 200ms", "was not sent", "MCP server over stdio")
	has(t, f.down(), "did not answer initialize within 200ms")
	if s := f.Status(); s.State != Backoff || s.PID != 0 || !errors.Is(s.Err, context.DeadlineExceeded) {
		t.Errorf("status %+v", s)
	}
	if alive(pid) {
		t.Error("the process lives on")
	}
}

func TestOnlyGarbage(t *testing.T) {
	f := run(t, func(c *Child) { c.opt.StartTimeout = 200 * time.Millisecond; lasting(c) }, "-garbage")
	has(t, f.down(), "did not answer initialize", "wrote 5 lines on stdout that are not JSON-RPC", `"42"`)
}

func TestCommandNotFound(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		opt   Options
		cause error
		want  []string
	}{
		"nowhere in PATH": {Options{Command: "no-such-program", Env: []string{"PATH=/usr/bin:rel:" + dir}}, fs.ErrNotExist,
			[]string{`command "no-such-program" is in no folder of its PATH (/usr/bin:rel:`, "install it, or give its full path"}},
		"no such path":   {Options{Command: dir + "/none"}, fs.ErrNotExist, []string{dir + "/none", "install it"}},
		"not executable": {Options{Command: plain}, fs.ErrPermission, []string{"may execute"}},
		"a folder":       {Options{Command: dir}, nil, []string{"may execute"}},
		"no cwd":         {Options{Command: kit, Dir: dir + "/gone"}, fs.ErrNotExist, []string{"correct cwd", dir + "/gone"}},
		"nothing":        {Options{}, nil, []string{"no command is given"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := run(t, func(c *Child) {
				tt.opt.Name, tt.opt.OnState = "kit", c.opt.OnState
				c.opt.Command, c.opt.Env, c.opt.Dir = tt.opt.Command, tt.opt.Env, tt.opt.Dir
				c.timing = defaults
				c.timing.backoffMax = time.Hour // where it must go at once
			})
			has(t, f.down(), append(tt.want, `child "kit" cannot be started`)...)
			ce := f.refused(context.Background(), params("echo", `{}`))
			if ce.Sent || tt.cause != nil && !errors.Is(ce, tt.cause) {
				t.Errorf("%#v", ce)
			}
			if s := f.Status(); s.State != Backoff {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// TestFoundByItsOwnPath: the child's environment decides, not Portero's, and
// no folder that is relative.
func TestFoundByItsOwnPath(t *testing.T) {
	dir := filepath.Dir(kit)
	t.Chdir(dir)
	got, err := lookCommand("kit", "", []string{"PATH=/nowhere:" + dir})
	if err != nil || got != kit {
		t.Errorf("%q, %v", got, err)
	}
	for _, path := range []string{"", ".", ":", "/nowhere"} {
		if got, err := lookCommand("kit", "", []string{"PATH=" + path}); err == nil {
			t.Errorf("PATH=%s found %s", path, got)
		}
	}
	if got, err := lookCommand("./kit", dir, nil); err != nil || got != kit {
		t.Errorf("%q, %v", got, err)
	}
}

func TestExitsAtOnce(t *testing.T) {
	f := run(t, nil, "-exit-now", "7")
	has(t, f.down(), "exited with status 7", `"kit: told to exit"`, "MCP server over stdio")
	f.until("more attempts", func() bool { return f.Status().Restarts >= 3 })
	ce := f.refused(context.Background(), params("echo", `{}`))
	if ce.Sent {
		t.Error("sent")
	}
	has(t, ce.Error(), "exited with status 7", "was not sent")
}

func TestStartRefused(t *testing.T) {
	// A server whose tools/list fails is told of with its own words.
	f := run(t, func(c *Child) {
		lasting(c)
		c.opt.LogLine = func(line string) string { return strings.ReplaceAll(line, "secret", "FAKE") }
		c.opt.Command = "/bin/sh"
		c.opt.Args = []string{"-c", `read x; echo '{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{}}}}'; read x; read x
			echo '{"jsonrpc":"2.0","id":2,"error":{"code":-32001,"message":"no secret token"}}'; read x`}
	})
	has(t, f.down(), `answered tools/list with error -32001 "no FAKE token"`)
	has(t, f.log.String(), "unknown protocol revision")
}

func TestStopDuringStartAndBackoff(t *testing.T) {
	f := run(t, nil, "-hang-init")
	f.until("a process", func() bool { return f.Status().PID != 0 })
	failed := make(chan *CallError, 1)
	go func() { failed <- f.refused(context.Background(), params("echo", `{}`)) }()
	f.end()
	if ce := <-failed; ce.Sent || ce.Reason != "is stopped" {
		t.Errorf("%#v", ce)
	}
	f = run(t, lasting, "-exit-now", "0")
	f.down()
	f.end()
	if s := f.Status(); s.State != Stopped || s.Restarts != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("STRIPE_API_KEY", "sk_live_1")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := run(t, func(c *Child) {
		c.opt.Dir = dir
		c.opt.Env = []string{"A=1", "B=two words"}
	}).up()
	var got struct {
		StructuredContent struct {
			Env, Args []string
			Dir       string
		}
	}
	if err := json.Unmarshal([]byte(f.tool("env", `{}`)), &got); err != nil {
		t.Fatal(err)
	}
	if c := got.StructuredContent; !slices.Equal(c.Env, []string{"A=1", "B=two words"}) || c.Dir != dir {
		t.Errorf("%+v", c)
	}
	f = run(t, nil).up() // nil is empty, not Portero's own
	if got := f.tool("env", `{}`); !strings.Contains(got, `"env":[]`) {
		t.Errorf("got %s", got)
	}
}

func TestEnv(t *testing.T) {
	parent := []string{"PATH=/bin", "HOME=/h", "LC_TIME=C", "LCX=1", "AWS_SECRET=s", "XDG_CONFIG_HOME=/c", "XDG_OTHER=o", "broken", "LANG=", "TERM=a=b"}
	got := Env(parent, map[string]string{"HOME": "/other", "TOKEN": "t"})
	want := []string{"HOME=/other", "LANG=", "LC_TIME=C", "PATH=/bin", "TERM=a=b", "TOKEN=t", "XDG_CONFIG_HOME=/c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Env(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("got %#v", got)
	}
}
