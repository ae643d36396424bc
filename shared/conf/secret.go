package conf

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// Secret is text that must not be shown: printing, logging and encoding it
// give a placeholder, only Reveal gives the text. The fmt package prints
// unexported struct fields without asking their type, so a Secret belongs in
// an exported field of whatever might be printed, and not in a map's key.
type Secret string

const redacted = "[redacted]"

// Reveal is the text itself.
func (s Secret) Reveal() string { return string(s) }

// String is a placeholder, or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String in quotes.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Format writes the placeholder for every verb but %p: without it a verb that
// does not fit a string would print the text in fmt's complaint.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = io.WriteString(f, text)
}

// LogValue is the placeholder, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is the placeholder, for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON is the placeholder as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(s.GoString()), nil }
