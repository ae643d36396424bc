package conf

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// node is where one value of a TOML file stands. The tree has the shape of
// what the decoder returns for the same source: sub for tables, items for
// arrays, so that the two are walked side by side. Numbers are byte offsets.
type node struct {
	key  int // where its key begins (an array's item: where its value begins)
	val  int // where its value begins; for a [header] the same as key
	end  int // where the value ends
	keys []string
	sub  map[string]*node

	items []*node
	array bool
}

// child is the node of a key, or n itself where there is none, so that a
// message always has a position.
func (n *node) child(key string) *node {
	if c := n.sub[key]; c != nil {
		return c
	}
	return &node{key: n.key, val: n.val}
}

// item is the node of the array's i-th element, or the array's.
func (n *node) item(i int) *node {
	if i < len(n.items) {
		return n.items[i]
	}
	return &node{key: n.key, val: n.val}
}

func (n *node) put(key string, c *node) *node {
	if n.sub == nil {
		n.sub = map[string]*node{}
	}
	n.keys = append(n.keys, key)
	n.sub[key] = c
	return c
}

// table is the table that a dotted name or a header reaches by way of p: an
// existing one (of an array of tables the last), or a new one.
func (n *node) table(p part) *node {
	c := n.sub[p.key]
	switch {
	case c == nil:
		return n.put(p.key, &node{key: p.off, val: p.off, end: p.end})
	case c.array && len(c.items) > 0:
		return c.items[len(c.items)-1]
	}
	return c
}

// part is one segment of a dotted key.
type part struct {
	key      string
	off, end int
}

// locate finds the position of every key and value of a TOML source that the
// decoder has accepted: it checks nothing itself. On any other input it ends
// without panic, and what it returns means nothing.
func locate(src string) *node {
	root := &node{}
	cur := root
	s := &scanner{src: src}
	for {
		s.skip(true)
		start := s.pos
		switch s.peek() {
		case 0:
			if s.pos >= len(src) {
				root.end = s.pos
				return root
			}
		case '[':
			cur = s.header(root)
		default:
			s.assign(cur)
		}
		if s.pos == start {
			s.pos++
		}
	}
}

type scanner struct {
	src string
	pos int
}

func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *scanner) eat(c byte) bool {
	if s.pos < len(s.src) && s.src[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// skip passes over blanks, and with lines also over line ends and comments.
func (s *scanner) skip(lines bool) {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == ' ' || c == '\t':
		case lines && (c == '\n' || c == '\r'):
		case lines && c == '#':
			if i := strings.IndexByte(s.src[s.pos:], '\n'); i >= 0 {
				s.pos += i
			} else {
				s.pos = len(s.src) - 1
			}
		default:
			return
		}
		s.pos++
	}
}

// header reads [a.b] or [[a.b]] and returns the table that follows.
func (s *scanner) header(root *node) *node {
	s.eat('[')
	array := s.eat('[')
	path := s.path()
	s.eat(']')
	if array {
		s.eat(']')
	}
	n := root
	for _, p := range path[:len(path)-1] {
		n = n.table(p)
	}
	last := path[len(path)-1]
	if !array {
		return n.table(last)
	}
	list := n.sub[last.key]
	if list == nil {
		list = n.put(last.key, &node{key: last.off, val: last.off, array: true})
	}
	item := &node{key: last.off, val: last.off, end: last.end}
	list.items = append(list.items, item)
	return item
}

// assign reads key = value into the table n.
func (s *scanner) assign(n *node) {
	path := s.path()
	if !s.eat('=') {
		return
	}
	for _, p := range path[:len(path)-1] {
		n = n.table(p)
	}
	last := path[len(path)-1]
	s.skip(false)
	v := &node{key: last.off}
	if n.sub[last.key] == nil { // The decoder drops a value for a name that already is a table.
		n.put(last.key, v)
	}
	s.value(v)
}

// path reads a dotted key; it has at least one part.
func (s *scanner) path() []part {
	var path []part
	for {
		s.skip(false)
		p := part{off: s.pos}
		switch c := s.peek(); c {
		case '"', '\'':
			s.quoted(c)
			p.key = unquote(s.src[p.off:s.pos])
		default:
			for isBare(s.peek()) {
				s.pos++
			}
			p.key = s.src[p.off:s.pos]
		}
		p.end = s.pos
		path = append(path, p)
		s.skip(false)
		if !s.eat('.') {
			return path
		}
	}
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// value reads the value that begins here into n.
func (s *scanner) value(n *node) {
	n.val = s.pos
	switch c := s.peek(); c {
	case '"', '\'':
		if q := strings.Repeat(string(c), 3); strings.HasPrefix(s.src[s.pos:], q) {
			s.multiline(c)
		} else {
			s.quoted(c)
		}
	case '[':
		s.pos++
		n.array = true
		s.list(']', func() {
			item := &node{key: s.pos}
			n.items = append(n.items, item)
			s.value(item)
		})
	case '{':
		s.pos++
		s.list('}', func() { s.assign(n) })
	default:
		// Only a date holds a blank, so a bare value ends with what must follow it.
		for s.pos < len(s.src) && !strings.ContainsRune(",]}#\r\n", rune(s.src[s.pos])) {
			s.pos++
		}
		n.end = n.val + len(strings.TrimRight(s.src[n.val:s.pos], " \t"))
		return
	}
	n.end = s.pos
}

// list reads what stands between the brackets of an array or inline table.
func (s *scanner) list(end byte, element func()) {
	for {
		s.skip(true)
		if s.pos >= len(s.src) || s.eat(end) {
			return
		}
		start := s.pos
		if element(); s.pos == start {
			s.pos++
		}
		s.skip(true)
		s.eat(',')
	}
}

// quoted passes over a one-line string, its quotes included.
func (s *scanner) quoted(quote byte) {
	for s.pos++; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; {
		case c == quote:
			s.pos++
			return
		case c == '\n':
			return
		case c == '\\' && quote == '"':
			s.pos++
		}
	}
	s.pos = len(s.src)
}

// multiline passes over a string of three quotes. Up to two more quotes
// directly before the closing ones belong to the text.
func (s *scanner) multiline(quote byte) {
	run := 0
	for s.pos += 3; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; {
		case c == quote:
			if run++; run == 3 {
				s.pos++
				for more := 0; more < 2 && s.eat(quote); more++ {
				}
				return
			}
			continue
		case c == '\\' && quote == '"':
			s.pos++
		}
		run = 0
	}
	s.pos = len(s.src)
}

// unquote is the text of a one-line string.
func unquote(s string) string {
	if len(s) < 2 || s[0] != s[len(s)-1] {
		return s
	}
	raw := s[0] == '\''
	s = s[1 : len(s)-1]
	if raw || !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if k := strings.IndexByte(`btnfre"\`, s[i]); k >= 0 {
			b.WriteByte("\b\t\n\f\r\x1b\"\\"[k])
			continue
		}
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		if i+digits >= len(s) {
			break
		}
		code, _ := strconv.ParseUint(s[i+1:i+1+digits], 16, 32)
		b.WriteRune(rune(code))
		i += digits
	}
	return b.String()
}

// lines turns byte offsets into lines and columns.
type lines struct {
	src    string
	starts []int
}

func newLines(src string) *lines {
	l := &lines{src: src, starts: []int{0}}
	for i := range len(src) {
		if src[i] == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

// at is the line and the column, both from 1, the column in characters.
func (l *lines) at(off int) (line, col int) {
	off = max(0, min(off, len(l.src)))
	line = sort.SearchInts(l.starts, off+1)
	start := l.starts[line-1]
	return line, 1 + utf8.RuneCountInString(l.src[start:off])
}
