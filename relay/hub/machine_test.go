package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"portero/proxy/bind"
	"portero/proxy/journal"
	"portero/proxy/link"
	"portero/shared/task"
	"portero/shared/wire"
)

// machine is one process of a machine: a real journal, a real link, and a
// worker that runs what was approved.
type machine struct {
	*testing.T
	j    *journal.Journal
	link *link.Link
	wire *middle
	stop func()
	idle bool // nobody runs what was approved

	mu   sync.Mutex
	runs map[string]int
}

// newMachine starts a process over the journal in dir, with a token of its own
// name at r, or not connected when r is nil.
func newMachine(t *testing.T, r *relay, name, dir string) *machine {
	t.Helper()
	m := &machine{T: t, wire: newMiddle(t), runs: map[string]int{}}
	if r != nil {
		m.wire.to(r, r.token(name, "machine"))
	}
	m.start(dir)
	return m
}

func (m *machine) start(dir string) {
	m.Helper()
	var err error
	if m.j, err = journal.Open(ctx, dir); err != nil {
		m.Fatal(err)
	}
	m.link = link.New(link.Options{URL: m.wire.url(), Token: "from the middle", Machine: "a label", Version: "v1", Journal: m.j,
		Logger: slog.New(slog.DiscardHandler)})
	bound, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { m.link.Run(bound) })
	if !m.idle {
		wg.Go(func() { m.work(bound) })
	}
	m.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		m.j.Close()
	})
	m.Cleanup(m.stop)
}

// work runs approved tasks, its own or not, in the order that keeps the
// promises: claim, start, run, finish.
func (m *machine) work(bound context.Context) {
	changed, stop := m.j.Watch()
	defer stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for bound.Err() == nil {
		tasks, err := m.j.Startable(bound)
		if err != nil && bound.Err() == nil {
			m.Error(err)
		}
		for _, t := range tasks {
			if err := m.run(bound, t); err != nil && bound.Err() == nil {
				m.Errorf("run %s: %v", t.ID, err)
			}
		}
		select {
		case <-bound.Done():
		case <-changed:
		case <-look.C:
		}
	}
}

func (m *machine) run(bound context.Context, t journal.Task) error {
	if !m.link.Up() || t.State == task.Claimed && t.Holder != m.j.Proc() {
		return nil
	}
	grant, err := m.link.Claim(bound, t.ID, t.Binding)
	var refused *link.RefusedError
	if errors.Is(err, link.ErrDown) || errors.As(err, &refused) {
		return nil
	} else if err != nil {
		return err
	}
	if err := m.j.Start(bound, t.ID, grant.Claim); errors.Is(err, journal.ErrVoid) {
		if err = m.j.Void(bound, t.ID, grant.Claim, task.Withdrawn, ""); errors.Is(err, journal.ErrVoid) {
			return nil
		}
		return err
	} else if err != nil {
		return err
	}
	m.mu.Lock()
	m.runs[t.ID]++
	m.mu.Unlock()
	return m.j.Finish(bound, t.ID, wire.OK, []byte(`{"content":[]}`), "")
}

// ran is how often this process ran a task.
func (m *machine) ran(id string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs[id]
}

// ask makes a call that needs approval.
func (m *machine) ask(args string) journal.Task {
	m.Helper()
	made, err := m.j.Create(ctx, journal.Ask{Tool: "kit/echo", Scope: "machine", Args: []byte(`{"text":"` + args + `"}`), Rule: "default", TTL: time.Hour,
		Bind: func(id string, salt []byte) string { return bind.Digest(bind.Fields{Task: id, Salt: salt}) }})
	if err != nil {
		m.Fatal(err)
	}
	return made
}

func (m *machine) task(id string) journal.Task {
	m.Helper()
	t, err := m.j.Get(ctx, id)
	if err != nil {
		m.Fatal(err)
	}
	return t
}

// becomes waits for a task to reach a state in the journal.
func (m *machine) becomes(id string, want task.State) {
	m.Helper()
	until(m.T, fmt.Sprintf("%s to be %s in the journal", id, want), func() bool { return m.task(id).State == want })
}

// settled waits until the relay has acknowledged everything.
func (m *machine) settled() {
	m.Helper()
	until(m.T, "an empty outbox", func() bool {
		letters, err := m.j.Outbox(ctx, 0, 1)
		return err == nil && len(letters) == 0
	})
}

// once checks that both sides agree that a task ran once and ended well.
func (m *machine) once(r *relay, id string) {
	m.Helper()
	r.becomes(id, task.Completed)
	m.settled()
	if got := m.task(id); got.State != task.Completed || len(got.Result) == 0 {
		m.Errorf("in the journal it is %s", got.State)
	}
	if n := m.ran(id); n != 1 {
		m.Errorf("it ran %d times", n)
	}
	if got := r.task(id); got.Outcome != wire.OK || got.By != "Ana" || got.Claims != 1 {
		m.Errorf("on the relay it is %+v", got)
	}
}

func (m *machine) up() {
	m.Helper()
	until(m.T, "the link; "+m.link.Problem(), m.link.Up)
}

func TestWholeWay(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	m := newMachine(t, r, "laptop", t.TempDir())
	made := m.ask("a")
	r.becomes(made.ID, task.Pending)
	m.becomes(made.ID, task.Pending)
	m.settled()
	got := r.task(made.ID)
	if got.Machine != "laptop" || got.Label != "a label" || got.Tool != made.Tool || string(got.Args) != string(made.Args) || got.Code != made.Code ||
		got.Binding != made.Binding || got.Session != m.j.Proc() || got.Journal != m.j.ID() {
		t.Errorf("the relay has %+v of %+v", got, made)
	}
	if all, err := r.desk.Machines(ctx); err != nil || len(all) != 1 || all[0].Name != "laptop" || all[0].Procs != 1 || all[0].App != "v1" {
		t.Errorf("machines %+v, %v", all, err)
	}
	r.decide(made.ID, true)
	m.once(r, made.ID)
	denied := m.ask("b")
	r.becomes(denied.ID, task.Pending)
	r.decide(denied.ID, false)
	m.becomes(denied.ID, task.Denied)
	if got := m.task(denied.ID); got.By != "Ana" || m.ran(denied.ID) != 0 {
		t.Errorf("denied by %q, ran %d times", got.By, m.ran(denied.ID))
	}
	withdrawn := m.ask("c")
	r.becomes(withdrawn.ID, task.Pending)
	if _, err := m.j.Cancel(ctx, withdrawn.ID); err != nil {
		t.Fatal(err)
	}
	r.becomes(withdrawn.ID, task.Cancelled)
	m.stop()
	until(t, "nobody connected", func() bool {
		all, err := r.desk.Machines(ctx)
		return err == nil && all[0].Procs == 0
	})
}

func TestQueuedWhileTheRelayIsAway(t *testing.T) {
	t.Parallel()
	m := newMachine(t, nil, "", t.TempDir())
	kept, dropped := m.ask("kept"), m.ask("dropped")
	until(t, "an attempt", func() bool { return m.link.Problem() != "not connected yet" })
	if !strings.Contains(m.link.Problem(), "reach the relay") || m.link.Up() {
		t.Errorf("problem %q, up %v", m.link.Problem(), m.link.Up())
	}
	if got := m.task(kept.ID); got.State != task.Queued {
		t.Errorf("it is %s", got.State)
	}
	if _, err := m.j.Cancel(ctx, dropped.ID); err != nil {
		t.Fatal(err)
	}
	r := newRelay(t)
	m.wire.to(r, r.token("laptop", "machine"))
	r.becomes(kept.ID, task.Pending)
	r.decide(kept.ID, true)
	m.once(r, kept.ID)
	if all, err := r.desk.Recent(ctx, 10); err != nil || len(all) != 1 {
		t.Errorf("the relay has heard of %d tasks, %v", len(all), err)
	}
}

func TestDecidedWhileTheMachineIsAway(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	dir := t.TempDir()
	m := newMachine(t, r, "laptop", dir)
	yes, no, open := m.ask("yes"), m.ask("no"), m.ask("open")
	for _, made := range []journal.Task{yes, no, open} {
		r.becomes(made.ID, task.Pending)
	}
	m.stop()
	r.decide(yes.ID, true)
	r.decide(no.ID, false)
	m.start(dir) // another process: the one that asked is gone
	m.becomes(no.ID, task.Denied)
	m.once(r, yes.ID)
	if got := m.task(open.ID); got.State != task.Pending {
		t.Errorf("undecided, and %s", got.State)
	}
}

// TestRelayRestarts keeps its store; meanwhile somebody decides at a terminal.
func TestRelayRestarts(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	m := newMachine(t, r, "laptop", t.TempDir())
	secret := m.wire.secret
	first := m.ask("first")
	r.becomes(first.ID, task.Pending)
	m.becomes(first.ID, task.Pending)
	r.stop()
	until(t, "the end of the link", func() bool { return !m.link.Up() })
	m.wire.away()
	second := m.ask("second")
	r.start()
	r.decide(first.ID, true)
	m.wire.to(r, secret)
	m.once(r, first.ID)
	r.becomes(second.ID, task.Pending)
	r.decide(second.ID, true)
	m.once(r, second.ID)
}

// TestDecidedByAnotherProgram: the command line writes to the same store.
func TestDecidedByAnotherProgram(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	m := newMachine(t, r, "laptop", t.TempDir())
	made := m.ask("a")
	r.becomes(made.ID, task.Pending)
	cli := &relay{T: t, dir: r.dir}
	cli.start()
	defer cli.stop()
	cli.decide(made.ID, true)
	m.once(r, made.ID)
}

// TestNewStore: the relay lost everything. What has not started is asked anew,
// and an old approval counts for nothing.
func TestNewStore(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	m := newMachine(t, r, "laptop", t.TempDir())
	done, pending := m.ask("done"), m.ask("pending")
	r.becomes(done.ID, task.Pending)
	r.decide(done.ID, true)
	m.once(r, done.ID)
	r.becomes(pending.ID, task.Pending)
	// One is approved while the machine cannot hear of it in time to start.
	approved := m.ask("approved")
	r.becomes(approved.ID, task.Pending)
	cut := m.wire.cutOnce(func(f wire.Message, up bool) bool {
		if news, ok := f.(wire.Task); ok && news.Task == approved.ID && news.State == task.Approved {
			m.wire.target = "" // held by the caller
			return true
		}
		return false
	})
	r.decide(approved.ID, true)
	until(t, "the cut", cut)
	r.stop()

	other := newRelay(t)
	m.wire.to(other, other.token("laptop", "machine"))
	for _, id := range []string{pending.ID, approved.ID} {
		other.becomes(id, task.Pending)
		m.becomes(id, task.Pending)
	}
	m.settled()
	if n := m.ran(approved.ID); n != 0 {
		t.Errorf("the old approval ran it %d times", n)
	}
	if all, err := other.desk.Recent(ctx, 10); err != nil || len(all) != 2 {
		t.Errorf("the new store has heard of %d tasks, %v", len(all), err)
	}
	for _, id := range []string{pending.ID, approved.ID} {
		other.decide(id, true)
		m.once(other, id)
	}
	if n := m.ran(done.ID); n != 1 {
		t.Errorf("what had ended before ran %d times", n)
	}
}

// TestTwoProcesses of one machine run every task once, whoever asked.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	dir := t.TempDir()
	a := newMachine(t, r, "laptop", dir)
	b := &machine{T: t, wire: newMiddle(t), runs: map[string]int{}}
	b.wire.to(r, a.wire.secret)
	b.start(dir)
	a.up()
	b.up()
	if all, err := r.desk.Machines(ctx); err != nil || len(all) != 1 || all[0].Procs != 2 {
		t.Errorf("machines %+v, %v", all, err)
	}
	var made []journal.Task
	for i := range 6 {
		made = append(made, []*machine{a, b}[i%2].ask(fmt.Sprint(i)))
	}
	for _, x := range made {
		r.becomes(x.ID, task.Pending)
		r.decide(x.ID, true)
	}
	for _, x := range made {
		r.becomes(x.ID, task.Completed)
		if n := a.ran(x.ID) + b.ran(x.ID); n != 1 {
			t.Errorf("it ran %d times", n)
		}
	}
	// One leaves; the other takes over what it asked.
	last := a.ask("last")
	r.becomes(last.ID, task.Pending)
	a.stop()
	r.decide(last.ID, true)
	b.once(r, last.ID)
}
