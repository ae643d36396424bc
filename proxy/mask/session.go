package mask

// Rewritten is what became of one message.
type Rewritten struct {
	JSON  []byte // the input itself when nothing was replaced
	Count int    // replacements made

	// Labels counts the replacements by the label of their pair, and by
	// "detected KIND" for those of a detector.
	Labels map[string]int

	// Placeholders names the one-way pairs whose placeholder came back. Only
	// Restore sets it. Whoever writes such a message overwrites the real value.
	Placeholders []string

	// Alike names what looks like a fake but is none, each "TEXT (like FAKE)".
	// Only Restore sets it.
	Alike []string
}

// Session rewrites the messages of one conversation. It remembers what only
// memory can invert: a string whose fake form does not say how the real one was
// spelled. Safe for concurrent use. The memory is bounded; what is forgotten
// comes back as configured.
type Session struct {
	t *Table
}

// Session starts a conversation.
func (t *Table) Session() *Session { return &Session{t: t} }

// Mask replaces real by fake in a JSON value that server (a child's name, or ""
// for none) sent. The error says that json is not valid JSON, or that it is
// encoded too deeply to be read; then nothing may be passed on.
func (s *Session) Mask(json []byte, kind Kind, server string) (Rewritten, error) {
	out, n, err := s.t.Mask(json, kind)
	return Rewritten{JSON: out, Count: n}, err
}

// Restore replaces fake by real in a JSON value from the client. It fails like
// Mask, and when two keys of an object become the same.
func (s *Session) Restore(json []byte, kind Kind) (Rewritten, error) {
	out, n, err := s.t.Restore(json)
	return Rewritten{JSON: out, Count: n}, err
}

// Leak is Table.Leak.
func (s *Session) Leak(json []byte, kind Kind) (label string, found bool) {
	return s.t.Leak(json, kind)
}
