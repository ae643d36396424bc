package botapi

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Entity is a formatted part of a message; offset and length are in UTF-16
// units.
type Entity struct {
	Type   string `json:"type"`
	Offset int    `json:"offset"`
	Length int    `json:"length"`
}

var tags = map[string]string{
	"b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
	"s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler",
	"code": "code", "pre": "pre", "blockquote": "blockquote",
}

// Named entities that the Bot API knows. It lets any other ampersand stand as
// it is; here that is an error, so that a forgotten escape shows.
var named = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"'}

// parseHTML reads the Bot API's HTML and returns the text that remains, with
// its entities in the order of their starts.
func parseHTML(s string) (string, []Entity, error) {
	if !utf8.ValidString(s) {
		return "", nil, fmt.Errorf("strings must be encoded in UTF-8")
	}
	var text strings.Builder
	var entities []Entity
	type open struct {
		tag   string
		index int
	}
	var stack []open
	at := 0 // in UTF-16 units
	for i := 0; i < len(s); {
		switch s[i] {
		case '&':
			name, rest, ok := strings.Cut(s[i+1:], ";")
			r, known := named[name]
			if !ok || !known {
				return "", nil, fmt.Errorf("unexpected \"&\" at byte offset %d", i)
			}
			text.WriteRune(r)
			at++
			i = len(s) - len(rest)
		case '<':
			tag, rest, ok := strings.Cut(s[i+1:], ">")
			if !ok {
				return "", nil, fmt.Errorf("unclosed start tag at byte offset %d", i)
			}
			if name, end := strings.CutPrefix(tag, "/"); end {
				if len(stack) == 0 {
					return "", nil, fmt.Errorf("unexpected end tag at byte offset %d", i)
				}
				top := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				if top.tag != name {
					return "", nil, fmt.Errorf("unmatched end tag at byte offset %d, expected \"</%s>\", found \"</%s>\"", i, top.tag, name)
				}
				entities[top.index].Length = at - entities[top.index].Offset
			} else {
				kind, known := tags[tag]
				if !known {
					return "", nil, fmt.Errorf("unsupported start tag %q at byte offset %d", tag, i)
				}
				stack = append(stack, open{tag, len(entities)})
				entities = append(entities, Entity{Type: kind, Offset: at})
			}
			i = len(s) - len(rest)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			text.WriteRune(r)
			at += utf16.RuneLen(r)
			i += size
		}
	}
	if len(stack) > 0 {
		return "", nil, fmt.Errorf("can't find end tag corresponding to start tag %q", stack[len(stack)-1].tag)
	}
	kept := entities[:0]
	for _, e := range entities {
		if e.Length > 0 {
			kept = append(kept, e)
		}
	}
	return text.String(), kept, nil
}

// units is the length of a text as Telegram counts it.
func units(s string) (n int) {
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}
