package proxy

import "testing"

func TestProgressOfAnotherServersCall(t *testing.T) {
	p := &Proxy{}
	done := p.expectProgress([]byte(`{"progressToken":"caf\u00e9"}`), "a")
	if server, ok := p.progress.Load(token([]byte(`"café"`))); !ok || server != "a" {
		t.Errorf("the token in another spelling belongs to %v", server)
	}
	if _, ok := p.progress.Load(token([]byte(`1`))); ok {
		t.Error("a token that nobody gave is known")
	}
	p.expectProgress([]byte(`{"progressToken":1}`), "b")()
	p.expectProgress(nil, "b")()
	done()
	p.progress.Range(func(token, _ any) bool {
		t.Errorf("token %v is still known", token)
		return true
	})
}
