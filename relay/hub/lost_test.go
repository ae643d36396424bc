package hub

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"portero/shared/db"
	"portero/shared/porterotest/auditlog"
	"portero/shared/task"
	"portero/shared/wire"
)

// TestLostFrames cuts the line at every frame of an approved call's way, before
// that frame gets through. However it is cut, the call runs once and both sides
// end up knowing it.
func TestLostFrames(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	state := func(s task.State) func(wire.Message) bool {
		return func(m wire.Message) bool { news, ok := m.(wire.Task); return ok && news.State == s }
	}
	for _, tc := range []struct {
		name string
		up   bool
		is   func(wire.Message) bool
	}{
		{"hello", true, isA[wire.Hello]},
		{"welcome", false, isA[wire.Welcome]},
		{"synced", false, isA[wire.Synced]},
		{"open", true, isA[wire.Open]},
		{"open-sent-before-ack", false, ackOf("open")},
		{"decision", false, state(task.Approved)},
		{"claim", true, isA[wire.Claim]},
		{"claim-before-grant", false, isA[wire.Grant]},
		{"started", true, isA[wire.Started]},
		{"started-before-ack", false, ackOf("started")},
		{"finished", true, isA[wire.Finished]},
		{"finished-before-ack", false, ackOf("finished")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := r.in(t)
			m := &machine{T: t, wire: newMiddle(t), runs: map[string]int{}}
			m.wire.to(r, r.token(tc.name, "machine"))
			cut := m.wire.cutOnce(func(f wire.Message, up bool) bool { return up == tc.up && tc.is(f) })
			m.start(t.TempDir())
			made := m.ask("a")
			r.becomes(made.ID, task.Pending)
			r.decide(made.ID, true)
			until(t, "the cut", cut)
			m.once(r, made.ID)
			if n := m.wire.dials(); n < 2 {
				t.Errorf("%d connections: the line was not cut", n)
			}
			if got, want := fmt.Sprint(audited(t, r, made.ID)), "[open approve claim start finish]"; got != want {
				t.Errorf("the relay audited %s, want %s", got, want)
			}
		})
	}
}

// TestLostNews is the same for what ends without a run.
func TestLostNews(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	for _, tc := range []struct {
		name string
		is   func(wire.Message) bool
		why  task.Why // "" = withdrawn before it was approved
		want task.State
	}{
		{"cancel", isA[wire.Cancel], "", task.Cancelled},
		{"cancel-before-ack", ackOf("cancel"), "", task.Cancelled},
		{"release", isA[wire.Release], task.Policy, task.Denied},
		{"release-before-ack", ackOf("release"), task.Binding, task.Failed},
		{"lost", isA[wire.Lost], "lost", task.Unknown},
		{"lost-before-ack", ackOf("lost"), "lost", task.Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := r.in(t)
			m := &machine{T: t, wire: newMiddle(t), runs: map[string]int{}, idle: true}
			m.wire.to(r, r.token(tc.name, "machine"))
			cut := m.wire.cutOnce(func(f wire.Message, _ bool) bool { return tc.is(f) })
			m.start(t.TempDir())
			made := m.ask("a")
			r.becomes(made.ID, task.Pending)
			want := "[open approve claim release]"
			if tc.why == "" {
				want = "[open cancel]"
				if _, err := m.j.Cancel(ctx, made.ID); err != nil {
					t.Fatal(err)
				}
			} else {
				r.decide(made.ID, true)
				m.becomes(made.ID, task.Approved)
				grant, err := m.link.Claim(ctx, made.ID, made.Binding)
				if err != nil {
					t.Fatal(err)
				}
				if tc.why == "lost" {
					want = "[open approve claim start lose]"
					err = errors.Join(m.j.Start(ctx, made.ID, grant.Claim), m.j.Lose(ctx, made.ID, "it may have run"))
				} else {
					err = m.j.Void(ctx, made.ID, grant.Claim, tc.why, "the note")
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			until(t, "the cut", cut)
			r.becomes(made.ID, tc.want)
			m.becomes(made.ID, tc.want)
			m.settled()
			if n := m.wire.dials(); n < 2 {
				t.Errorf("%d connections: the line was not cut", n)
			}
			if got := fmt.Sprint(audited(t, r, made.ID)); got != want {
				t.Errorf("the relay audited %s, want %s", got, want)
			}
		})
	}
}

func ackOf(kind string) func(wire.Message) bool {
	return func(m wire.Message) bool {
		ack, ok := m.(wire.Ack)
		return ok && strings.HasPrefix(ack.Re, kind+":")
	}
}

func isA[M wire.Message](m wire.Message) bool { _, ok := m.(M); return ok }

// audited returns the relay's audit events of a task; an anomaly fails the test.
func audited(t *testing.T, r *relay, id string) (events []string) {
	t.Helper()
	// The store's owner has migrated it; only the number of steps counts here.
	store, err := db.Open(ctx, filepath.Join(r.dir, "relay.db"), make([]string, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	err = store.Read(ctx, func(tx *db.Tx) error {
		all, err := auditlog.Entries(tx)
		for _, e := range all {
			if e.Task == id {
				events = append(events, e.Event)
			}
			if e.Anomaly {
				t.Errorf("anomaly: %+v", e)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}
