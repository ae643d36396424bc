package rig

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Edit replaces text in portero.toml that must be there; new may hold the
// placeholders of Write.
func (w *World) Edit(old, new string) {
	w.T.Helper()
	text, err := os.ReadFile(w.Config())
	if err != nil {
		w.T.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		w.T.Fatalf("portero.toml does not hold %q:\n%s", old, text)
	}
	w.Write(strings.ReplaceAll(string(text), old, new))
}

// Touch makes an empty file in the world's directory: a gate that opens.
func (w *World) Touch(name string) {
	w.T.Helper()
	if err := os.WriteFile(w.Path(name), nil, 0o600); err != nil {
		w.T.Fatal(err)
	}
}

// Effects is the file that kit's tool append writes to: one line for each time
// a call ran. It lies outside the world's directory, for it holds real values.
type Effects struct {
	t    testing.TB
	Path string
}

// Effects makes a witness with a file of its own.
func (w *World) Effects() *Effects {
	return &Effects{w.T, filepath.Join(w.T.TempDir(), "effects.txt")}
}

// Args are the arguments of a kit/append call that leaves line here. more are
// further arguments, each followed by its text.
func (e *Effects) Args(line string, more ...string) string {
	args := fmt.Sprintf(`{"path":%s,"line":%s`, jsonText(e.Path), jsonText(line))
	for i := 0; i+1 < len(more); i += 2 {
		args += fmt.Sprintf(`,%s:%s`, jsonText(more[i]), jsonText(more[i+1]))
	}
	return args + "}"
}

func jsonText(s string) string {
	b, _ := json.Marshal(s) // a string always encodes
	return string(b)
}

// Lines are the lines written so far.
func (e *Effects) Lines() []string {
	text, err := os.ReadFile(e.Path)
	if err != nil && !os.IsNotExist(err) {
		e.t.Error(err)
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}

// Count is how often a line was written.
func (e *Effects) Count(line string) (n int) {
	for _, l := range e.Lines() {
		if l == line {
			n++
		}
	}
	return n
}

// Want complains unless exactly these lines were written, in this order.
func (e *Effects) Want(lines ...string) {
	e.t.Helper()
	if got := e.Lines(); !slices.Equal(got, lines) {
		e.t.Errorf("effects: %q, want %q", got, lines)
	}
}

// Await waits until a line was written.
func (e *Effects) Await(line string) {
	e.t.Helper()
	Eventually(e.t, "effect "+line, func() bool { return e.Count(line) > 0 })
}

// Running reports whether a process is there and no zombie.
func Running(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// KitPID is the process number of the kit behind the tool kit/env, which must be
// allowed.
func (p *Proxy) KitPID() int {
	p.t.Helper()
	var r struct {
		About struct {
			PID int `json:"pid"`
		} `json:"structuredContent"`
	}
	result := p.Must("tools/call", `{"name":"kit/env","arguments":{}}`)
	if json.Unmarshal([]byte(result), &r); r.About.PID == 0 {
		p.t.Fatalf("kit/env does not tell its process: %s", result)
	}
	return r.About.PID
}

// Tasks are the tasks that portero/list_tasks tells of, with arguments such as
// {"status":"denied"}.
func (p *Proxy) Tasks(args string) []Task {
	p.t.Helper()
	m := p.Call("portero/list_tasks", args)
	var r struct {
		List struct {
			Count int    `json:"count"`
			Tasks []Task `json:"tasks"`
		} `json:"structuredContent"`
	}
	if err := json.Unmarshal(m.Result, &r); err != nil || m.Error != nil || r.List.Count != len(r.List.Tasks) {
		p.t.Fatalf("portero/list_tasks %s was answered %s", args, m.Raw)
	}
	return r.List.Tasks
}

// Cancel withdraws a task and returns what is said of it then.
func (p *Proxy) Cancel(id string) Task {
	p.t.Helper()
	result := p.Must("tools/call", `{"name":"portero/cancel_task","arguments":{"task_id":`+jsonText(id)+`}}`)
	var r struct {
		Task Task `json:"structuredContent"`
	}
	if json.Unmarshal([]byte(result), &r); r.Task.ID != id {
		p.t.Fatalf("portero/cancel_task was answered %s", result)
	}
	return r.Task
}

// Show is a task's own page; "" when the relay has no such task.
func (r *Relay) Show(task string) string {
	r.t.Helper()
	if r.web == nil {
		r.SignIn()
	}
	resp, err := r.web.Get(r.URL + "/tasks/" + task)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return ""
	}
	return string(body)
}

var shownStatus = regexp.MustCompile(`<span class="status ([a-z-]+)">`)

// Await waits until a task's page shows a status, and returns the page.
func (r *Relay) Await(task, status string) string {
	r.t.Helper()
	var page, last string
	end := time.Now().Add(Patience)
	for {
		page = r.Show(task)
		last = "absent"
		if m := shownStatus.FindStringSubmatch(page); m != nil {
			last = m[1]
		}
		if last == status {
			return page
		}
		if time.Now().After(end) {
			r.t.Fatalf("the page shows task %s as %s, not as %s", task, last, status)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

var anyForm = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// CSRF is what every form of the page carries in this session.
func (r *Relay) CSRF() string {
	r.t.Helper()
	page := r.Page()
	found := anyForm.FindStringSubmatch(page)
	if found == nil {
		r.t.Fatalf("the page has no form: %s", page)
	}
	return found[1]
}

// Post presses a button without looking whether it is there, and returns what
// the page says came of it: "approved", "denied", "late", or "failed" when there
// was no such answer. It may be called from any goroutine.
func (r *Relay) Post(task, button, csrf string) string {
	form := url.Values{"csrf": {csrf}}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.URL+"/tasks/"+task+"/"+button, strings.NewReader(form.Encode()))
	if err != nil {
		return "failed"
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", r.URL)
	// Without the page that follows: the answer itself names it.
	once := *r.web
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := once.Do(req)
	if err != nil {
		return "failed"
	}
	defer resp.Body.Close()
	next, err := resp.Location()
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		return "failed"
	}
	return next.Query().Get("did")
}

// Race presses several buttons of a task at the same moment and returns what
// came of each, in the order of the buttons.
func (r *Relay) Race(task string, buttons ...string) []string {
	r.t.Helper()
	csrf := r.CSRF()
	came := make([]string, len(buttons))
	ready := make(chan struct{})
	var all sync.WaitGroup
	for i, button := range buttons {
		all.Go(func() {
			<-ready
			came[i] = r.Post(task, button, csrf)
		})
	}
	close(ready)
	all.Wait()
	return came
}

// PIDFile reads a process number that a program leaves in a file.
func (w *World) PIDFile(name string) (pid int) {
	w.T.Helper()
	w.Eventually("a process number in "+name, func() bool {
		text, err := os.ReadFile(w.Path(name))
		if err == nil {
			pid, err = strconv.Atoi(string(text))
		}
		return err == nil
	})
	return pid
}

// Name is a word that nothing else uses.
func Name() string { return rand.Text() }
