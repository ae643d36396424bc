package child

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// split reads r to its end: the lines as text, those over the limit as "!size id".
func split(t testing.TB, l *lineReader) []string {
	var out []string
	for {
		line, over, err := l.next()
		switch {
		case err != nil:
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return out
		case over != nil:
			out = append(out, fmt.Sprintf("!%d %s", over.size, over.id.ID()))
		default:
			out = append(out, string(line))
		}
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 100)
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"nothing":            {"", nil},
		"lines":              {"a\n\nb\r\n", []string{"a", "", "b\r"}},
		"no newline at last": {"a\nb", []string{"a", "b"}},
		"at the limit":       {long + "\n" + long, []string{long, long}},
		"over the limit":     {"a\n" + long + "y\nb\n", []string{"a", "!101 ", "b"}},
		"over, unfinished":   {long + "yz", []string{"!102 "}},
		"far over":           {`{"id":7,"x":"` + strings.Repeat("x", 300_000) + "\"}\nb", []string{"!300015 7", "b"}},
		"id at the end":      {`{"x":"` + strings.Repeat("x", 300_000) + `","id":8}` + "\nb", []string{"!300015 8", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, src := range []io.Reader{strings.NewReader(tt.in), iotest.DataErrReader(strings.NewReader(tt.in)), iotest.OneByteReader(strings.NewReader(tt.in))} {
				got := split(t, &lineReader{src: src, max: 100})
				if fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("got %.200q, want %.200q", got, tt.want)
				}
			}
		})
	}
}

// TestLineBuffer: large buffers do not stay, and messages kept from them are
// not written over.
func TestLineBuffer(t *testing.T) {
	large := strings.Repeat("l", 5<<20)
	medium := strings.Repeat("m", 1<<20)
	small := strings.Repeat("s\n", 100)
	grown := 0
	l := &lineReader{src: strings.NewReader(large + "\n" + medium + "\n" + small), max: 64 << 20, grow: func() { grown++ }}
	line, _, err := l.next()
	if err != nil {
		t.Fatal(err)
	}
	first := l.keep(line)
	if len(l.buf) > keptBuffer {
		t.Errorf("a buffer of %d bytes stayed", len(l.buf))
	}
	line, _, err = l.next()
	if err != nil {
		t.Fatal(err)
	}
	second := l.keep(line)
	if len(l.buf) < len(medium) || len(l.buf) > keptBuffer {
		t.Errorf("the buffer has %d bytes, want one that is used again", len(l.buf))
	}
	if n := len(split(t, l)); n != 100 {
		t.Errorf("%d lines", n)
	}
	if len(l.buf) != smallBuffer {
		t.Errorf("a buffer of %d bytes stayed", len(l.buf))
	}
	if string(first) != large || string(second) != medium {
		t.Error("a kept line has changed")
	}
	if grown != 1 {
		t.Errorf("grow was called %d times", grown)
	}
}

// TestLineMemory: a line over the limit is not held, whatever its length.
func TestLineMemory(t *testing.T) {
	l := &lineReader{src: io.LimitReader(endless{}, 1<<26), max: 1 << 20}
	_, over, err := l.next()
	if err != nil || over == nil || over.size != 1<<26 {
		t.Fatalf("%v, %v", over, err)
	}
	if len(l.buf) > smallBuffer {
		t.Errorf("the buffer has %d bytes", len(l.buf))
	}
	l = &lineReader{src: io.LimitReader(endless{}, 1<<20), max: 1 << 20}
	if _, over, err = l.next(); over != nil || err != nil {
		t.Fatalf("%v, %v", over, err)
	}
	if len(l.buf) > 1<<20+smallBuffer {
		t.Errorf("the buffer has %d bytes", len(l.buf))
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// chunks hands out its text in pieces whose sizes follow a pattern.
type chunks struct {
	text  []byte
	sizes []byte
	n     int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	size := 1
	if len(c.sizes) > 0 {
		size += int(c.sizes[c.n%len(c.sizes)]) * 300
		c.n++
	}
	n := copy(p[:min(len(p), size)], c.text)
	c.text = c.text[n:]
	return n, nil
}

// FuzzLines compares with bytes.Split, however the stream is cut and whatever
// is kept of it.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\n\n{\"id\":1,\"result\":\"xxxxxxxxxxxxxxxxxxxx\"}\nc"), []byte{0, 3, 1}, 12, uint8(3))
	f.Add([]byte("\n\n"), []byte{}, 0, uint8(0))
	f.Fuzz(func(t *testing.T, in, sizes []byte, limit int, times uint8) {
		limit = min(max(limit, 0), 1<<18)
		in = bytes.Repeat(in, int(times)*40+1)
		if len(in) > 1<<21 {
			return
		}
		want := bytes.Split(in, []byte("\n"))
		if len(want[len(want)-1]) == 0 {
			want = want[:len(want)-1]
		}
		l := &lineReader{src: &chunks{text: in, sizes: sizes}, max: limit}
		var kept [][]byte
		for i, w := range want {
			line, over, err := l.next()
			if err != nil {
				t.Fatalf("line %d: %v", i, err)
			}
			if len(w) > limit {
				if over == nil || over.size != len(w) {
					t.Fatalf("line %d of %d bytes: %v", i, len(w), over)
				}
				kept = append(kept, nil)
				continue
			}
			if over != nil || !bytes.Equal(line, w) {
				t.Fatalf("line %d: got %.100q, want %.100q", i, line, w)
			}
			kept = append(kept, l.keep(line))
		}
		if line, over, err := l.next(); err != io.EOF {
			t.Fatalf("after the end: %q, %v, %v", line, over, err)
		}
		for i, k := range kept {
			if len(want[i]) <= limit && !bytes.Equal(k, want[i]) {
				t.Fatalf("line %d has changed after it was kept", i)
			}
		}
	})
}
