package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// alone is a machine without a relay.
const alone = `
[proxy]
name = "test machine"
state_dir = "{{dir}}/state"
`

// begin starts a proxy of a machine without a relay over more configuration.
func begin(t testing.TB, config string) (*rig.World, *rig.Proxy) {
	t.Helper()
	w := rig.New(t)
	w.Write(alone + config)
	return w, w.Proxy()
}

// wantError fails unless m is an error with a code whose text holds all parts.
func wantError(t testing.TB, m rig.Message, code int, parts ...string) {
	t.Helper()
	if m.Error == nil || m.Error.Code != code {
		t.Errorf("want error %d, got %.1000s", code, m.Raw)
		return
	}
	mentions(t, m.Error.Message, parts...)
}

// mentions fails for every part that text does not hold.
func mentions(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %.3000s", part, text)
		}
	}
}

// hides fails for every part that text holds.
func hides(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in %.3000s", part, text)
		}
	}
}

// said is the text of the first content block of a successful call.
func said(t testing.TB, m rig.Message) string {
	t.Helper()
	var r struct {
		Content []struct{ Text string }
		IsError bool
	}
	if m.Error != nil || json.Unmarshal(m.Result, &r) != nil || r.IsError || len(r.Content) == 0 {
		t.Fatalf("not a result with text: %.1000s", m.Raw)
	}
	return r.Content[0].Text
}

// listed are the names of all tools, in their order.
func listed(t testing.TB, p *rig.Proxy) (names []string) {
	t.Helper()
	var r struct{ Tools []struct{ Name string } }
	if err := json.Unmarshal([]byte(p.Must("tools/list", "{}")), &r); err != nil {
		t.Fatal(err)
	}
	for _, tool := range r.Tools {
		names = append(names, tool.Name)
	}
	return names
}

// alive fails unless the session still carries calls.
func alive(t testing.TB, p *rig.Proxy) {
	t.Helper()
	if got := said(t, p.Call("kit/echo", `{"still":"there"}`)); got != `{"still":"there"}` {
		t.Errorf("echo said %s", got)
	}
}

// quoted is text as a JSON string literal with nothing escaped in vain.
func quoted(text string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// logs waits until stderr, which is no part of the session's order, holds all
// parts.
func logs(t testing.TB, p *rig.Proxy, parts ...string) {
	t.Helper()
	for _, part := range parts {
		rig.Eventually(t, "stderr holds "+part, func() bool { return strings.Contains(p.Stderr(), part) })
	}
}
