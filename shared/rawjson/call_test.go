package rawjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseCall(t *testing.T) {
	c, err := ParseCall([]byte(`{"task":{"ttl":1},"arguments": {"Name":1,"name":2} ,"_meta":{"progressToken":1},"name":"kit\/read","inputResponses":{},"requestState":"s","other":1,"other":2}`))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s %s %s %s %s %s", c.Name, c.NameRaw, c.Args, c.Meta, c.Task, c.InputResponses, c.RequestState)
	if want := `kit/read "kit\/read" {"Name":1,"name":2} {"progressToken":1} {"ttl":1} {} "s"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if c, err := ParseCall([]byte(`{"name":"a"}`)); err != nil || c.Name != "a" || c.Args != nil || c.Meta != nil {
		t.Errorf("%+v, %v", c, err)
	}
	for _, s := range []string{
		``, `null`, `[]`, `{}`, `{"name":1}`, `{"name":null}`, `{"name":""}`, `{"name":"\ud800"}`,
		`{"name":"safe","name":"danger"}`, `{"name":"safe","n\u0061me":"danger"}`, `{"name":"safe","Name":"danger"}`, `{"NAME":"danger"}`,
		`{"name":"a","arguments":[]}`, `{"name":"a","arguments":null}`, `{"name":"a","arguments":"{}"}`,
		`{"name":"a","arguments":{},"arguments":{}}`, `{"name":"a","Arguments":{}}`, `{"name":"a","\u0061rguments":{}}`, `{"name":"a","argumentſ":{}}`,
		`{"name":"a","_meta":1}`, `{"name":"a","_Meta":{}}`, `{"name":"a","TASK":{}}`, `{"name":"a","tasK":{}}`,
		`{"name":"a","inputresponses":{}}`, `{"name":"a","requestState":1,"requestState":1}`,
	} {
		c, err := ParseCall([]byte(s))
		if s == "" {
			if !errors.Is(err, ErrSyntax) {
				t.Errorf("empty params: %v", err)
			}
			continue
		}
		if !errors.Is(err, ErrParams) || c.Name != "" {
			t.Errorf("ParseCall(%s) = %+v, %v", s, c, err)
		}
		if err != nil && strings.Contains(err.Error(), "danger") {
			t.Errorf("the error quotes the params: %v", err)
		}
	}
	if _, err := ParseCall(nil); !errors.Is(err, ErrParams) {
		t.Errorf("absent params: %v", err)
	}
}

func manyKeys(n int, extra string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":%d,`, i, i)
	}
	return "{" + b.String() + extra + "}"
}

func TestCheckArgs(t *testing.T) {
	for _, s := range []string{
		``, `{}`, `{"a":1,"A":2}`, `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}`, `{"a":"a","b":"\ud800"}`, `{"\ud83d\ude00":1,"\ud83d\ude01":2}`,
		`{"é":1,"e\u0301":2}`, manyKeys(100, `"x":1`), nested(MaxDepth),
	} {
		var args []byte
		if s != "" {
			args = []byte(s)
		}
		if err := CheckArgs(args); err != nil {
			t.Errorf("CheckArgs(%.60s): %v", s, err)
		}
	}
	for _, s := range []string{
		`{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `{"\/":1,"/":2}`, `{"x":[{"b":{"a":1,"c":2,"a":3}}]}`, `{"a":{"b":1},"c":2,"a":{"b":1}}`,
		`{"é":1,"\u00e9":2}`, `{"\ud83d\ude00":1,"😀":2}`, `{"\ud800":1}`, `{"x":{"a\udc00b":1}}`, "{\"a\":\"\xff\"}", "{\"\xff\":1}",
		manyKeys(100, `"k57":1`), manyKeys(9, `"\u006b3":1`), nested(MaxDepth + 1),
	} {
		if err := CheckArgs([]byte(s)); !errors.Is(err, ErrParams) {
			t.Errorf("CheckArgs(%.60s) = %v", s, err)
		}
	}
	if err := CheckArgs([]byte(`{"a":`)); !errors.Is(err, ErrSyntax) {
		t.Errorf("broken JSON: %v", err)
	}
	args := []byte(manyKeys(20, `"x":{"y":[{"z":"w\n"}]}`))
	if n := testing.AllocsPerRun(100, func() {
		if err := CheckArgs(args); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// duplicate is the reference: does any object of v's text hold a key twice?
func duplicate(dec *json.Decoder) bool {
	t, err := dec.Token()
	if err != nil {
		panic(err)
	}
	switch t {
	case json.Delim('['):
		for dec.More() {
			if duplicate(dec) {
				return true
			}
		}
		_, _ = dec.Token()
	case json.Delim('{'):
		seen := map[string]bool{}
		for dec.More() {
			k, _ := dec.Token()
			if seen[k.(string)] {
				return true
			}
			seen[k.(string)] = true
			if duplicate(dec) {
				return true
			}
		}
		_, _ = dec.Token()
	}
	return false
}

func FuzzCheckArgs(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{"\u0061":1,"a":2}],"c":{"a":1}}`))
	f.Add([]byte(manyKeys(12, `"k3":1`)))
	f.Fuzz(func(t *testing.T, args []byte) {
		err := CheckArgs(args)
		if !json.Valid(args) {
			if err == nil && args != nil {
				t.Fatal("accepted what is not JSON")
			}
			return
		}
		if err != nil {
			for _, other := range []string{"UTF-8", "surrogate", "nested"} {
				if strings.Contains(err.Error(), other) {
					return
				}
			}
		}
		if want := duplicate(json.NewDecoder(strings.NewReader(string(args)))); want != (err != nil) {
			t.Fatalf("%v, but duplicate keys: %v", err, want)
		}
	})
}

func TestIDScanner(t *testing.T) {
	long := strings.Repeat("x", MaxScannedID-2)
	tests := []struct {
		text, id string
		method   bool
	}{
		{`{"jsonrpc":"2.0","id":12,"method":"m","params":{"id":3}}`, "12", true},
		{`{"params":{"id":3,"a":[{"method":1}]},"x":"\"id\":4","id" : "a\"}b" }`, `"a\"}b"`, false},
		{"{\"x\":[1,\"}\\\\\"],\n\"method\" : \"id\"\n, \"id\"\t:\n-1.5e+3\n}", "-1.5e+3", true},
		{`{"id":"` + long + `"}`, `"` + long + `"`, false},
		{`{"id":"` + long + `y"}`, "", false},
		{`{"id":` + strings.Repeat("1", MaxScannedID+50) + `,"method":1}`, "", true},
		{`{"id":null,"method":1}`, "", true},
		{`{"id":true}`, "", false},
		{`{"id":{"id":1}}`, "", false},
		{`{"id":[1]}`, "", false},
		{`{"id":1,"id":1}`, "", false},
		{`{"id":01}`, "", false},
		{`{"ID":1,"i\u0064":2}`, "", false},
		{`{"a":"id","b":1,"c":"method"}`, "", false},
		{`{"id":12`, "", false},
		{`{"id":"a`, "", false},
		{`{"id":7,"x":"cut of`, "7", false},
		{`{"id" 7}`, "", false},
		{`["id",7]`, "", false},
		{`[{"id":7}]`, "", false},
		{"{\"id\":\"\xff\"}", "", false},
		{`}}{{"id":7}`, "", false},
		{``, "", false},
	}
	for _, test := range tests {
		for _, size := range []int{1, 3, len(test.text) + 1} {
			var s IDScanner
			for rest := test.text; rest != ""; {
				n := min(size, len(rest))
				if _, err := s.Write([]byte(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if string(s.ID()) != test.id || s.HasMethod() != test.method {
				t.Errorf("%s in pieces of %d: id %q, method %v", test.text, size, s.ID(), s.HasMethod())
			}
		}
	}
}

func FuzzIDScanner(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":"a\"b","params":{"id":[1,{"x":"}"}]},"method":"m"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var s IDScanner
		_, _ = s.Write(line)
		e, err := ParseEnvelope(line)
		if err != nil || len(e.ID) > MaxScannedID {
			return
		}
		if string(s.ID()) != string(e.ID) || s.HasMethod() != (e.Method != "") {
			t.Fatalf("id %q and method %v, want %q and %q", s.ID(), s.HasMethod(), e.ID, e.Method)
		}
	})
}
