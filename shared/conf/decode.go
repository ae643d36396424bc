package conf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// syntaxError is a source that is no TOML, at a byte offset.
type syntaxError struct {
	off  int
	msg  string
	hint string
}

func (e *syntaxError) Error() string { return e.msg }

// decode reads TOML into vals; its error is a *syntaxError.
func decode(src string, vals *map[string]any) (err error) {
	defer func() {
		// The decoder answers some malformed sources with a panic of its own.
		if r := recover(); r != nil {
			err = &syntaxError{msg: "not valid TOML"}
		}
	}()
	if _, err = toml.Decode(src, vals); err == nil {
		return nil
	}
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return &syntaxError{msg: "not valid TOML"}
	}
	return explain(pe)
}

// explain words the decoder's message anew where it quotes the source: the
// text at a syntax error may well be a real value that lacks its quotes.
func explain(pe toml.ParseError) *syntaxError {
	e := &syntaxError{off: pe.Position.Start, msg: strings.ReplaceAll(pe.Message, `'\x00'`, "the end of the file")}
	const quotes = `a string needs quotes: key = "text"`
	for _, c := range []struct{ part, msg, hint string }{
		{"expected value but found", "a value is expected here", quotes},
		{"unexpected EOF; expected value", "a value is expected here", quotes},
		{"invalid datetime", "not a valid number, date or time", quotes},
		{"nvalid integer", "not a valid number", quotes},
		{"nvalid float", "not a valid number", quotes},
		{"not a binary", "not a valid number", quotes},
		{"not an octal", "not a valid number", quotes},
		{"not a hexadecimal", "not a valid number", quotes},
		{"non-decimal numbers", "not a valid number", quotes},
		{"expected a digit", "not a valid number", quotes},
		{"out of range", "number out of range", quotes},
		{"safe ", "number out of range", quotes},
		{"hexadecimal digits", "invalid escape in a string", `write \\ for a backslash, or put the text in '...'`},
		{"scape", "invalid escape in a string", `write \\ for a backslash, or put the text in '...'`},
		{"already been defined", defined(pe.Message), "a table or key may stand only once; [[name]] adds to a list"},
		{"already created", defined(pe.Message), "a table or key may stand only once; [[name]] adds to a list"},
		{"is not a table", "this key already holds a value that is no table", ""},
	} {
		if strings.Contains(pe.Message, c.part) {
			e.msg, e.hint = c.msg, c.hint
			return e
		}
	}
	return e
}

// defined names the key of a message such as "Key 'a.b' has already been defined.".
func defined(msg string) string {
	_, rest, _ := strings.Cut(msg, "'")
	if i := strings.LastIndexByte(rest, '\''); i >= 0 {
		return fmt.Sprintf("duplicate key %s", rest[:i])
	}
	return "duplicate key"
}
