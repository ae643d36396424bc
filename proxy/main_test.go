package proxy

import (
	"log/slog"
	"strings"
	"testing"

	"portero/proxy/mask"
	"portero/shared/rawjson"
)

// anonymous is a proxy with nothing but replacements.
func anonymous(t *testing.T, pairs ...mask.Pair) *Proxy {
	t.Helper()
	for i := range pairs {
		pairs[i].CaseSensitive = true
		if pairs[i].Label == "" {
			pairs[i].Label = "replacement of " + pairs[i].Fake
		}
	}
	table, err := mask.Compile(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return &Proxy{opt: Options{Table: table}, words: table.Session(), log: slog.New(slog.DiscardHandler)}
}

// person is a pair that most tests do with.
var person = mask.Pair{Fake: "John Doe", Real: "María Cárdenas"}

// sees fails unless text holds want and none of the real values of the tests.
func sees(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in %s", w, text)
		}
	}
	if strings.Contains(text, "María") {
		t.Errorf("a real value is in %s", text)
	}
}

// member is a member of a raw object, which must be there.
func member(t *testing.T, raw []byte, key string) string {
	t.Helper()
	v, ok := rawjson.Get(raw, key)
	if !ok {
		t.Fatalf("no %s in %s", key, raw)
	}
	return string(v)
}
