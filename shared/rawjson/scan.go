// Package rawjson reads and edits JSON as bytes.
//
// Portero decides on a message and then forwards it. If it decoded the message
// and encoded it again, numbers would be rounded, keys reordered and unknown
// fields lost; if it read the message more loosely than the next program does,
// it would decide on one reading and have another one executed. So everything
// here works on the bytes as they came: values are slices of the input, edits
// are splices, and where two parsers could disagree (duplicate keys, keys in
// another letter case, escaped spellings of known keys) the message is refused.
//
// Nothing here modifies its input or keeps it. All functions are safe for
// concurrent use; a Scanner and an IDScanner belong to one goroutine.
package rawjson

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MaxDepth is how many arrays and objects may be open at once. Deeper input is
// refused with ErrInvalid, because parsers differ in what they do with it.
const MaxDepth = 1000

// Kind says what a Token is.
type Kind byte

// The kinds of token. End is reported once the single value of the input has
// been read and only spaces follow it.
const (
	End         Kind = 0
	Object      Kind = '{'
	ObjectClose Kind = '}'
	Array       Kind = '['
	ArrayClose  Kind = ']'
	Key         Kind = 'k'
	String      Kind = '"'
	Number      Kind = '0'
	Word        Kind = 't' // true, false or null
)

// Token is one lexical element: data[Start:End], quotes included.
type Token struct {
	Kind       Kind
	Start, End int
}

type want byte

const (
	wantValue want = iota // a value must follow
	wantFirst             // a container was just opened
	wantMore              // a value inside a container was just read
	wantEnd               // the whole value was read
)

// Scanner reads one JSON value token by token. It accepts exactly what
// encoding/json accepts, except for nesting beyond MaxDepth. It allocates only
// for errors.
type Scanner struct {
	data   []byte
	pos    int
	depth  int
	closer byte // what closes the innermost container
	want   want
	object [MaxDepth/64 + 1]uint64 // one bit for each level: is it an object?
}

// NewScanner returns a Scanner at the start of data.
func NewScanner(data []byte) Scanner {
	return Scanner{data: data}
}

// Depth returns how many containers are open.
func (s *Scanner) Depth() int { return s.depth }

// Next returns the next token. Errors are of type *Error.
func (s *Scanner) Next() (Token, error) {
	d := s.data
	i := space(d, s.pos)
	if i == len(d) {
		if s.want == wantEnd {
			return Token{End, i, i}, nil
		}
		return s.fail(i)
	}
	c := d[i]
	switch s.want {
	case wantValue:
		return s.value(i, c)
	case wantEnd:
		return s.fail(i)
	case wantFirst:
		if c == s.closer {
			return s.close(i)
		}
	case wantMore:
		if c == s.closer {
			return s.close(i)
		}
		if c != ',' {
			return s.fail(i)
		}
		if i = space(d, i+1); i == len(d) {
			return s.fail(i)
		}
		c = d[i]
	}
	if s.closer == ']' {
		return s.value(i, c)
	}
	if c != '"' {
		return s.fail(i)
	}
	end, ok := stringEnd(d, i)
	if !ok {
		return s.fail(end)
	}
	colon := space(d, end)
	if colon == len(d) || d[colon] != ':' {
		return s.fail(colon)
	}
	s.pos, s.want = colon+1, wantValue
	return Token{Key, i, end}, nil
}

// Skip reads the next value in full and returns its bytes. It must be called
// where a value stands: at the start, after a Key, or inside an array.
func (s *Scanner) Skip() ([]byte, error) {
	t, err := s.Next()
	if err != nil {
		return nil, err
	}
	start := t.Start
	if t.Kind == Object || t.Kind == Array {
		for depth := s.depth; s.depth >= depth; {
			if t, err = s.Next(); err != nil {
				return nil, err
			}
		}
	}
	return s.data[start:t.End], nil
}

func (s *Scanner) value(i int, c byte) (Token, error) {
	var end int
	var ok bool
	kind := Word
	switch {
	case c == '"':
		kind = String
		end, ok = stringEnd(s.data, i)
	case c == '{' || c == '[':
		return s.open(i, c)
	case c == '-' || c-'0' <= 9:
		kind = Number
		end, ok = numberEnd(s.data, i)
	case c == 't':
		end, ok = wordEnd(s.data, i, "true")
	case c == 'f':
		end, ok = wordEnd(s.data, i, "false")
	case c == 'n':
		end, ok = wordEnd(s.data, i, "null")
	default:
		end = i
	}
	if !ok {
		return s.fail(end)
	}
	s.pos = end
	s.after()
	return Token{kind, i, end}, nil
}

func (s *Scanner) open(i int, c byte) (Token, error) {
	if s.depth == MaxDepth {
		return Token{}, &Error{CodeInvalid, fmt.Sprintf("nested deeper than %d levels at byte %d", MaxDepth, i)}
	}
	bit := uint64(1) << (s.depth % 64)
	if c == '{' {
		s.object[s.depth/64] |= bit
	} else {
		s.object[s.depth/64] &^= bit
	}
	s.depth++
	s.pos, s.want, s.closer = i+1, wantFirst, c+2 // '{'+2 is '}', '['+2 is ']'
	return Token{Kind(c), i, i + 1}, nil
}

func (s *Scanner) close(i int) (Token, error) {
	t := Token{Kind(s.closer), i, i + 1}
	s.depth--
	s.pos = i + 1
	s.after()
	if s.depth > 0 {
		s.closer = ']'
		if up := s.depth - 1; s.object[up/64]&(1<<(up%64)) != 0 {
			s.closer = '}'
		}
	}
	return t, nil
}

func (s *Scanner) after() {
	s.want = wantMore
	if s.depth == 0 {
		s.want = wantEnd
	}
}

func (s *Scanner) fail(i int) (Token, error) {
	if i >= len(s.data) {
		return Token{}, &Error{CodeSyntax, "invalid JSON: it ends too early"}
	}
	return Token{}, &Error{CodeSyntax, fmt.Sprintf("invalid JSON at byte %d", i)}
}

func space(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\n' || d[i] == '\r' || d[i] == '\t') {
		i++
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stringEnd returns the index behind the string literal that starts at d[i].
// When the literal is malformed, ok is false and end says where.
func stringEnd(d []byte, i int) (end int, ok bool) {
	i++
	for {
		// Eight bytes at a time for as long as none of them is a quote, a
		// backslash or a control character. A borrow can only set bits above the
		// first true hit, so the lowest one is exact.
		for i+8 <= len(d) {
			x := binary.LittleEndian.Uint64(d[i:])
			quote := x ^ ones*'"'
			slash := x ^ ones*'\\'
			hit := ((x - ones*' ') &^ x) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
			if hit &= highs; hit != 0 {
				i += bits.TrailingZeros64(hit) / 8
				break
			}
			i += 8
		}
		if i >= len(d) {
			return len(d), false
		}
		switch c := d[i]; {
		case c == '"':
			return i + 1, true
		case c < ' ':
			return i, false
		case c == '\\':
			n := escapeLen(d[i:])
			if n == 0 {
				return i, false
			}
			i += n
		default:
			i++
		}
	}
}

// escapeLen returns the length of the escape sequence at the start of b, half
// a surrogate pair counting as one, or 0 when it is malformed.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if hex4(b[2:]) >= 0 {
			return 6
		}
	}
	return 0
}

func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

func numberEnd(d []byte, i int) (end int, ok bool) {
	if d[i] == '-' {
		i++
	}
	if i < len(d) && d[i] == '0' {
		i++
	} else if i, ok = digits(d, i); !ok {
		return i, false
	}
	if i < len(d) && d[i] == '.' {
		if i, ok = digits(d, i+1); !ok {
			return i, false
		}
	}
	if i < len(d) && d[i]|0x20 == 'e' {
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		if i, ok = digits(d, i); !ok {
			return i, false
		}
	}
	return i, true
}

// digits reads one digit or more.
func digits(d []byte, i int) (end int, ok bool) {
	start := i
	for i < len(d) && d[i]-'0' <= 9 {
		i++
	}
	return i, i > start
}

func wordEnd(d []byte, i int, word string) (end int, ok bool) {
	if len(d)-i < len(word) || string(d[i:i+len(word)]) != word {
		return i, false
	}
	return i + len(word), true
}
