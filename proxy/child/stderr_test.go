package child

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestShown(t *testing.T) {
	tl := &tail{clean: func(s string) string { return strings.ReplaceAll(s, "Jane", "F") }}
	for in, want := range map[string]string{
		" plain \r":                         "plain",
		"a\tb":                              "a b",
		"\x1b[31mred\x00":                   "[31mred",
		"Ja\x00ne and Ja\xffne":             "F and F",
		"é\u202e\u200bx":                    "éx",
		"J\x00a\x00n\x00e\x00":              "F",
		strings.Repeat("é", 1000):           strings.Repeat("é", 498) + "…",
		strings.Repeat("Jane", 2047)[:8188]: strings.Repeat("F", 997) + "…",
	} {
		if got := tl.shown([]byte(in)); got != want {
			t.Errorf("%.50q is shown as %.50q (%d), want %.50q (%d)", in, got, len(got), want, len(want))
		}
	}
	// A value that the bound cuts in two is not recognised and not shown.
	in := strings.Repeat("x", readLine-2) + "Jane"
	tl.clean = func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "Jane", "F"), "x", "") }
	if got := tl.shown([]byte(in)); strings.Contains(got, "J") {
		t.Errorf("shown as %q", got)
	}
}

func TestTail(t *testing.T) {
	tl := &tail{}
	log := slog.New(slog.DiscardHandler)
	long := strings.Repeat("l", 30_000)
	tl.drain(strings.NewReader("1\n2\n\n3\r\n4\n5\n6\n7"), &noise{log: log})
	if got := tl.last(); !slices.Equal(got, []string{"3", "4", "5", "6", "7"}) {
		t.Errorf("got %q", got)
	}
	tl.drain(strings.NewReader(long+"\nlast\n"), &noise{log: log})
	got := tl.last()
	total := 0
	for _, l := range got {
		total += len(l)
	}
	if total > tailBytes || got[len(got)-1] != "last" {
		t.Errorf("got %d bytes: %q", total, got)
	}
	tl.add(long)
	if got := tl.last(); len(got) != 1 || len(got[0]) > tailBytes {
		t.Errorf("got %q", got)
	}
}

func TestNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		n := &noise{log: slog.New(slog.NewTextHandler(&buf, nil)), text: "noise"}
		for range 25 {
			n.log1("line", 4)
		}
		if got := strings.Count(buf.String(), "line=line"); got != linesPerSecond {
			t.Errorf("%d lines in one second", got)
		}
		time.Sleep(time.Second)
		n.log1("next", 4)
		if out := buf.String(); !strings.Contains(out, "suppressed=15") || !strings.Contains(out, "line=next") {
			t.Errorf("got %s", out)
		}
		if count, last := n.seen(); count != 26 || last != "next" {
			t.Errorf("%d, %q", count, last)
		}
		buf.Reset()
		n.flush()
		if buf.Len() > 0 {
			t.Errorf("flushed twice: %s", buf.String())
		}
	})
}

// TestNoiseSlowsDown: a flood is read slowly, what is usual at full speed.
func TestNoiseSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &noise{log: slog.New(slog.DiscardHandler)}
		begin := time.Now()
		for range 1000 {
			n.log1("x", 1)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("1,000 lines took %v", d)
		}
		for range 100_000 {
			n.log1("x", 1)
		}
		if d := time.Since(begin); d < time.Second {
			t.Errorf("101,000 lines took %v", d)
		}
	})
}

func FuzzShown(f *testing.F) {
	f.Add([]byte("Jane\x00 Ja\xffne"), uint16(0))
	f.Add([]byte("x"), uint16(9000))
	f.Fuzz(func(t *testing.T, line []byte, pad uint16) {
		line = append(bytes.Repeat([]byte("p"), int(pad)), line...)
		tl := &tail{clean: func(s string) string { return strings.ReplaceAll(s, "Jane", "F") }}
		got := tl.shown(line)
		if len(got) > shownLine || !utf8.ValidString(got) || strings.Contains(got, "Jane") || strings.ContainsAny(got, "\n\r\x1b\x00") {
			t.Errorf("%q is shown as %q", line, got)
		}
	})
}
