package mask

import (
	"unicode/utf8"

	"portero/shared/rawjson"
)

// text is what a matcher searches: plain text, or raw JSON, in which escape
// sequences count as what they mean and a bare quote ends every value.
type text struct {
	src  []byte
	lo   int // values begin at lo or later
	hi   int // and end at hi or earlier
	json bool
	gate bool // only what the gate looks for counts

	// The last escape sequence passed. It cannot be told from the text before a
	// place, where half of it may look like an ordinary character.
	escEnd  int
	escRune rune
}

// hit is a match: values[value] is src[start:end].
type hit struct {
	start, end int
	value      int32
}

// find returns the first match that begins at i or later, and of those the
// longest; of equally long ones the value configured first.
func (m *matcher) find(x *text, i int) (hit, bool) {
	src := x.src
	limit := min(x.hi, len(src)-1)
	for i < x.hi {
		for i < limit && m.pairs[int(src[i])<<8|int(src[i+1])] == 0 {
			i++
		}
		if i >= x.hi {
			break
		}
		if x.json && src[i] == '\\' {
			r, n := x.unit(i)
			if n == 0 { // not JSON; whoever reads it in earnest will say so
				i++
				continue
			}
			if r >= 0 && m.first[firstByte(r)] {
				if h, ok := m.at(x, i); ok {
					return h, true
				}
			}
			i += n
			x.escEnd, x.escRune = i, r
			continue
		}
		if m.candidate(src, i) {
			if h, ok := m.at(x, i); ok {
				return h, true
			}
		}
		i++
	}
	return hit{}, false
}

// at returns the longest match that begins at i.
func (m *matcher) at(x *text, i int) (hit, bool) {
	best := hit{start: i, value: -1}
	longer := func(v int32, end int) {
		if end > best.end || end == best.end && v < best.value {
			best.end, best.value = end, v
		}
	}
	m.walk(&m.exact, x, i, longer)
	m.walk(&m.folded, x, i, longer)
	return best, best.value >= 0
}

// walk calls yield for every value of t that begins at i and may count there.
func (m *matcher) walk(t *trie, x *text, i int, yield func(v int32, end int)) {
	n := int32(0)
	for j := i; ; {
		r, size := x.unit(j)
		if size == 0 || r < 0 {
			return
		}
		if t.fold {
			r = fold(r)
		}
		if r < utf8.RuneSelf {
			n = t.step(n, byte(r))
		} else {
			var b [utf8.UTFMax]byte
			for _, c := range b[:utf8.EncodeRune(b[:], r)] {
				if n = t.step(n, c); n == 0 {
					break
				}
			}
		}
		if n == 0 {
			return
		}
		j += size
		v := t.nodes[n].value
		if v < 0 || x.gate && !m.values[v].gated {
			continue
		}
		if !m.values[v].word || !inWord(x.before(i)) && !inWord(x.after(j)) {
			yield(v, j)
		}
	}
}

// unit returns the character at src[j] and how many bytes spell it. The
// character is -1 if it is none that a value can hold, the size 0 at the end.
func (x *text) unit(j int) (r rune, size int) {
	if j >= x.hi {
		return -1, 0
	}
	c := x.src[j]
	switch {
	case x.json && c == '"':
		return -1, 0
	case x.json && c == '\\':
		r, size = rawjson.DecodeEscape(x.src[j:x.hi])
		if !utf8.ValidRune(r) {
			r = -1 // half a surrogate pair
		}
		return r, size
	case c < utf8.RuneSelf:
		return rune(c), 1
	}
	r, size = utf8.DecodeRune(x.src[j:x.hi])
	if r == utf8.RuneError && size == 1 {
		r = -1
	}
	return r, size
}

// before returns the character in front of src[i], or -1.
func (x *text) before(i int) rune {
	if i == x.escEnd && i > x.lo {
		return x.escRune
	}
	if i <= x.lo {
		return -1
	}
	r, _ := utf8.DecodeLastRune(x.src[x.lo:i])
	return r
}

// after returns the character at src[j], or -1.
func (x *text) after(j int) rune {
	r, _ := x.unit(j)
	return r
}

// pass moves on behind a match, so that before keeps telling the truth.
func (x *text) pass(h hit) int {
	for j := h.start; j < h.end; {
		r, n := x.unit(j)
		j += n
		x.escEnd, x.escRune = j, r
	}
	return h.end
}

// decode returns the text of a match.
func (x *text) decode(h hit) string {
	decoded := make([]byte, 0, h.end-h.start)
	for j := h.start; j < h.end; {
		r, n := x.unit(j)
		decoded = utf8.AppendRune(decoded, r)
		j += n
	}
	return string(decoded)
}

func firstByte(r rune) byte {
	var b [utf8.UTFMax]byte
	utf8.EncodeRune(b[:], r)
	return b[0]
}
