package child

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestToolsAsDefined(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tools.json")
	def := `{"name":"odd","title":"<b>","inputSchema":{"type":"object","x":9007199254740993},"unknown":[1.0]}`
	if err := os.WriteFile(file, []byte(`[`+def+`]`), 0o600); err != nil {
		t.Fatal(err)
	}
	f := run(t, nil, "-tools-json", file).up()
	f.mu.Lock()
	if len(f.lists) != 1 || len(f.lists[0]) != 1 || string(f.lists[0][0]) != def {
		t.Errorf("got %s", f.lists)
	}
	f.mu.Unlock()
	has(t, f.tool("odd", `{"k":1.0}`), `{"args":{"k":1.0}}`)
}

func TestPages(t *testing.T) {
	whole := run(t, nil).up().tools()
	if len(whole) < 10 {
		t.Fatalf("only %d tools", len(whole))
	}
	if got := run(t, nil, "-pages", "2").up().tools(); !slices.Equal(got, whole) {
		t.Errorf("got %q, want %q", got, whole)
	}
	f := run(t, lasting, "-cursor", "same")
	has(t, f.down(), "repeats a cursor")
	f = run(t, lasting, "-cursor", "endless", "-tools", "echo")
	has(t, f.down(), "more than 1000 pages")
	f = run(t, func(c *Child) { lasting(c); c.opt.MaxMessage = 5000 }, "-cursor", "endless")
	has(t, f.down(), "lists more than 5000 bytes of tools")
}

func TestNoTools(t *testing.T) {
	record := filepath.Join(t.TempDir(), "record")
	f := run(t, nil, "-no-tools", "-record", record).up()
	if got := f.tools(); got == nil || len(got) != 0 {
		t.Errorf("got %q", got)
	}
	f.tool("echo", `{}`)
	text, err := os.ReadFile(record)
	if err != nil || strings.Contains(string(text), "tools/list") {
		t.Errorf("asked for tools: %s, %v", text, err)
	}
}

func TestListChanged(t *testing.T) {
	f := run(t, nil, "-list-changed").up()
	if slices.Contains(f.tools(), "late") {
		t.Fatal("the tool is there too early")
	}
	f.tool("echo", `{}`)
	f.until("the new tool", func() bool { return slices.Contains(f.tools(), "late") })
	if n := f.notified(); len(n) > 0 {
		t.Errorf("list_changed was passed on: %q", n)
	}
}

func TestListChangedManyTimes(t *testing.T) {
	f := run(t, func(c *Child) { c.timing.refetch = 20 * time.Millisecond }).up()
	line := `"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}"`
	f.tool("raw", `{"lines":[`+strings.TrimSuffix(strings.Repeat(line+",", 500), ",")+`]}`)
	count := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.lists)
	}
	f.until("another list", func() bool { return count() > 1 })
	f.tool("slow", `{"ms":100}`)
	if n := count(); n > 10 {
		t.Errorf("500 changes led to %d lists", n)
	}
}

func TestBackoff(t *testing.T) {
	b := newBackoff(defaults)
	middle := 0.5
	b.random = func() float64 { return middle }
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}
	for i, w := range want {
		if got := b.next(0, false); got != w {
			t.Errorf("delay %d is %v, want %v", i, got, w)
		}
	}
	if got := b.next(59*time.Second, false); got != 30*time.Second {
		t.Errorf("not yet stable: %v", got)
	}
	if got := b.next(60*time.Second, false); got != 500*time.Millisecond {
		t.Errorf("stable: %v", got)
	}
	if got := b.next(0, true); got != 30*time.Second {
		t.Errorf("settled: %v", got)
	}
	if got := newBackoff(defaults).next(0, true); got > 30*time.Second || got < 22*time.Second {
		t.Errorf("with jitter: %v", got)
	}
	b = newBackoff(defaults)
	middle, b.random = 0, func() float64 { return middle }
	if got := b.next(0, false); got != 375*time.Millisecond {
		t.Errorf("least jitter: %v", got)
	}
}

// TestBackoffOfAProcess: delays grow while a child keeps failing and start
// anew after it was stable.
func TestBackoffOfAProcess(t *testing.T) {
	delays := func(f *fixture) []time.Duration {
		var out []time.Duration
		for line := range strings.Lines(f.log.String()) {
			if _, d, ok := strings.Cut(line, "next_start="); ok {
				v, err := time.ParseDuration(strings.TrimSpace(d))
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, v)
			}
		}
		return out
	}
	change := func(stable time.Duration) func(*Child) {
		return func(c *Child) {
			c.timing.backoffMin, c.timing.backoffMax, c.timing.stable = 10*time.Millisecond, 100*time.Millisecond, stable
		}
	}
	crash := func(f *fixture) {
		for n := range 4 {
			f.up()
			f.until("the next process", func() bool { return f.Status().Restarts == n && f.Status().State == Ready })
			f.refused(t.Context(), params("crash", `{"code":1}`))
		}
		f.until("four deaths", func() bool { return len(delays(f)) >= 4 })
	}
	f := run(t, change(time.Hour))
	crash(f)
	if d := delays(f); d[3] < 60*time.Millisecond {
		t.Errorf("delays do not grow: %v", d)
	}
	f = run(t, change(time.Nanosecond))
	crash(f)
	if d := delays(f); slices.Max(d) > 13*time.Millisecond {
		t.Errorf("delays do not start anew: %v", d)
	}
}
