package telegram

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"portero/shared/task"
	"portero/shared/wire"
)

func TestLongArguments(t *testing.T) {
	r := start(t)
	args := `{"path":"/workspace/notes.txt","content":` + quoted(long+"\u202e") + `,"mode":420,"force":true}`
	r.ask("t1", args)
	m := r.card("t1")
	for _, want := range []string{"• path: /workspace/notes.txt\n", "• mode: 420\n", "• force: true", "bytes more⟩", "bytes are not shown; the whole is in the file above."} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("card without %q:\n%s", want, m.Text)
		}
	}
	file := r.api.Messages(admin)[0]
	if file.Document == nil || file.ID != m.ID-1 || file.Text != "Arguments of github/create_issue, code 7K3F" || file.Document.Name != "arguments.json" {
		t.Fatalf("file %+v", file)
	}
	var sent, asked map[string]any
	if err := json.Unmarshal(file.Document.Content, &sent); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(args), &asked); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(sent, asked) || bytes.ContainsRune(file.Document.Content, '\u202e') {
		t.Errorf("the file is not the arguments:\n%s", file.Document.Content)
	}
	r.toast(r.api.Press(m, admin, "❌ Deny"))
	r.message(admin, "❌ Denied by Ana", "of the arguments are not in this message")
}

// Sent but not noted: the card is noted later, not sent again.
func TestStoreRefusesToNoteACard(t *testing.T) {
	r := start(t)
	r.ready()
	empty := r.full("UPDATE OF message ON cards")
	r.ask("t1", `{}`)
	r.card("t1")
	r.health("the relay's store does not take it")
	empty()
	r.health("")
	if n := len(r.api.Messages(admin)); n != 1 {
		t.Errorf("%d messages:\n%s", n, r.texts(admin))
	}
}

// A press that the store does not take is not confirmed, and counts later.
func TestStoreRefusesAPress(t *testing.T) {
	r := start(t)
	r.ask("t1", `{}`)
	m := r.card("t1")
	r.health("")
	empty := r.full("INSERT ON audit")
	callback := r.api.Press(m, admin, "✅ Approve")
	r.health("disk is full")
	r.state("t1", task.Pending)
	empty()
	if got := r.toast(callback); got != "✅ Approved (7K3F)" {
		t.Errorf("toast %q", got)
	}
	r.message(admin, "✅ Approved by Ana")
	r.health("")
}

// What Telegram would refuse, the strict emulator refuses too.
func TestHostileTask(t *testing.T) {
	t.Parallel()
	r := start(t)
	nasty := "</pre></code></b>&lt;&\u202e\x00\nTool: harmless\n" + strings.Repeat("😀<&>\"", 400)
	_, err := r.desk.OpenTask(r.ctx, "laptop", wire.Hello{Machine: nasty[:200], Journal: "j"}, wire.Open{
		Task: "t1", Binding: "b", Code: "7K3F", Session: "p", Tool: nasty[:500], Rule: nasty[:2000], TTLMS: 60_000,
		Args: json.RawMessage(`{` + quoted(nasty) + `:` + quoted(nasty) + `,"deep":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + `}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := r.message(admin, "🔔 Approval Required\n\nTool: </pre></code></b>&lt;&⟨U+202E⟩⟨U+0000⟩⟨U+000A⟩Tool: harmless")
	r.toast(r.api.Press(m, admin, "✅ Approve"))
	r.message(admin, "🔔 Approval Required\n\nTool: </pre></code></b>&lt;&⟨U+202E⟩⟨U+0000⟩⟨U+000A⟩Tool: harmless", "✅ Approved by Ana")
	if strings.Contains(r.logs.String(), "a plain one") {
		t.Error("the full card was refused")
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	b := newBuckets(20, time.Second)
	now := time.Now()
	for i := range 20 {
		if d := b.take(1, now); d != 0 {
			t.Fatalf("message %d waits %v", i, d)
		}
	}
	for i := range 5 {
		if d := b.take(1, now); d != time.Second {
			t.Fatalf("waits %v", d)
		}
		if d := b.take(2, now); d != 0 {
			t.Fatalf("another chat waits %v", d)
		}
		now = now.Add(time.Second)
		if d := b.take(1, now); d != 0 {
			t.Fatalf("second %d: waits %v", i, d)
		}
	}
	for id := range int64(3 * maxBuckets) {
		b.take(id, now)
	}
	if n := len(b.of); n > maxBuckets {
		t.Errorf("%d chats are remembered", n)
	}
	if d := b.take(maxBuckets*4, now.Add(time.Hour)); d != 0 {
		t.Errorf("full buckets are not forgotten: %v", d)
	}
	var w backoff
	k := times()
	for i, last := 0, time.Duration(0); i < 40; i++ {
		d := w.next(&k)
		if d > k.backoffMax || d < k.backoffMin/2 || i > 10 && last < k.backoffMax/2 && i > 11 {
			t.Errorf("try %d waits %v", i, d)
		}
		last = d
	}
}

func TestManyCardsInOrder(t *testing.T) {
	t.Parallel()
	r := start(t)
	for i := range 45 {
		r.ask(fmt.Sprintf("t%02d", i), fmt.Sprintf(`{"n":%d}`, i))
	}
	r.message(admin, "ID: t44")
	var last string
	for _, m := range r.api.Messages(admin) {
		_, id, _ := strings.Cut(m.Text, "ID: ")
		if id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
	if n := len(r.api.Messages(admin)); n != 45 {
		t.Errorf("%d cards", n)
	}
}
