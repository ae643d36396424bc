package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// piped is a writer on a pipe whose other end nobody reads yet.
func piped(t *testing.T, stall time.Duration) (*writer, *os.File, <-chan error) {
	t.Helper()
	r, f, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := newWriter(f, stall, nil)
	ran := make(chan error, 1)
	go func() {
		defer close(w.done)
		ran <- w.run()
	}()
	t.Cleanup(func() {
		w.close()
		<-w.done
		r.Close()
	})
	return w, r, ran
}

func request(id int64, fill int) *message {
	return &message{id: id, method: "m", params: json.RawMessage(`"` + strings.Repeat("x", fill) + `"`)}
}

// sendTest queues m without a way to give up.
func (w *writer) sendTest(m *message) { w.request(m, nil, nil) }

func TestWriterFormats(t *testing.T) {
	for _, tt := range []struct {
		m    *message
		want string
	}{
		{&message{id: 7, method: "tools/call", params: json.RawMessage(`{}`)}, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{}}`},
		{&message{method: "notifications/x"}, `{"jsonrpc":"2.0","method":"notifications/x"}`},
		{&message{method: "a\"\n\\é"}, `{"jsonrpc":"2.0","method":"a\"\n\\é"}`},
		{&message{line: []byte("{}\n")}, `{}`},
	} {
		m := tt.m
		if got := string(m.tail(append(m.head(nil), m.params...))); got != tt.want+"\n" {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestWriterOrder: small messages never overtake a waiting large one.
func TestWriterOrder(t *testing.T) {
	w, r, _ := piped(t, time.Minute)
	sizes := []int{10, 300_000, 10, 40_000, 20, 5000, 100_000, 1, 1}
	var want strings.Builder
	for i, n := range sizes {
		m := request(int64(i+1), n)
		want.Write(m.tail(append(m.head(nil), m.params...)))
		w.sendTest(m)
	}
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want.String() {
		t.Errorf("the order or the bytes are wrong: %v", err)
	}
}

// TestWriterTellsWhatWasSent: after a broken write, of each message it is
// known whether a byte of it got through.
func TestWriterTellsWhatWasSent(t *testing.T) {
	w, _, ran := piped(t, 50*time.Millisecond)
	first := request(1, 10)
	large := request(2, 1<<20)
	w.sendTest(first)
	w.sendTest(large)
	var behind []*message
	for i := range 50 {
		m := request(int64(i+3), 100)
		behind = append(behind, m)
		w.sendTest(m)
	}
	if err := <-ran; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("run: %v", err)
	}
	if first.drop() || large.drop() {
		t.Error("what has begun to be written is said to be unsent")
	}
	for _, m := range behind {
		if !m.drop() {
			t.Fatal("what waited behind is said to be sent")
		}
	}
}

// TestWriterBatchCut: of messages that go out together some get through.
func TestWriterBatchCut(t *testing.T) {
	w, r, ran := piped(t, 50*time.Millisecond)
	var all []*message
	for i := range 20 {
		m := request(int64(i+1), 10_000)
		all = append(all, m)
	}
	w.mu.Lock()
	w.queue = append(w.queue, all...)
	w.mu.Unlock()
	w.wake <- struct{}{}
	if err := <-ran; err == nil {
		t.Fatal("a pipe nobody reads took all")
	}
	w.file.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		arrived := strings.Contains(string(text), fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"`, m.id))
		if unsent := m.drop(); unsent && arrived {
			t.Errorf("message %d is said to be unsent but has arrived", m.id)
		}
	}
	if all[0].drop() || !strings.Contains(string(text), `"id":1,`) {
		t.Error("the first message has not arrived")
	}
	if m := all[len(all)-1]; m.state.Load() == taken {
		t.Error("the last message is said to be sent")
	}
}

// TestWriterDropped: what was given up while it waited is never written.
func TestWriterDropped(t *testing.T) {
	w, r, _ := piped(t, time.Minute)
	w.sendTest(request(1, 1<<20)) // blocks the pipe
	given := request(2, 10)
	w.sendTest(given)
	if !given.drop() {
		t.Fatal("it has been written past the first")
	}
	last := request(3, 10)
	w.sendTest(last)
	want := string(request(1, 1<<20).params) + "}\n" + string(last.tail(append(last.head(nil), last.params...)))
	m := request(1, 0)
	m.params = nil
	got := make([]byte, len(`{"jsonrpc":"2.0","id":1,"method":"m","params":`)+len(want))
	if _, err := io.ReadFull(r, got); err != nil || !strings.HasSuffix(string(got), want) {
		t.Errorf("%v, %q", err, got[len(got)-150:])
	}
}

// TestWriterFull: beyond the bound callers wait, and can give up.
func TestWriterFull(t *testing.T) {
	w, _, _ := piped(t, time.Minute)
	w.sendTest(request(1, 1<<20))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	n := 0
	for w.request(request(int64(n+2), 10), ctx.Done(), nil) {
		if n++; n > 2*waitingRequests {
			t.Fatal("the queue has no bound")
		}
	}
	if n < waitingRequests-1 {
		t.Errorf("full after %d", n)
	}
	closing := make(chan struct{})
	close(closing)
	if w.request(request(999, 10), nil, closing) {
		t.Error("queued beyond the bound")
	}
}

func TestWriterClosedUnderAWrite(t *testing.T) {
	w, _, ran := piped(t, time.Minute)
	w.sendTest(request(1, 1<<20))
	w.close()
	if err := <-ran; err != nil {
		t.Errorf("run: %v", err)
	}
	w.sendTest(request(2, 1)) // goes nowhere, and does not block
}

func TestWriterBrokenPipe(t *testing.T) {
	w, r, ran := piped(t, time.Minute)
	r.Close()
	m := request(1, 10)
	w.sendTest(m)
	if err := <-ran; err == nil {
		t.Error("no error")
	}
	if !m.drop() {
		t.Error("nobody can have read it, but it is said to be sent")
	}
}
