package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// readers cut the same bytes into reads of different sizes.
var readers = map[string]func(string) io.Reader{
	"at once":     func(s string) io.Reader { return strings.NewReader(s) },
	"byte wise":   func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
	"by halves":   func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) },
	"end at once": func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
}

// drain reads all messages; those that are too large become "!" and their id.
func drain(t *testing.T, r io.Reader, limit int) (all []string) {
	t.Helper()
	l := newLines(r, limit)
	for {
		line, err := l.next()
		var big *tooLarge
		switch {
		case errors.As(err, &big):
			all = append(all, "!"+string(big.id))
		case errors.Is(err, io.EOF):
			if _, err := l.next(); !errors.Is(err, io.EOF) {
				t.Errorf("after the end: %v", err)
			}
			return all
		case err != nil:
			t.Fatal(err)
		default:
			all = append(all, string(line))
		}
	}
}

func TestLines(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"\n", []string{""}},
		{"a\nb\n", []string{"a", "b"}},
		{"a\r\nb", []string{"a", "b"}},
		{"a", []string{"a"}},
		{"\n\r\n\na\n", []string{"", "", "", "a"}},
		{" a \t\n", []string{" a \t"}},
		{"a\rb\n", []string{"a\rb"}},
	} {
		for name, reader := range readers {
			if got := drain(t, reader(tc.in), 100); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tc.want) {
				t.Errorf("%q, read %s: %q, want %q", tc.in, name, got, tc.want)
			}
		}
	}
}

// TestLinesLimit reads lines around every size at which something changes: the
// limit, and the buffer behind which a line comes in parts.
func TestLinesLimit(t *testing.T) {
	const buffer = 64 << 10
	for _, limit := range []int{10, buffer - 2, buffer - 1, buffer, 3 * buffer} {
		for size := limit - 3; size <= limit+3; size++ {
			line := strings.Repeat("x", size)
			want := []string{"before", line, "behind"}
			if size > limit {
				want[1] = "!"
			}
			got := drain(t, strings.NewReader("before\n"+line+"\nbehind\n"), limit)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("limit %d: a line of %d bytes: %d messages, the second of %d bytes", limit, size, len(got), len(got[1]))
			}
		}
	}
}

func TestTooLargeNamesItsID(t *testing.T) {
	filler := strings.Repeat("x", 200_000)
	for message, id := range map[string]string{
		`{"id":7,"method":"m","params":{"id":8,"a":"` + filler + `"}}`:              "7",
		`{"method":"m","params":{"id":8,"a":"` + filler + `"},"id":"the \"last\""}`: `"the \"last\""`,
		`{"method":"m","params":{"a":"` + filler + `"}}`:                            "",
		`{"id":7,"result":{"a":"` + filler + `"}}`:                                  "", // a response is not answered
		`{"id":7,"id":8,"method":"m","params":{"a":"` + filler + `"}}`:              "",
		`{"params":{"a":"` + filler + `\",\"id\":9}"},"method":"m" , "id" : 1.50 }`: "1.50",
		`{"id":"` + filler + `","method":"m"}`:                                      "",
		`{"method":"m","id":7` + strings.Repeat(" ", 200_000) + `}`:                 "7",
		filler: "",
	} {
		for name, reader := range readers {
			for _, end := range []string{"\n", "\r\n", ""} {
				got := drain(t, reader(message+end), 100_000)
				if len(got) != 1 || got[0] != "!"+id {
					t.Errorf("%.60s..., read %s: %q, want id %q", message, name, got, id)
				}
			}
		}
	}
	if text := (&tooLarge{limit: maxMessage}).Error(); text != "the message has more than 64 MiB: send less at a time" {
		t.Error(text)
	}
}

// TestLinesKeepNothing: a large message is not paid for ever after.
func TestLinesKeepNothing(t *testing.T) {
	l := newLines(strings.NewReader(strings.Repeat("x", 3<<20)+"\n"+strings.Repeat("y", 300_000)+"\nz\n"), 4<<20)
	for _, want := range []int{3 << 20, 300_000, 1} {
		line, err := l.next()
		if err != nil || len(line) != want {
			t.Fatalf("%d bytes, %v; want %d", len(line), err, want)
		}
	}
	if cap(l.buf) > 1<<20 {
		t.Errorf("%d bytes are kept", cap(l.buf))
	}
	l = newLines(strings.NewReader(strings.Repeat("x", 3<<20)), 2<<20)
	if _, err := l.next(); err == nil || l.buf != nil {
		t.Errorf("%d bytes are kept of a message over the limit (%v)", cap(l.buf), err)
	}
}

func TestLinesReadError(t *testing.T) {
	broken := errors.New("broken")
	for _, before := range []string{"", "a\nhalf", strings.Repeat("x", 500)} {
		l := newLines(io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)), 100)
		var err error
		for err == nil {
			_, err = l.next()
		}
		if !errors.Is(err, broken) {
			t.Errorf("after %q: %v", before, err)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\r\n\n"+strings.Repeat("c", 70)+"\nd"), uint8(3))
	f.Add([]byte(`{"method":"m","params":{"a":"`+strings.Repeat("x", 100)+`"},"id":1}`+"\n{}\n"), uint8(40))
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		const limit = 64
		var want []string
		for part := range bytes.SplitAfterSeq(in, []byte("\n")) {
			if len(part) > limit+1 {
				want = append(want, "!")
			} else if len(part) > 0 {
				want = append(want, strings.TrimRight(string(part), "\r\n"))
			}
		}
		got := drain(t, &chunks{in, int(chunk) + 1}, limit)
		if len(got) != len(want) {
			t.Fatalf("%d messages, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] && !(want[i] == "!" && strings.HasPrefix(got[i], "!")) {
				t.Errorf("message %d is %q, want %q", i, got[i], want[i])
			}
		}
	})
}

// chunks reads n bytes at a time.
type chunks struct {
	rest []byte
	n    int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
