package rawjson

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// Call is the params of a tools/call request. The slices are parts of the
// params they were parsed from; nil means absent.
type Call struct {
	Name           string
	NameRaw        []byte // the name's literal, for splicing in another name
	Args           []byte // an object
	Meta           []byte // an object
	Task           []byte // any value
	InputResponses []byte // any value
	RequestState   []byte // any value
}

var callKeys = []string{"name", "arguments", "_meta", "task", "inputResponses", "requestState"}

// ParseCall reads the params of a tools/call request as strictly as
// ParseEnvelope reads an envelope. It does not look into the arguments: see
// CheckArgs. Errors are of type *Error, CodeParams except for broken JSON.
func ParseCall(params []byte) (Call, error) {
	var v [6][]byte
	if params == nil {
		return Call{}, badParams("params are missing")
	}
	if err := Fields(params, callKeys, v[:]); err != nil {
		if isSyntax(err) {
			return Call{}, err
		}
		return Call{}, badParams(err.Error())
	}
	c := Call{NameRaw: v[0], Args: v[1], Meta: v[2], Task: v[3], InputResponses: v[4], RequestState: v[5]}
	if c.NameRaw == nil {
		return Call{}, badParams("the tool's name is missing")
	}
	var err error
	if c.Name, err = identifier(c.NameRaw); err != nil {
		return Call{}, badParams("the tool's name " + err.Error())
	}
	if c.Args != nil && c.Args[0] != '{' {
		return Call{}, badParams("arguments must be an object")
	}
	if c.Meta != nil && c.Meta[0] != '{' {
		return Call{}, badParams("_meta must be an object")
	}
	return c, nil
}

func badParams(msg string) error { return &Error{CodeParams, msg} }

// CheckArgs refuses arguments that two parsers may read differently: a key that
// occurs twice in one object at any level (however it is spelled), a key that
// escapes half a surrogate pair, bytes that are not UTF-8, nesting beyond
// MaxDepth. Lone surrogates in values pass: no decision hangs on them. nil is
// accepted. Errors are of type *Error, CodeParams except for broken JSON.
func CheckArgs(args []byte) error {
	if args == nil {
		return nil
	}
	if !utf8.Valid(args) {
		return badParams("the arguments are not valid UTF-8")
	}
	// keys holds those of all open objects; opened says where each begins.
	var keyBuf [32][]byte
	var openBuf [16]int
	keys, opened := keyBuf[:0], openBuf[:0]
	s := NewScanner(args)
	for {
		t, err := s.Next()
		if err != nil {
			if isSyntax(err) {
				return err
			}
			return badParams("the arguments are " + err.Error())
		}
		switch t.Kind {
		case End:
			return nil
		case Object:
			opened = append(opened, len(keys))
		case Key:
			key := args[t.Start+1 : t.End-1]
			if bytes.IndexByte(key, '\\') >= 0 {
				if loneSurrogate(key) {
					return badParams("a key in the arguments holds half a surrogate pair")
				}
				key = appendText(make([]byte, 0, len(key)), key)
			}
			keys = append(keys, key)
		case ObjectClose:
			last := len(opened) - 1
			if repeated(keys[opened[last]:]) {
				return badParams("a key occurs twice in the arguments")
			}
			keys, opened = keys[:opened[last]], opened[:last]
		}
	}
}

// repeated reports whether two of keys are equal. It may reorder them.
func repeated(keys [][]byte) bool {
	if len(keys) <= 8 {
		for i, k := range keys {
			for _, other := range keys[:i] {
				if bytes.Equal(k, other) {
					return true
				}
			}
		}
		return false
	}
	slices.SortFunc(keys, bytes.Compare)
	for i := 1; i < len(keys); i++ {
		if bytes.Equal(keys[i], keys[i-1]) {
			return true
		}
	}
	return false
}
