package rawjson

import "unicode/utf8"

// MaxScannedID is the longest id literal in bytes that an IDScanner remembers.
const MaxScannedID = 256

// IDScanner finds the id of a message that is too large to be kept: it is fed
// the message in pieces and remembers the top-level "id" and whether there is a
// "method", wherever they stand. It uses a constant amount of memory and does
// not validate what it passes over. The zero value is ready for use.
type IDScanner struct {
	depth   int
	str     bool // inside a string literal
	escaped bool // the next byte of the string is escaped
	value   bool // behind the colon of a top-level member
	isID    bool // and that member is the id
	method  bool
	ids     int // how many top-level ids were seen; two are none
	lit     [MaxScannedID + 1]byte
	n       int  // bytes in lit
	keep    bool // the current literal is being collected in lit
	id      [MaxScannedID]byte
	idLen   int
}

// Write feeds the next piece of the message. It never fails.
func (s *IDScanner) Write(p []byte) (int, error) {
	for _, c := range p {
		if s.str {
			s.inString(c)
			continue
		}
		if s.keep && !isNumberByte(c) {
			s.endLiteral() // of a number
		}
		switch c {
		case '"':
			s.str = true
			if s.depth == 1 && (!s.value || s.isID) {
				s.keep, s.n = true, 0
				s.collect(c)
			}
		case '{', '[':
			s.depth++
		case '}', ']':
			s.depth--
		case ':':
			s.value = s.value || s.depth == 1
		case ',':
			if s.depth == 1 {
				s.value, s.isID = false, false
			}
		default:
			if s.keep {
				s.collect(c)
			} else if s.depth == 1 && s.value && s.isID && isNumberByte(c) {
				s.keep, s.n = true, 0
				s.collect(c)
			}
		}
	}
	return len(p), nil
}

func (s *IDScanner) inString(c byte) {
	if s.keep {
		s.collect(c)
	}
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.str = false
		if s.keep {
			s.endLiteral()
		}
	}
}

func (s *IDScanner) collect(c byte) {
	if s.n < len(s.lit) {
		s.lit[s.n] = c
		s.n++
	}
}

// endLiteral is called behind a top-level key, or behind the id's value.
func (s *IDScanner) endLiteral() {
	s.keep = false
	lit := s.lit[:s.n]
	if s.value {
		if s.n <= MaxScannedID && utf8.Valid(lit) && Valid(lit) == nil {
			s.idLen = copy(s.id[:], lit)
		}
		s.isID = false // what follows before the comma is not an id
		return
	}
	s.isID = false
	switch string(lit) {
	case `"id"`:
		s.isID = true
		s.ids++
	case `"method"`:
		s.method = true
	}
}

func isNumberByte(c byte) bool {
	return c-'0' <= 9 || c == '-' || c == '+' || c == '.' || c|0x20 == 'e'
}

// ID returns the raw id, a string or a number, or nil when the message has
// none, two, one of another type or one that is too long. A number counts only
// when something stands behind it.
func (s *IDScanner) ID() []byte {
	if s.ids != 1 || s.idLen == 0 {
		return nil
	}
	return s.id[:s.idLen:s.idLen]
}

// HasMethod reports whether a top-level "method" was seen: without one, the
// message is a response and is not answered.
func (s *IDScanner) HasMethod() bool { return s.method }
