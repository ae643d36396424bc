package child

import (
	"bufio"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	readLine  = 8 << 10 // of a line on stderr this much is read, the rest passed over
	cutMargin = 1 << 10 // a value cut off at readLine is not recognised: not shown
	shownLine = 1000    // bytes of a line in the log
	tailLines = 5
	tailBytes = 500
)

// tail keeps a child's last lines on stderr for the errors of its calls.
type tail struct {
	clean func(string) string // anonymizes; nil leaves lines as they are

	mu    sync.Mutex
	lines []string
}

// drain reads r to its end.
func (t *tail) drain(r io.Reader, n *noise) {
	defer n.flush()
	in := bufio.NewReaderSize(r, readLine)
	for {
		line, more, err := in.ReadLine()
		if err != nil {
			return
		}
		size := len(line)
		text := t.shown(line)
		for more && err == nil {
			line, more, err = in.ReadLine()
			size += len(line)
		}
		if text == "" {
			continue
		}
		t.add(text)
		n.log1(text, size)
	}
}

func (t *tail) add(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, cut(text, tailBytes))
	total := 0
	for _, l := range t.lines {
		total += len(l)
	}
	for len(t.lines) > tailLines || total > tailBytes {
		total -= len(t.lines[0])
		t.lines = t.lines[1:]
	}
}

// last returns the kept lines, oldest first.
func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// shown is a line as it may be logged: without control characters,
// anonymized, and cut. It is cut after it was anonymized, so that no half of a
// real value is left over, and control characters go before, so that none of
// them hides one.
func (t *tail) shown(line []byte) string {
	partial := len(line) >= readLine-1 // ReadLine may hold back a \r
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsGraphic(r):
			return -1
		}
		return r
	}, strings.TrimSpace(string(line[:min(len(line), readLine)])))
	if t.clean != nil {
		text = t.clean(text)
	}
	most := shownLine
	if partial {
		most = min(most, len(text)-cutMargin)
	}
	return cut(text, most)
}

// cut returns at most n bytes of text, whole runes, and says when it cut.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	n = max(0, n-len("…"))
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

const (
	linesPerSecond = 10
	freeBytes      = 1 << 20  // noise read at full speed in one second
	pauseBytes     = 64 << 10 // beyond it, a millisecond is slept for so much
	lineCost       = 1 << 10  // what a line of noise costs besides its bytes
)

// noise logs lines nobody asked for, a few each second, and slows down a child
// that floods, so that it costs nobody else the processor. One goroutine logs.
type noise struct {
	log  *slog.Logger
	text string

	second     time.Time // begin of the present one
	logged     int       // in this second
	suppressed int       // since the last line logged
	cost       int

	mu    sync.Mutex
	count int
	last  string
}

// log1 logs a line of so many bytes or counts it as suppressed.
func (n *noise) log1(line string, size int) {
	n.mu.Lock()
	n.count++
	n.last = line
	n.mu.Unlock()
	if now := time.Now(); now.Sub(n.second) >= time.Second {
		n.flush()
		n.second, n.logged, n.cost = now, 0, 0
	}
	if n.logged < linesPerSecond {
		n.logged++
		n.log.Info(n.text, "line", line)
	} else {
		n.suppressed++
	}
	if n.cost += size + lineCost; n.cost > freeBytes+pauseBytes {
		n.cost = freeBytes
		time.Sleep(time.Millisecond)
	}
}

// flush tells how many lines were not logged.
func (n *noise) flush() {
	if n.suppressed > 0 {
		n.log.Info(n.text+": more than are logged", "suppressed", n.suppressed)
		n.suppressed = 0
	}
}

// seen returns how many lines there were and the last of them.
func (n *noise) seen() (int, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count, cut(n.last, tailBytes)
}
