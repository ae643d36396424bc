package child

import (
	"bytes"
	"encoding/json"

	"portero/shared/rawjson"
)

// longestID is the longest id of a child's request in bytes: it comes back in
// the answer, so it must not be a way to have Portero hold megabytes.
const longestID = rawjson.MaxScannedID

var bom = []byte("\xef\xbb\xbf")

// handle deals with one line of the child. What is not JSON-RPC is logged and
// passed over: a stray print must not cost the session.
func (s *session) handle(line []byte) {
	line = bytes.TrimSpace(bytes.TrimPrefix(line, bom))
	if len(line) == 0 {
		return
	}
	m, err := parse(line)
	switch {
	case err != nil:
		s.junk(line, err)
	case m.IsResponse():
		s.settle(m.ID, outcome{reply: Reply{Result: s.owned(m.Result), Error: s.owned(m.Error)}})
	case m.IsRequest():
		s.asked(m)
	case m.Method == "notifications/tools/list_changed":
		select {
		case s.changed <- struct{}{}:
		default:
		}
	case s.c.opt.OnNotify != nil:
		s.c.opt.OnNotify(m.Method, s.owned(m.Params))
	}
}

// owned is a part of the present line that outlives it.
func (s *session) owned(part []byte) json.RawMessage {
	if part == nil {
		return nil
	}
	return s.lines.keep(part)
}

// junk logs what could not be read. If it was meant as a reply, its call
// fails: nothing better will come.
func (s *session) junk(line []byte, why error) {
	s.noise.log1(s.tail.shown(line), len(line))
	var ids rawjson.IDScanner
	_, _ = ids.Write(line)
	if id := ids.ID(); id != nil && !ids.HasMethod() {
		s.settle(id, outcome{f: &failure{
			what: "wrote a line that is not JSON-RPC as its answer (" + why.Error() + ")",
			hint: "this is a fault of that server",
		}})
	}
}

// asked answers a request of the child: the capabilities it was given leave
// it nothing to ask but ping.
func (s *session) asked(m rawjson.Envelope) {
	if len(m.ID) > longestID {
		s.c.log.Warn("child sent a request with an id that is too long", "bytes", len(m.ID))
		return
	}
	answer := `,"error":{"code":-32601,"message":"Method not found"}}`
	if m.Method == "ping" {
		answer = `,"result":{}}`
	}
	line := append([]byte(`{"jsonrpc":"2.0","id":`), m.ID...)
	s.control(&message{line: append(append(line, answer...), '\n')})
}

// oneLine returns params without line breaks, which would end the message.
// Valid JSON has them between tokens only, where a space means the same.
func oneLine(params json.RawMessage) json.RawMessage {
	if bytes.IndexByte(params, '\n') < 0 && bytes.IndexByte(params, '\r') < 0 {
		return params
	}
	params = bytes.Clone(params)
	for i, c := range params {
		if c == '\n' || c == '\r' {
			params[i] = ' '
		}
	}
	return params
}
