package rawjson

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestParseEnvelopeAccepts(t *testing.T) {
	tests := []struct {
		name, line, method, id, params, result, err string
	}{
		{"request", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":[1, 2]}}`, "tools/call", "1", `{"a":[1, 2]}`, "", ""},
		{"any order, spaces, CRLF", " { \"params\" : { } ,\t\"method\":\"m\",\"id\":\"a b\",\"jsonrpc\":\"2.0\" } \r\n", "m", `"a b"`, "{ }", "", ""},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/progress"}`, "notifications/progress", "", "", "", ""},
		{"null params", `{"jsonrpc":"2.0","method":"m","params":null}`, "m", "", "", "", ""},
		{"big id", `{"jsonrpc":"2.0","id":9007199254740993,"method":"m"}`, "m", "9007199254740993", "", "", ""},
		{"odd id", `{"jsonrpc":"2.0","id":-1.50e3,"method":"m"}`, "m", "-1.50e3", "", "", ""},
		{"escaped method", `{"jsonrpc":"2.0","method":"tools\/c\u0061ll"}`, "tools/call", "", "", "", ""},
		{"result", `{"jsonrpc":"2.0","id":1,"result":{"x":1.0}}`, "", "1", "", `{"x":1.0}`, ""},
		{"error", `{"jsonrpc":"2.0","id":1,"error":{"code":-1}}`, "", "1", "", "", `{"code":-1}`},
		{"unknown keys, even twice", `{"jsonrpc":"2.0","x":1,"x":{"id":9,"METHOD":1},"id":1,"method":"m"}`, "m", "1", "", "", ""},
		{"known words as values", `{"jsonrpc":"2.0","id":"id","method":"method","x":"ID"}`, "method", `"id"`, "", "", ""},
		{"lone surrogate in a value", `{"jsonrpc":"2.0","method":"m","params":{"a":"\ud800"}}`, "m", "", `{"a":"\ud800"}`, "", ""},
		{"as deep as allowed", `{"jsonrpc":"2.0","method":"m","x":` + nested(MaxDepth-1) + `}`, "m", "", "", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, err := ParseEnvelope([]byte(test.line))
			if err != nil {
				t.Fatal(err)
			}
			got := []string{e.Method, string(e.ID), string(e.Params), string(e.Result), string(e.Error)}
			want := []string{test.method, test.id, test.params, test.result, test.err}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("got %q, want %q", got, want)
					break
				}
			}
			request, response := e.IsRequest(), e.IsResponse()
			if request != (test.method != "" && test.id != "") || response != (test.method == "") || e.IsNotification() != (test.id == "") {
				t.Errorf("request %v, response %v, notification %v", request, response, e.IsNotification())
			}
		})
	}
}

func TestParseEnvelopeRefuses(t *testing.T) {
	const ok = `{"jsonrpc":"2.0","id":7,"method":"m"`
	tests := []struct {
		name, line string
		class      *Error
		id         string
	}{
		{"empty", ``, ErrSyntax, ""},
		{"garbage", `Listening on port 80`, ErrSyntax, ""},
		{"byte order mark", "\ufeff" + ok + "}", ErrSyntax, "7"},
		{"cut off", ok, ErrSyntax, "7"},
		{"cut off in the id", `{"jsonrpc":"2.0","method":"m","id":7`, ErrSyntax, ""},
		{"two messages", ok + `}{}`, ErrSyntax, "7"},
		{"trailing comma", ok + `,}`, ErrSyntax, "7"},
		{"broken before the id", `{"x":tru,"id":"later","method":"m"}`, ErrSyntax, `"later"`},
		{"control character", ok + ",\"x\":\"a\nb\"}", ErrSyntax, "7"},
		{"invalid UTF-8", ok + ",\"x\":\"\xff\"}", ErrSyntax, "7"},
		{"array", `[` + ok + `}]`, ErrInvalid, ""},
		{"broken array", `[` + ok + `]`, ErrSyntax, ""},
		{"string", `"x"`, ErrInvalid, ""},
		{"no version", `{"id":7,"method":"m"}`, ErrInvalid, "7"},
		{"version as number", `{"jsonrpc":2.0,"id":7,"method":"m"}`, ErrInvalid, "7"},
		{"version escaped", `{"jsonrpc":"2\u002e0","id":7,"method":"m"}`, ErrInvalid, "7"},
		{"null id", `{"jsonrpc":"2.0","id":null,"method":"m"}`, ErrInvalid, ""},
		{"object id", `{"jsonrpc":"2.0","id":{"id":1},"method":"m"}`, ErrInvalid, ""},
		{"boolean id", `{"jsonrpc":"2.0","id":true,"method":"m"}`, ErrInvalid, ""},
		{"two ids", `{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}`, ErrInvalid, ""},
		{"three ids", `{"jsonrpc":"2.0","id":1,"id":2,"id":3,"method":"m"}`, ErrInvalid, ""},
		{"two methods", ok + `,"method":"n"}`, ErrInvalid, "7"},
		{"escaped twin", ok + `,"m\u0065thod":"n"}`, ErrInvalid, "7"},
		{"escaped only", `{"jsonrpc":"2.0","id":7,"m\u0065thod":"n"}`, ErrInvalid, "7"},
		{"Method", ok + `,"Method":"n"}`, ErrInvalid, "7"},
		{"ID", ok + `,"ID":8}`, ErrInvalid, "7"},
		{"long s", ok + `,"paramſ":{}}`, ErrInvalid, "7"},
		{"escaped case variant", ok + `,"\u0050arams":{}}`, ErrInvalid, "7"},
		{"params array", ok + `,"params":[]}`, ErrInvalid, "7"},
		{"params string", ok + `,"params":"{}"}`, ErrInvalid, "7"},
		{"method number", `{"jsonrpc":"2.0","id":7,"method":1}`, ErrInvalid, "7"},
		{"method empty", `{"jsonrpc":"2.0","id":7,"method":""}`, ErrInvalid, "7"},
		{"method half pair", `{"jsonrpc":"2.0","id":7,"method":"a\ud800"}`, ErrInvalid, "7"},
		{"method and result", ok + `,"result":{}}`, ErrInvalid, "7"},
		{"nothing", `{"jsonrpc":"2.0","id":7}`, ErrInvalid, "7"},
		{"result and error", `{"jsonrpc":"2.0","id":7,"result":1,"error":{}}`, ErrInvalid, "7"},
		{"result and null error", `{"jsonrpc":"2.0","id":7,"result":1,"error":null}`, ErrInvalid, "7"},
		{"response without id", `{"jsonrpc":"2.0","result":1}`, ErrInvalid, ""},
		{"response with params", `{"jsonrpc":"2.0","id":7,"result":1,"params":{}}`, ErrInvalid, "7"},
		{"too deep", `{"jsonrpc":"2.0","method":"m","x":` + nested(MaxDepth) + `,"id":7}`, ErrInvalid, "7"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, err := ParseEnvelope([]byte(test.line))
			if !errors.Is(err, test.class) {
				t.Fatalf("error %v, want code %d", err, test.class.Code)
			}
			if string(e.ID) != test.id {
				t.Errorf("id %q, want %q", e.ID, test.id)
			}
			if e.Method != "" || e.Params != nil || e.Result != nil || e.Error != nil {
				t.Errorf("a refused message is returned: %+v", e)
			}
		})
	}
}

func TestParseEnvelopeDoesNotAllocate(t *testing.T) {
	line := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":["b\n",{"c":1}]}}}`)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ParseEnvelope(line); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseEnvelope(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":[1,-0.5e+7,true,null,"\u00e9\ud83d\ude00"]}}`,
		`{"jsonrpc":"2.0","id":"x","result":{}}`, `{"jsonrpc":"2.0","Id":1}`, `{"id":1,"id":2}`, `[{}]`, "{\"\xff\":1}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseEnvelope(line)
		if err != nil {
			if e.ID != nil && !json.Valid(e.ID) {
				t.Fatalf("the id of a refused message is not JSON: %q", e.ID)
			}
			return
		}
		if !json.Valid(line) || !utf8.Valid(line) {
			t.Fatal("accepted what is not JSON in UTF-8")
		}
		// A case-insensitive parser that takes the last of two keys must read the
		// same message.
		var want struct {
			Jsonrpc                   string
			Method                    string
			ID, Params, Result, Error json.RawMessage
		}
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		if string(want.Params) == "null" {
			want.Params = nil
		}
		if want.Jsonrpc != "2.0" || want.Method != e.Method || string(want.ID) != string(e.ID) ||
			string(want.Params) != string(e.Params) || string(want.Result) != string(e.Result) || string(want.Error) != string(e.Error) {
			t.Fatalf("read %+v, encoding/json reads %+v", e, want)
		}
	})
}

func BenchmarkParseEnvelope(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 20)
	item := `{"id":12345,"name":"item","tags":["a","b"],"ok":true,"note":"line\nline","price":1.25}`
	for name, params := range map[string]string{
		"100B":      `{"name":"read_file","arguments":{"path":"/workspace/a.txt"}}`,
		"1MB text":  `{"x":"` + strings.Repeat(text, 1200) + `"}`,
		"1MB items": `{"x":[` + strings.Repeat(item+",", 12000) + `1]}`,
	} {
		line := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseEnvelope(line); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/json.Valid", func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				json.Valid(line)
			}
		})
	}
}
