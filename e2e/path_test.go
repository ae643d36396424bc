package e2e

import (
	"os"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// The one path everything stands on: ask, approve, run once, collect.
func TestApprovedCallRunsOnce(t *testing.T) {
	w := rig.New(t)
	w.Write(base)
	linked(w)
	r := w.Relay()
	p := w.Proxy()
	out := w.Path("effects.txt")
	task := p.Ask("kit/append", `{"path":"`+out+`","line":"Dear John Doe"}`)
	if task.Queued || task.Code == "" {
		t.Errorf("the relay is there, but the task says %+v", task)
	}
	page := r.Page()
	if !strings.Contains(page, task.Code) || !strings.Contains(page, "John Doe") || strings.Contains(page, "María") {
		t.Errorf("the page must show code and fake values only: %s", page)
	}
	r.Press(task.ID, "approve")
	result := p.Await(task.ID, "completed")
	if strings.Contains(result, "María") || !strings.Contains(result, `"content"`) {
		t.Errorf("result: %s", result)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "Dear María Cárdenas\n" {
		t.Errorf("effect: %q, %v", got, err)
	}
}
