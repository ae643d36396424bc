package rawjson

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Envelope is one JSON-RPC 2.0 message. The slices are parts of the line it was
// parsed from; nil means absent.
type Envelope struct {
	Method string // "" in a response
	ID     []byte // the raw string or number; nil in a notification
	Params []byte // an object
	Result []byte // any value
	Error  []byte // an object
}

// IsRequest reports whether the message asks for a response.
func (e *Envelope) IsRequest() bool { return e.Method != "" && e.ID != nil }

// IsNotification reports whether the message asks for no response.
func (e *Envelope) IsNotification() bool { return e.Method != "" && e.ID == nil }

// IsResponse reports whether the message answers a request.
func (e *Envelope) IsResponse() bool { return e.Method == "" && e.ID != nil }

// Positions in envelopeKeys.
const (
	envVersion = iota
	envID
	envMethod
	envParams
	envResult
	envError
)

var envelopeKeys = []string{"jsonrpc", "id", "method", "params", "result", "error"}

// ParseEnvelope reads a line that must hold exactly one JSON-RPC 2.0 request,
// notification or response: valid JSON in valid UTF-8, no deeper than MaxDepth,
// its known keys spelled exactly and once, the id a string or a number. Unknown
// keys are left alone; "params": null counts as absent.
//
// Errors are of type *Error with CodeSyntax or CodeInvalid. The ID is set even
// then if the line holds one that is beyond doubt, so that an error response
// can name it.
func ParseEnvelope(line []byte) (Envelope, error) {
	var v [6][]byte
	err := Fields(line, envelopeKeys, v[:])
	if !utf8.Valid(line) && !isSyntax(err) {
		err = &Error{CodeSyntax, "invalid UTF-8"}
	}
	e := Envelope{ID: v[envID], Params: v[envParams], Result: v[envResult], Error: v[envError]}
	if err == nil {
		err = e.check(v[envVersion], v[envMethod])
	}
	if err != nil {
		// Reading stopped at the first fault; the id may stand behind it.
		var s IDScanner
		_, _ = s.Write(line)
		return Envelope{ID: s.ID()}, err
	}
	return e, nil
}

// check validates the members of the message against each other.
func (e *Envelope) check(version, method []byte) error {
	if string(version) != `"2.0"` {
		return invalid(`"jsonrpc" must be "2.0"`)
	}
	if e.ID != nil && e.ID[0] != '"' && e.ID[0] != '-' && e.ID[0]-'0' > 9 {
		return invalid("the id must be a string or a number")
	}
	if string(e.Params) == "null" {
		e.Params = nil
	}
	if e.Params != nil && e.Params[0] != '{' {
		return invalid("params must be an object")
	}
	if e.Error != nil && e.Error[0] != '{' {
		return invalid("error must be an object")
	}
	if method == nil {
		switch {
		case e.Result == nil && e.Error == nil:
			return invalid("no method, result or error")
		case e.Result != nil && e.Error != nil:
			return invalid("both result and error")
		case e.ID == nil:
			return invalid("a response without an id")
		case e.Params != nil:
			return invalid("a response with params")
		}
		return nil
	}
	if e.Result != nil || e.Error != nil {
		return invalid("both a method and a result or error")
	}
	var err error
	if e.Method, err = identifier(method); err != nil {
		return invalid("method " + err.Error())
	}
	return nil
}

// identifier returns the text of a literal that something will be decided on:
// a string, not empty, that every decoder reads alike.
func identifier(lit []byte) (string, error) {
	if lit[0] != '"' {
		return "", fmt.Errorf("must be a string")
	}
	if len(lit) == 2 {
		return "", fmt.Errorf("must not be empty")
	}
	body := lit[1 : len(lit)-1]
	if loneSurrogate(body) {
		return "", fmt.Errorf("must not hold half a surrogate pair")
	}
	// The methods of nearly every message cost no allocation.
	switch string(body) {
	case "tools/call":
		return "tools/call", nil
	case "notifications/progress":
		return "notifications/progress", nil
	case "notifications/cancelled":
		return "notifications/cancelled", nil
	}
	return Unquote(lit)
}

func isSyntax(err error) bool {
	e, ok := err.(*Error)
	return ok && e.Code == CodeSyntax
}

func invalid(msg string) error { return &Error{CodeInvalid, msg} }

// Fields reads the object obj strictly: out[i] becomes the raw value of keys[i],
// a slice of obj, or nil when absent. A known key that occurs twice, in another
// letter case or with escapes is refused, because another parser would take
// another value; unknown keys are skipped. keys must be ASCII, at most 64.
//
// The whole object is validated. On error (always an *Error) out holds what was
// read all the same, except for keys that occur twice.
func Fields(obj []byte, keys []string, out [][]byte) error {
	clear(out)
	s := NewScanner(obj)
	if t, err := s.Next(); err != nil {
		return err
	} else if t.Kind != Object {
		if _, err := s.rest(); err != nil {
			return err
		}
		return invalid("not a JSON object")
	}
	var refused error
	var twice uint64
	for {
		t, err := s.Next()
		if err != nil {
			return err
		}
		if t.Kind != Key {
			break
		}
		value, err := s.Skip()
		if err != nil {
			return err
		}
		i, exact := lookup(obj[t.Start+1:t.End-1], keys)
		switch {
		case i < 0:
		case !exact:
			refused = invalid(fmt.Sprintf("a key is another spelling of %q", keys[i]))
		case out[i] != nil || twice&(1<<i) != 0:
			refused = invalid(fmt.Sprintf("the key %q occurs twice", keys[i]))
			twice |= 1 << i
			out[i] = nil
		default:
			out[i] = value
		}
	}
	if _, err := s.Next(); err != nil {
		return err
	}
	return refused
}

// rest reads to the end of the input, for its syntax alone.
func (s *Scanner) rest() (Token, error) {
	for {
		if t, err := s.Next(); err != nil || t.Kind == End {
			return t, err
		}
	}
}

// lookup finds the inside of a key literal among keys: exactly, or else as a
// variant that some parser takes for the same key. It returns -1 for neither.
func lookup(key []byte, keys []string) (i int, exact bool) {
	for i, k := range keys {
		if string(key) == k {
			return i, true
		}
	}
	if bytes.IndexByte(key, '\\') >= 0 {
		if len(key) > 6*64 {
			return -1, false // longer than any known key with every letter escaped
		}
		key = appendText(nil, key)
	}
	for i, k := range keys {
		// Folding may change the number of bytes: the Kelvin sign folds to k.
		if len(key) >= len(k) && len(key) <= 3*len(k) && bytes.EqualFold(key, []byte(k)) {
			return i, false
		}
	}
	return -1, false
}
