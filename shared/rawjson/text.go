package rawjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// Quote appends s to dst as a JSON string literal. Only what JSON requires is
// escaped; bytes that are not UTF-8 become U+FFFD.
func Quote(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// Unquote returns the text of a string literal, quotes included in lit. As in
// encoding/json, lone surrogates and bytes that are not UTF-8 become U+FFFD.
func Unquote(lit []byte) (string, error) {
	if len(lit) < 2 || lit[0] != '"' {
		return "", &Error{CodeSyntax, "not a string literal"}
	}
	if end, ok := stringEnd(lit, 0); !ok || end != len(lit) {
		return "", &Error{CodeSyntax, "malformed string literal"}
	}
	body := lit[1 : len(lit)-1]
	if bytes.IndexByte(body, '\\') < 0 && utf8.Valid(body) {
		return string(body), nil
	}
	return string(appendText(make([]byte, 0, len(body)), body)), nil
}

// appendText appends the decoded text of the inside of a valid literal.
func appendText(dst, body []byte) []byte {
	for i := 0; i < len(body); {
		switch c := body[i]; {
		case c == '\\':
			r, n := DecodeEscape(body[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRune(body[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return dst
}

// DecodeEscape reads the escape sequence at the start of b, which starts with
// a backslash. It returns the character and the length of the sequence, both
// halves of a surrogate pair together. A lone surrogate is returned as such;
// the length is 0 when the sequence is malformed.
func DecodeEscape(b []byte) (r rune, size int) {
	switch escapeLen(b) {
	case 2:
		switch b[1] {
		case 'b':
			return '\b', 2
		case 'f':
			return '\f', 2
		case 'n':
			return '\n', 2
		case 'r':
			return '\r', 2
		case 't':
			return '\t', 2
		}
		return rune(b[1]), 2
	case 6:
		r = hex4(b[2:])
		if utf16.IsSurrogate(r) && len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if pair := utf16.DecodeRune(r, hex4(b[8:])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return r, 6
	}
	return 0, 0
}

// loneSurrogate reports whether the inside of a valid literal escapes half a
// surrogate pair: text that no UTF-8 string can hold, so that two decoders may
// read different things.
func loneSurrogate(body []byte) bool {
	for {
		i := bytes.IndexByte(body, '\\')
		if i < 0 {
			return false
		}
		r, n := DecodeEscape(body[i:])
		if utf16.IsSurrogate(r) {
			return true
		}
		body = body[i+max(n, 1):]
	}
}
