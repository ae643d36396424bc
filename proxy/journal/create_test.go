package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portero/proxy/bind"
	"portero/shared/db"
	"portero/shared/task"
	"portero/shared/wire"
)

func TestCreateIsDurable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, other := open(t, dir), open(t, dir)
	ask := sampleAsk("hällo <&>")
	made, err := j.Create(ctx, ask)
	if err != nil {
		t.Fatal(err)
	}
	got := get(t, other, made.ID)
	if got.Tool != ask.Tool || string(got.Args) != string(ask.Args) || got.Rule != ask.Rule || got.TTL != ask.TTL || got.Scope != ask.Scope ||
		got.State != task.Queued || got.Session != j.Proc() || got.Code != bind.Code(made.ID) || len(got.Salt) != 32 || time.Since(got.Created) > time.Minute {
		t.Errorf("another handle finds %+v", got)
	}
	if got.Binding != ask.Bind(got.ID, got.Salt) || got.Binding != made.Binding {
		t.Error("the binding is not the one of the recorded id and salt")
	}
	letters := outbox(t, other)
	if len(letters) != 1 {
		t.Fatalf("outbox: %v", letters)
	}
	m, err := wire.Decode(letters[0].Frame)
	want := wire.Open{ID: "open:" + made.ID, Task: made.ID, Binding: made.Binding, Code: made.Code, Tool: ask.Tool, Args: ask.Args, Rule: ask.Rule,
		Session: j.Proc(), TTLMS: ask.TTL.Milliseconds()}
	if err != nil || fmt.Sprint(m) != fmt.Sprint(want) {
		t.Errorf("asks the relay %+v, %v\nwant %+v", m, err, want)
	}
	if events := audited(t, other, made.ID); !slices.Equal(events, []string{"create"}) {
		t.Errorf("audited %v", events)
	}
}

func TestIdenticalCall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, other := open(t, dir), open(t, dir)
	r := &relay{T: t, j: j}
	first := create(t, j, "a")
	if again := create(t, j, "a"); again.ID != first.ID || again.Binding != first.Binding {
		t.Errorf("an identical open call made %s beside %s", again.ID, first.ID)
	}
	wantLetters(t, j, first.ID, "open")
	for name, id := range map[string]string{"other arguments": create(t, j, "b").ID, "another session": create(t, other, "a").ID} {
		if id == first.ID {
			t.Errorf("%s: the same task", name)
		}
	}
	other2 := sampleAsk("a")
	other2.Tool = "kit/other"
	if made, err := j.Create(ctx, other2); err != nil || made.ID == first.ID {
		t.Errorf("another tool: %v, the same task", err)
	}
	for _, s := range task.States {
		was := r.to(s, "same "+string(s))
		now := create(t, j, "same "+string(s))
		if (now.ID == was.ID) == s.Ended() {
			t.Errorf("a call like one that is %s: same task is %v", s, now.ID == was.ID)
		}
	}
}

func TestTooManyOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, other := open(t, dir), open(t, dir)
	r := &relay{T: t, j: j}
	var last Task
	for i := range MaxOpen {
		last = create(t, j, fmt.Sprint(i))
	}
	if _, err := j.Create(ctx, sampleAsk("one more")); !errors.Is(err, ErrTooMany) || !strings.Contains(err.Error(), "20") ||
		!strings.Contains(err.Error(), "cancel_task") {
		t.Errorf("one more: %v", err)
	}
	if again := create(t, j, fmt.Sprint(MaxOpen-1)); again.ID != last.ID {
		t.Error("an identical call is refused at the limit")
	}
	create(t, other, "another session has its own limit")
	if _, err := j.Cancel(ctx, last.ID); err != nil {
		t.Fatal(err)
	}
	id := create(t, j, "one less, one more").ID
	if _, err := j.Create(ctx, sampleAsk("again one more")); !errors.Is(err, ErrTooMany) {
		t.Errorf("again one more: %v", err)
	}
	r.says(id, task.Denied, 0, "")
	create(t, j, "after a decision")
}

func TestManyCreateAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	handles := []*Journal{open(t, dir), open(t, dir)}
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]bool{}
	tooMany := 0
	for i := range 60 {
		wg.Go(func() {
			// Three of each, on the same handle; 10 kinds fit on each.
			made, err := handles[i%2].Create(ctx, sampleAsk(fmt.Sprint(i%20)))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrTooMany):
				tooMany++
			case err != nil:
				t.Error(err)
			default:
				ids[made.ID] = true
			}
		})
	}
	wg.Wait()
	if len(ids) != 20 || tooMany != 0 {
		t.Errorf("%d tasks, %d refused; want 20 and none", len(ids), tooMany)
	}
}

func TestCreateRefusesWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	for name, args := range map[string]string{"broken": `{"a":`, "too long": `{"a":"` + strings.Repeat("x", wire.MaxFrame) + `"}`} {
		ask := sampleAsk("")
		ask.Args = []byte(args)
		if made, err := j.Create(ctx, ask); err == nil {
			t.Errorf("%s arguments made the task %s", name, made.ID)
		}
	}
	nothingThere(t, j)
	// The longest that the link allows, of letters that escaping would lengthen.
	ask := sampleAsk("")
	ask.Args = []byte(`{"a":"` + strings.Repeat("<", wire.MaxArgs-10) + `"}`)
	if _, err := j.Create(ctx, ask); err != nil {
		t.Error(err)
	}
}

func nothingThere(t *testing.T, j *Journal) {
	t.Helper()
	for _, table := range []string{"tasks", "outbox", "audit", "starts", "voids"} {
		var n int
		if err := j.db.Read(ctx, func(tx *db.Tx) error { return tx.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n) }); err != nil || n != 0 {
			t.Errorf("%d rows in %s, %v", n, table, err)
		}
	}
}

// limitPages makes the disk full at n pages.
func limitPages(t *testing.T, j *Journal, n int) {
	t.Helper()
	err := j.db.Write(ctx, func(tx *db.Tx) error { _, err := tx.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", n)); return err })
	if err != nil {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir)
	limitPages(t, j, 1) // not less than it has
	ask := sampleAsk(strings.Repeat("x", 100_000))
	_, err := j.Create(ctx, ask)
	if err == nil || !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "free space") {
		t.Fatalf("error %v", err)
	}
	nothingThere(t, j)
	nothingThere(t, open(t, dir))
	limitPages(t, j, 10_000)
	if _, err := j.Create(ctx, ask); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// TestFullDiskBeforeStart: what cannot be written down does not run.
func TestFullDiskBeforeStart(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	id := r.to(task.Approved, "a").ID
	limitPages(t, j, 1)
	// Fill the pages that are there, where the start must be recorded.
	for err := error(nil); err == nil; {
		err = j.db.Write(ctx, func(tx *db.Tx) error { _, err := tx.Exec("INSERT INTO audit(line, hash) VALUES('x', x'')"); return err })
	}
	err := j.Start(ctx, id, 1)
	if err == nil || errors.Is(err, ErrVoid) || !strings.Contains(err.Error(), "full") {
		t.Errorf("start on a full disk: %v", err)
	}
	isIn(t, j, id, task.Approved)
	wantLetters(t, j, id)
	limitPages(t, j, 10_000)
	if err := j.Start(ctx, id, 1); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

func TestListAndWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, other := open(t, dir), open(t, dir)
	r := &relay{T: t, j: j}
	changed, stop := j.Watch()
	quiet := func(what string) {
		t.Helper()
		select {
		case <-changed:
			t.Errorf("%s was announced", what)
		default:
		}
	}
	var ids []string
	for i := range 5 {
		ids = append(ids, create(t, j, fmt.Sprint(i)).ID)
	}
	select {
	case <-changed:
	default:
		t.Error("a new task was not announced")
	}
	quiet("one change more than there was")
	create(t, other, "elsewhere")
	quiet("another process's change")
	r.says(ids[1], task.Denied, 0, "")
	<-changed
	if err := errors.Join(j.Heard(ctx, wire.Task{Task: ids[1], Rev: r.rev, State: task.Pending, Binding: get(t, j, ids[1]).Binding}),
		j.Heard(ctx, wire.Task{Task: "t_unknown", Rev: 99})); err != nil {
		t.Fatal(err)
	}
	quiet("old news")
	stop()
	create(t, j, "after stop")
	quiet("a change after stop")

	all, err := j.List(ctx, "", 4)
	if err != nil || len(all) != 4 || string(all[0].Args) != string(sampleAsk("after stop").Args) || string(all[1].Args) != string(sampleAsk("elsewhere").Args) ||
		all[2].ID != ids[4] || all[3].ID != ids[3] {
		t.Errorf("newest first: %+v, %v", all, err)
	}
	for status, want := range map[string]int{"denied": 1, "pending-approval": 6, "completed": 0} {
		if all, err := j.List(ctx, status, 100); err != nil || len(all) != want {
			t.Errorf("%d tasks are %s, %v; want %d", len(all), status, err, want)
		}
	}
	if _, err := j.Get(ctx, "t_unknown"); !errors.Is(err, ErrNoTask) {
		t.Errorf("unknown task: %v", err)
	}
}
