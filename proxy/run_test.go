package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"portero/proxy/mask"
	"portero/shared/wire"
)

// TestSettleCall: the outcome that the relay and the client are told of every
// way in which a call can end.
func TestSettleCall(t *testing.T) {
	p := anonymous(t, person)
	long := strings.Repeat("María Cárdenas, ", 100)
	for _, tc := range []struct {
		name    string
		reply   reply
		outcome wire.Outcome
		result  string
		note    string // what it begins with
	}{
		{"result", reply{result: []byte(`{"content":[],"z":1.0}`)}, wire.OK, `{"content":[],"z":1.0}`, ""},
		{"result that is not an error", reply{result: []byte(`{"content":[],"isError":false}`)}, wire.OK, `{"content":[],"isError":false}`, ""},
		{"result that says error elsewhere", reply{result: []byte(`{"structuredContent":{"isError":true}}`)}, wire.OK, `{"structuredContent":{"isError":true}}`, ""},
		{"result that is no object", reply{result: []byte(`[true]`)}, wire.OK, `[true]`, ""},
		{"tool error", reply{result: []byte(`{"content":[{"type":"text","text":"no"}],"isError":true}`)}, wire.ToolError, `{"content":[{"type":"text","text":"no"}],"isError":true}`, ""},
		{"protocol error", reply{failed: []byte(`{"code":-32050,"message":"no such file","data":{"a":1}}`)}, wire.RPCError, "", "error -32050: no such file"},
		{"protocol error without code", reply{failed: []byte(`{"message":"m"}`)}, wire.RPCError, "", "error 0: m"},
		{"protocol error of another form", reply{failed: []byte(`{"code":"x","message":"m"}`)}, wire.RPCError, "", "error 0: m"},
		{"long protocol error", reply{failed: []byte(`{"code":1,"message":"` + strings.Repeat("é", 1000) + `"}`)}, wire.RPCError, "", "error 1: éééé"},
		{"not sent", reply{err: &serverError{text: `child "kit" exited; the call was not sent`}}, wire.Unsent, "", `child "kit" exited; the call was not sent; nothing ran`},
		{"not sent, wrapped", reply{err: fmt.Errorf("call: %w", &serverError{text: "x"})}, wire.Unsent, "", "x; nothing ran"},
		{"sent, no answer", reply{err: &serverError{text: `child "kit" exited; may have run`, sent: true}}, "", "", `child "kit" exited; may have run`},
		{"given up", reply{err: context.DeadlineExceeded}, "", "", "context deadline exceeded"},
		{"unreadable", reply{err: fmt.Errorf("anonymize: %w", errors.New("invalid JSON"))}, "", "", "anonymize: invalid JSON"},
		{"error with a real value", reply{err: errors.New("lost: " + long)}, "", "", "lost: John Doe, John Doe"},
		{"withheld", reply{err: &leakError{"replacement at portero.toml:7"}}, wire.ToolError, "", "its answer was withheld: the real value of the replacement at portero.toml:7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			outcome, result, note := p.settleCall(tc.reply)
			if outcome != tc.outcome {
				t.Errorf("outcome %q, want %q", outcome, tc.outcome)
			}
			if !strings.HasPrefix(note, tc.note) || tc.note == "" && note != "" {
				t.Errorf("note %q, want %q", note, tc.note)
			}
			sees(t, note)
			if len(note) > noteLimit+len("…; nothing ran") || !utf8.ValidString(note) {
				t.Errorf("a note of %d bytes: %q", len(note), note)
			}
			if tc.name == "withheld" {
				// It ran: the client gets an answer in its place, in both forms.
				sees(t, string(result), `"isError":true`, "the call was made, but its answer was withheld", `"structuredContent":{"error":`)
				return
			}
			if string(result) != tc.result {
				t.Errorf("result %s, want %s", result, tc.result)
			}
		})
	}
}

func TestClip(t *testing.T) {
	for _, tc := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 0, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"aéb", 2, "a…"}, {"aéb", 3, "aé…"}, {"é", 1, "…"}, {"日本語", 4, "日…"}, {"日本語", 8, "日本…"}, {"日本語", 9, "日本語"}, {"😀x", 3, "…"},
	} {
		if got := clip(tc.in, tc.n); got != tc.want {
			t.Errorf("clip(%q, %d) = %q, want %q", tc.in, tc.n, got, tc.want)
		}
	}
}

func TestLate(t *testing.T) {
	grant := wire.Grant{StartMS: 30_000}
	now := time.Now()
	for ago, want := range map[time.Duration]bool{0: false, 29 * time.Second: false, 31 * time.Second: true, time.Hour: true} {
		if late(now.Add(-ago), grant) != want {
			t.Errorf("granted %v ago: late is not %v", ago, want)
		}
	}
	// The machine slept: the monotonic clock stood still, the other went on.
	if !late(now.Add(-time.Minute).Round(0), grant) {
		t.Error("a minute by the wall clock is in time")
	}
}

// TestOutward: what a server says, made fit for the client, or withheld.
func TestOutward(t *testing.T) {
	p := anonymous(t, person, mask.Pair{Fake: "PHONE", Real: "5551234", Label: "replacement at portero.toml:9"})
	for in, want := range map[string]string{
		`{"text":"<a>","z":1.0}`: `{"text":"<a>","z":1.0}`,
		`{"content":[{"type":"text","text":"Mar\u00eda Cárdenas"}]}`: `{"content":[{"type":"text","text":"John Doe"}]}`,
		`{"María Cárdenas":["5551234"]}`:                             `{"John Doe":["PHONE"]}`,
	} {
		got, err := p.outward([]byte(in), mask.Result, "")
		if err != nil || string(got) != want {
			t.Errorf("%s became %s, %v; want %s", in, got, err, want)
		}
	}
	for in, why := range map[string]string{
		`{"n":5551234}`:         "withheld: the real value of the replacement at portero.toml:9 was still in it",
		`{"a":"María Cárdenas"`: "anonymize: ",
		`{"a":María Cárdenas}`:  "anonymize: ",
	} {
		got, err := p.outward([]byte(in), mask.Result, "")
		if err == nil {
			t.Errorf("%s became %s", in, got)
			continue
		}
		sees(t, err.Error(), why)
	}
}

func TestNoResult(t *testing.T) {
	for in, want := range map[string]string{"": `{"content":[]}`, "{": `{"content":[]}`, "null": "null", `{"a":1}`: `{"a":1}`} {
		if got := noResult([]byte(in)); string(got) != want {
			t.Errorf("%q became %s", in, got)
		}
	}
}
