package mask

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"
)

// value is one side of a pair as a matcher knows it: the text to look for and
// what takes its place.
type value struct {
	label string
	text  string
	repl  string
	json  []byte // repl as the inside of a JSON string literal
	fold  bool   // letter case does not matter
	style bool   // and repl takes on that of the match
	word  bool   // matches as a whole word only
	num   bool   // repl is a JSON number literal
	gated bool   // the gate looks for it
}

// trie holds texts byte by byte. Node 0 is the root, and as a target it means
// that there is no edge.
type trie struct {
	fold  bool // the texts are folded
	root  [256]int32
	nodes []node
}

type node struct {
	value int32 // the value that ends here, or -1
	edges []edge
}

type edge struct {
	b  byte
	to int32
}

func (t *trie) step(n int32, b byte) int32 {
	if n == 0 {
		return t.root[b]
	}
	for _, e := range t.nodes[n].edges {
		if e.b == b {
			return e.to
		}
	}
	return 0
}

// insert adds a text. Of two equal texts the first keeps its value.
func (t *trie) insert(text string, v int32) {
	n := int32(0)
	for i := range len(text) {
		next := t.step(n, text[i])
		if next == 0 {
			next = int32(len(t.nodes))
			t.nodes = append(t.nodes, node{value: -1})
			if n == 0 {
				t.root[text[i]] = next
			} else {
				t.nodes[n].edges = append(t.nodes[n].edges, edge{text[i], next})
			}
		}
		n = next
	}
	if t.nodes[n].value < 0 {
		t.nodes[n].value = v
	}
}

// What may begin with two given bytes of raw text.
const (
	viaGram   = 1 << iota // a value whose first four bytes are in grams
	viaWalk               // a value that only the trie can tell
	viaEscape             // an escape sequence
)

// matcher finds values in text. The tries decide; in front of them two filters
// pass over what cannot begin a value, so that the number of values hardly
// matters: pairs looks at two bytes, grams at four.
type matcher struct {
	values []value
	exact  trie
	folded trie
	first  [256]bool
	pairs  [1 << 16]uint8
	grams  [1 << 10]uint64
}

func newMatcher(values []value) *matcher {
	m := &matcher{values: values}
	for _, t := range []*trie{&m.exact, &m.folded} {
		t.nodes = []node{{value: -1}}
	}
	m.folded.fold = true
	for i := range values {
		v := &values[i]
		key, t := v.text, &m.exact
		if v.fold {
			key, t = foldString(v.text), &m.folded
		}
		v.word = isWord(key)
		t.insert(key, int32(i))
		m.index(key, v.fold)
	}
	for second := range 256 {
		m.pairs['\\'<<8|second] |= viaEscape
	}
	return m
}

// index tells the filters how a value may begin in raw text.
func (m *matcher) index(key string, fold bool) {
	how := uint8(viaWalk)
	if len(key) >= 4 && key[0]|key[1]|key[2]|key[3] < utf8.RuneSelf {
		h := gram(binary.LittleEndian.Uint32([]byte(key)))
		m.grams[h/64] |= 1 << (h % 64)
		how = viaGram
	}
	r, n := utf8.DecodeRuneInString(key)
	for _, a := range spellings(r, fold) {
		m.first[a[0]] = true
		switch {
		case len(a) > 1:
			m.pairs[int(a[0])<<8|int(a[1])] |= viaWalk
		case n == len(key):
			for second := range 256 {
				m.pairs[int(a[0])<<8|second] |= viaWalk
			}
		default:
			r, _ := utf8.DecodeRuneInString(key[n:])
			for _, b := range spellings(r, fold) {
				m.pairs[int(a[0])<<8|int(b[0])] |= how
			}
			m.pairs[int(a[0])<<8|'\\'] |= viaWalk
		}
	}
}

// spellings returns the UTF-8 of every character that stands for r.
func spellings(r rune, fold bool) []string {
	all := []string{string(r)}
	if fold {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			all = append(all, string(f))
		}
	}
	return all
}

// gram hashes four bytes. Letter case is dropped for all values alike, because
// the filter may let too much through but never too little.
func gram(w uint32) uint32 {
	return (w | 0x20202020) * 2654435761 >> 16
}

// candidate reports whether a value may begin at src[i], which is not an
// escape sequence.
func (m *matcher) candidate(src []byte, i int) bool {
	if i+1 == len(src) {
		return m.first[src[i]]
	}
	how := m.pairs[int(src[i])<<8|int(src[i+1])]
	if how&viaWalk != 0 {
		return true
	}
	if how&viaGram == 0 || i+4 > len(src) {
		return false
	}
	w := binary.LittleEndian.Uint32(src[i:])
	slash := w ^ 0x5c5c5c5c
	if (w|(slash-0x01010101)&^slash)&0x80808080 != 0 {
		return true // an escape or a character that may fold to a letter
	}
	h := gram(w)
	return m.grams[h/64]&(1<<(h%64)) != 0
}

// fold returns the smallest of the characters that differ from r in letter
// case only, which is the same for all of them.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

func foldString(s string) string {
	folded := make([]byte, 0, len(s))
	for _, r := range s {
		folded = utf8.AppendRune(folded, fold(r))
	}
	return string(folded)
}

// isWord reports whether a text is so short that it stands for itself only
// where it is a word: Ann, but not in Annual. Scripts without letter case are
// mostly written without spaces too, so words there are found anywhere.
func isWord(s string) bool {
	n := 0
	for _, r := range s {
		if n++; n > 4 || !cased(r) {
			return false
		}
	}
	return true
}

func cased(r rune) bool {
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r)
}

// inWord reports whether r next to a short value makes it part of a longer word.
func inWord(r rune) bool { return cased(r) || unicode.IsDigit(r) }
