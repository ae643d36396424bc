package page

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"portero/relay/desk"
	"portero/shared/task"
	"portero/shared/wire"
)

// fixture is a page over a real desk, behind a real server.
type fixture struct {
	t    *testing.T
	desk *desk.Desk
	url  string
}

func serve(t *testing.T) fixture {
	t.Helper()
	d, err := desk.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	s := httptest.NewServer(New(Options{Desk: d, PublicURL: "https://relay.example.com", Version: "v0"}))
	t.Cleanup(s.Close)
	return fixture{t, d, s.URL}
}

// open makes a pending task.
func (f fixture) open(id, args string, ttl time.Duration) desk.Task {
	f.t.Helper()
	task, err := f.desk.OpenTask(f.t.Context(), "laptop", wire.Hello{Machine: "John's laptop", Journal: "j1"}, wire.Open{
		Task: id, Binding: "b-" + id, Code: "7K3F", Tool: "filesystem/write_file", Args: json.RawMessage(args),
		Rule: "filesystem/write_* = require-approval", Session: "p1", TTLMS: ttl.Milliseconds()})
	if err != nil {
		f.t.Fatal(err)
	}
	return task
}

func (f fixture) state(id string) task.State {
	f.t.Helper()
	task, err := f.desk.Task(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return task.State
}

// secret makes a one-time link and returns the secret in it.
func (f fixture) secret(ttl time.Duration) string {
	f.t.Helper()
	s, err := f.desk.NewSignin(f.t.Context(), ttl)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// answer is a response that has been read.
type answer struct {
	*http.Response
	body string
}

// browser keeps cookies and follows no redirects.
type browser struct {
	fixture
	client *http.Client
}

func (f fixture) browser() browser {
	jar, _ := cookiejar.New(nil)
	return browser{f, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b browser) do(r *http.Request) answer {
	b.t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	// html/template writes a plus as a reference; the tests read it plain.
	return answer{resp, strings.ReplaceAll(string(body), "&#43;", "+")}
}

func (b browser) request(method, path string, form url.Values) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (b browser) get(path string) answer {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, path, nil))
}

func (b browser) post(path string, form url.Values) answer {
	b.t.Helper()
	return b.do(b.request(http.MethodPost, path, form))
}

var fields = regexp.MustCompile(`<form method="post" action="([^"]+)"><input type="hidden" name="(\w+)" value="([^"]*)"><button`)

// forms returns the forms of a page by their action, as a script reads them.
func (a answer) forms() map[string]url.Values {
	all := map[string]url.Values{}
	for _, m := range fields.FindAllStringSubmatch(a.body, -1) {
		all[html.UnescapeString(m[1])] = url.Values{m[2]: {html.UnescapeString(m[3])}}
	}
	return all
}

// signedIn is a browser that has used a link, by its own button.
func (f fixture) signedIn() browser {
	f.t.Helper()
	b := f.browser()
	link := strings.TrimPrefix(SigninURL(f.url, f.secret(time.Hour)), f.url)
	form, ok := b.get(link).forms()["/sign-in"]
	if !ok {
		f.t.Fatal("no sign-in form")
	}
	if a := b.post("/sign-in", form); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" {
		f.t.Fatalf("sign-in: %s, to %q", a.Status, a.Header.Get("Location"))
	}
	return b
}

// push presses the button of a form on page and follows to the list.
func (b browser) push(page answer, action string) answer {
	b.t.Helper()
	form, ok := page.forms()[action]
	if !ok {
		b.t.Fatalf("no form for %s", action)
	}
	a := b.post(action, form)
	if a.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("press: %s", a.Status)
	}
	return b.get(a.Header.Get("Location"))
}

func (a answer) want(t *testing.T, status int, parts ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("status %d, want %d", a.StatusCode, status)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			_, main, _ := strings.Cut(a.body, "<main>")
			t.Errorf("the page lacks %.200q:\n%.2000s", part, main)
		}
	}
}

func (a answer) lacks(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(a.body, part) {
			t.Errorf("the page holds %.200q", part)
		}
	}
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		button string
		to     task.State
		says   string
	}{
		{"approve", task.Approved, `class="flash approved" role="status">✅ Approved: <code>filesystem/write_file</code> (<code>7K3F</code>)`},
		{"deny", task.Denied, `class="flash denied" role="status">❌ Denied: <code>filesystem/write_file</code> (<code>7K3F</code>)`},
	} {
		t.Run(c.button, func(t *testing.T) {
			f := serve(t)
			f.open("t_1", `{"path":"/workspace/notes.txt","n":12345678901234567890}`, time.Hour)
			b := f.signedIn()
			list := b.get("/")
			list.want(t, 200, "filesystem/write_file", "7K3F", "John&#39;s laptop", "laptop", "filesystem/write_* = require-approval",
				"/workspace/notes.txt", "12345678901234567890", "59 min left to answer", "<title>(1) Portero</title>")
			after := b.push(list, "/tasks/t_1/"+c.button)
			after.want(t, 200, c.says, "decided by <bdi>page</bdi>", "Nothing waits")
			if got := f.state("t_1"); got != c.to {
				t.Errorf("state %s, want %s", got, c.to)
			}
			if again := b.get("/"); strings.Contains(again.body, "role=\"status\">✅") {
				t.Error("the list repeats what the press did")
			}
			if len(after.forms()) != 1 {
				t.Errorf("forms left: %v", after.forms())
			}
		})
	}
}

func TestTwoTabs(t *testing.T) {
	f := serve(t)
	f.open("t_1", `{}`, time.Hour)
	one, two := f.signedIn(), f.signedIn()
	left, right := one.get("/"), two.get("/")
	one.push(left, "/tasks/t_1/approve").want(t, 200, "✅ Approved")
	two.push(right, "/tasks/t_1/deny").want(t, 200, "Your press changed nothing", "was decided before, by <bdi>page</bdi>", "<b>approved</b>")
	one.push(left, "/tasks/t_1/approve").want(t, 200, "Your press changed nothing") // the same button again
	if got := f.state("t_1"); got != task.Approved {
		t.Errorf("state %s", got)
	}
}

func TestTooLate(t *testing.T) {
	f := serve(t)
	f.open("t_1", `{}`, time.Hour)
	b := f.signedIn()
	csrf := b.get("/").forms()["/tasks/t_1/approve"]
	late := f.open("t_2", `{}`, time.Millisecond)
	for !time.Now().After(late.Deadline) {
		runtime.Gosched() // a millisecond at most
	}
	list := b.get("/")
	list.want(t, 200, "the time to answer is over")
	if _, ok := list.forms()["/tasks/t_2/approve"]; ok {
		t.Error("a button for a call that has run out of time")
	}
	press := func() answer { return b.get(b.post("/tasks/t_2/approve", csrf).Header.Get("Location")) }
	press().want(t, 200, "Your press changed nothing", "the time to answer is over")
	if n, err := f.desk.ExpireDue(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	press().want(t, 200, "Your press changed nothing", "is <b>expired</b>: nothing ran")
	b.get("/").want(t, 200, "nobody answered in time")
}

func TestTaskPage(t *testing.T) {
	f := serve(t)
	long := strings.Repeat("x", 4000) + "END"
	f.open("t_1", `{"content":"`+long[:2000]+"MIDDLE"+long[2000:]+`"}`, time.Hour)
	b := f.signedIn()
	list := b.get("/")
	list.want(t, 200, "2,009 characters are left out here", `<a href="/tasks/t_1">Show all</a>`, "END")
	list.lacks(t, "MIDDLE")
	page := b.get("/tasks/t_1")
	page.want(t, 200, "MIDDLE", "END", "b-t_1", "j1", "p1", "Answer until")
	page.lacks(t, "left out")
	b.push(page, "/tasks/t_1/deny").want(t, 200, "❌ Denied")
	b.get("/tasks/t_1").want(t, 200, "denied", "Decided by", "Ended")
}

func TestNothingHidden(t *testing.T) {
	f := serve(t)
	for i := range maxPending + 2 {
		f.open("t_"+number(i), `{}`, time.Hour)
	}
	b := f.signedIn()
	list := b.get("/")
	list.want(t, 200, "2 more calls wait", "<title>(27) Portero</title>")
	b.push(list, "/tasks/t_0/deny").want(t, 200, "1 more calls wait")
}

func TestUnknown(t *testing.T) {
	f := serve(t)
	f.open("t_1", `{}`, time.Hour)
	b := f.signedIn()
	csrf := b.get("/").forms()["/tasks/t_1/approve"]
	b.post("/tasks/t_9/approve", csrf).want(t, 404, "No such call")
	b.get("/tasks/t_9").want(t, 404, "No such call")
	for _, path := range []string{"/x", "/tasks", "/tasks/t_1/x", "/tasks/t_1/approve/x", "/favicon.ico"} {
		b.get(path).want(t, 404)
	}
	// What the address says about the last press is believed only where the
	// task agrees.
	for _, q := range []string{"did=approved&task=t_1", "did=<b>&task=t_1", "did=late&task=t_9"} {
		b.get("/?"+q).lacks(t, `class="flash`)
	}
}
