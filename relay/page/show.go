package page

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"portero/relay/desk"
	"portero/shared/task"
	"portero/shared/wire"
)

// How much the list shows.
const (
	maxPending = 25
	maxRecent  = 20
)

// call is a task as the pages show it. All of its text is visible text.
type call struct {
	Path    string
	ID      string
	Tool    string
	Code    string
	Machine string // token's name
	Label   string // what the machine calls itself, when that differs
	Rule    string
	Warn    string
	Status  string
	Means   string // what the status means for the reader
	By      string
	Reason  string
	Outcome string
	Note    string
	Session string
	Holder  string
	Journal string
	Binding string
	Claims  int64

	Asked, Decided, Ended, Until moment

	Left string // time left to answer; empty when it is over
	Asks bool   // has buttons
	Args []arg
	More int // arguments left out
}

// moment is a time for people and for programs; zero when it has not come.
type moment struct {
	UTC string
	Ago string
}

func at(t, now time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	m := moment{UTC: t.UTC().Format("2006-01-02 15:04:05 UTC"), Ago: span(now.Sub(t)) + " ago"}
	if t.After(now) {
		m.Ago = "in " + span(t.Sub(now))
	}
	return m
}

var means = map[task.State]string{
	task.Pending:   "waits for your answer",
	task.Approved:  "the machine will run it",
	task.Claimed:   "the machine is about to run it",
	task.Executing: "the machine runs it",
	task.Unknown:   "it may have run; look at what it was to change",
	task.Expired:   "nothing ran",
	task.Cancelled: "nothing ran",
}

var outcomes = map[wire.Outcome]string{
	wire.OK:        "the tool answered",
	wire.ToolError: "the tool reported an error",
	wire.RPCError:  "the server refused the call",
	wire.Unsent:    "the call never reached the server",
}

func view(t desk.Task, now time.Time, l limits) call {
	c := call{
		Path: "/tasks/" + url.PathEscape(t.ID), ID: line(t.ID),
		Tool: line(t.Tool), Code: line(t.Code), Machine: line(t.Machine), Rule: line(t.Rule), Warn: line(t.Warn),
		Status: t.State.Status(), Means: means[t.State], By: line(t.By), Reason: line(t.Reason),
		Outcome: outcomes[t.Outcome], Note: line(t.Note), Session: line(t.Session), Holder: line(t.Holder),
		Journal: line(t.Journal), Binding: line(t.Binding), Claims: t.Claims,
		Asked: at(t.Created, now), Decided: at(t.Decided, now), Ended: at(t.Ended, now),
	}
	if t.Label != t.Machine {
		c.Label = line(t.Label)
	}
	if t.State == task.Pending {
		c.Until = at(t.Deadline, now)
		if now.Before(t.Deadline) {
			c.Left, c.Asks = span(t.Deadline.Sub(now)), true
		} else {
			c.Means = "the time to answer is over"
		}
	}
	if l.first == 0 { // the task's own page shows all of these
		c.Rule, c.Warn, c.Reason, c.Note = visible(t.Rule), visible(t.Warn), visible(t.Reason), visible(t.Note)
	}
	return c
}

// flash says what the last press did.
type flash struct {
	Did  string // "approved", "denied" or "late"
	Call call
}

// flash is built from the task itself; the address only names it.
func (p *Page) flash(r *http.Request, now time.Time) *flash {
	q := r.URL.Query()
	if q.Get("did") == "" {
		return nil
	}
	t, err := p.Desk.Task(r.Context(), q.Get("task"))
	if err != nil {
		return nil
	}
	f := &flash{Did: q.Get("did"), Call: view(t, now, onList)}
	if f.Did == "late" || (f.Did == "approved" || f.Did == "denied") && t.By == actor && !t.Decided.IsZero() {
		return f
	}
	return nil
}

func (p *Page) list(w http.ResponseWriter, r *http.Request, s session) {
	now := time.Now()
	pending, err := p.Desk.Pending(r.Context(), maxPending)
	if err != nil {
		p.broken(w, "read pending tasks", err)
		return
	}
	recent, err := p.Desk.Recent(r.Context(), maxRecent+len(pending))
	if err != nil {
		p.broken(w, "read recent tasks", err)
		return
	}
	counts, err := p.Desk.Counts(r.Context())
	if err != nil {
		p.broken(w, "count tasks", err)
		return
	}
	data := struct {
		frame
		Pending []call
		Waiting int // pending tasks that are not shown
		Recent  []call
	}{frame: p.frame("Portero"), Waiting: max(0, counts[task.Pending.Status()]-len(pending))}
	data.CSRF, data.Self, data.Flash = s.csrf, "/", p.flash(r, now)
	if n := len(pending) + data.Waiting; n > 0 {
		data.Title = "(" + strconv.Itoa(n) + ") Portero"
	}
	for _, t := range pending {
		c := view(t, now, onList)
		c.Args, c.More = arguments(t.Args, onList)
		data.Pending = append(data.Pending, c)
		data.Asks = data.Asks || c.Asks
	}
	for _, t := range recent {
		if t.State != task.Pending && len(data.Recent) < maxRecent {
			data.Recent = append(data.Recent, view(t, now, onList))
		}
	}
	p.render(w, http.StatusOK, "list", data)
}

func (p *Page) task(w http.ResponseWriter, r *http.Request, s session) {
	t, err := p.Desk.Task(r.Context(), r.PathValue("id"))
	if err != nil {
		p.broken(w, "read task", err)
		return
	}
	data := struct {
		frame
		Call call
	}{p.frame("Portero"), view(t, time.Now(), limits{})}
	data.Call.Args, data.Call.More = arguments(t.Args, limits{})
	data.CSRF, data.Self, data.Asks = s.csrf, data.Call.Path, data.Call.Asks
	p.render(w, http.StatusOK, "task", data)
}

// actor is who decides when a button of the page is pressed.
const actor = "page"

func (p *Page) press(approve bool) func(http.ResponseWriter, *http.Request, session) {
	return func(w http.ResponseWriter, r *http.Request, _ session) {
		v, err := p.Desk.Press(r.Context(), r.PathValue("id"), approve, actor)
		if err != nil {
			p.broken(w, "press", err)
			return
		}
		did := "late"
		switch {
		case v.Changed && approve:
			did = "approved"
		case v.Changed:
			did = "denied"
		}
		p.Logger.Info("pressed on the approval page", "task", v.Task.ID, "did", did)
		http.Redirect(w, r, "/?"+url.Values{"did": {did}, "task": {v.Task.ID}}.Encode(), http.StatusSeeOther)
	}
}
