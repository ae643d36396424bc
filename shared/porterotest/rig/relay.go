package rig

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// Relay is a running portero-relay, with this test as the person at its
// approval page.
type Relay struct {
	*process
	URL    string
	Signin string // the one-time link it printed

	web *http.Client
}

// Token makes a machine token.
func (w *World) Token(name string) string {
	w.T.Helper()
	out, errs, code := w.Run("portero-relay", "token", "create", "--name", name, "--role", "machine")
	if code != 0 {
		w.T.Fatalf("token create: %s", errs)
	}
	return strings.TrimSpace(out)
}

// Relay starts portero-relay and waits until it listens.
func (w *World) Relay(args ...string) *Relay {
	w.T.Helper()
	cmd := exec.Command(Bin("portero-relay"), append([]string{"--log-level", "debug"}, args...)...)
	cmd.Env = w.environ()
	cmd.Dir = w.Dir
	out := &buffer{}
	cmd.Stdout = out
	r := &Relay{process: w.start("portero-relay", cmd), URL: fmt.Sprintf("http://127.0.0.1:%d", w.Port)}
	link := regexp.MustCompile(`https?://\S+/sign-in\S+`)
	w.Eventually("the relay prints its sign-in link", func() bool {
		select {
		case <-r.done:
			w.T.Fatalf("portero-relay ended:\n%s", r.Stderr())
		default:
		}
		r.Signin = link.FindString(out.String())
		return r.Signin != ""
	})
	return r
}

// SignIn uses the one-time link up, as a person does.
func (r *Relay) SignIn() {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.web = &http.Client{Jar: jar, Timeout: Patience}
	u, err := url.Parse(r.Signin)
	if err != nil {
		r.t.Fatal(err)
	}
	if status, body := r.post("/sign-in", url.Values{"t": {u.Query().Get("t")}}); status != http.StatusOK {
		r.t.Fatalf("sign-in was answered %d: %s", status, body)
	}
}

func (r *Relay) post(path string, form url.Values) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", r.URL)
	resp, err := r.web.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Page is the approval page as it looks now.
func (r *Relay) Page() string {
	r.t.Helper()
	if r.web == nil {
		r.SignIn()
	}
	resp, err := r.web.Get(r.URL + "/")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(body)
}

// Press waits for a task's buttons on the page and presses "approve" or
// "deny". It returns the page that follows.
func (r *Relay) Press(task, button string) string {
	r.t.Helper()
	form := regexp.MustCompile(`action="/tasks/` + task + `/` + button + `"[\s\S]*?name="csrf" value="([^"]+)"`)
	var csrf []string
	Eventually(r.t, "the page shows task "+task, func() bool {
		csrf = form.FindStringSubmatch(r.Page())
		return csrf != nil
	})
	status, body := r.post("/tasks/"+task+"/"+button, url.Values{"csrf": {csrf[1]}})
	if status != http.StatusOK {
		r.t.Fatalf("%s was answered %d: %s", button, status, body)
	}
	return body
}

// Healthy reports whether /health answers.
func (r *Relay) Healthy() bool {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(r.URL + "/health")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
