package page

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"portero/relay/desk"
	"portero/shared/task"
)

func TestSignin(t *testing.T) {
	f := serve(t)
	b := f.browser()
	secret := f.secret(time.Hour)
	for range 3 { // a preview, or three
		b.get("/sign-in?t="+secret).want(t, 200, `action="/sign-in"`, "Sign in")
	}
	a := b.post("/sign-in", url.Values{"t": {secret}})
	a.want(t, 303)
	c := a.Header.Get("Set-Cookie")
	for _, part := range []string{"portero=", "; Path=/", "; Max-Age=43200", "; HttpOnly", "; SameSite=Strict"} {
		if !strings.Contains(c, part) {
			t.Errorf("cookie %q lacks %q", c, part)
		}
	}
	b.get("/").want(t, 200, "Nothing waits")

	stranger := f.browser()
	for name, secret := range map[string]string{"used": secret, "expired": f.secret(-time.Second), "wrong": "guess", "none": ""} {
		a := stranger.post("/sign-in", url.Values{"t": {secret}})
		a.want(t, 401, "used up or too old", "portero-relay sign-in")
		if a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: a cookie", name)
		}
	}
	stranger.get("/sign-in").want(t, 400, "not complete")
	stranger.get("/sign-in?t="+strings.Repeat("x", 200)).want(t, 400, "not complete")
	stranger.get("/").want(t, 401)
}

func TestSignout(t *testing.T) {
	f := serve(t)
	f.open("t_1", `{}`, time.Hour)
	b, other := f.signedIn(), f.signedIn()
	list := b.get("/")
	csrf := list.forms()["/sign-out"]
	before := b.client.Jar.Cookies(must(url.Parse(f.url)))
	b.push(list, "/sign-out").want(t, 401, "Not signed in")
	b.post("/tasks/t_1/approve", csrf).want(t, 401)
	b.client.Jar.SetCookies(must(url.Parse(f.url)), before) // a kept cookie is worth nothing
	b.get("/").want(t, 401)
	b.post("/tasks/t_1/approve", csrf).want(t, 401)
	other.get("/").want(t, 200)
	if got := f.state("t_1"); got != task.Pending {
		t.Errorf("state %s", got)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestStrangerSeesNothing(t *testing.T) {
	f := serve(t)
	f.open("t_1", `{"path":"/workspace/notes.txt"}`, time.Hour)
	b := f.browser()
	want := b.get("/")
	want.want(t, 401, "portero-relay sign-in")
	for _, a := range []answer{want, b.get("/tasks/t_1"), b.get("/tasks/t_9"), b.get("/?did=late&task=t_1"),
		b.post("/tasks/t_1/approve", nil), b.post("/tasks/t_9/deny", nil), b.post("/sign-out", nil)} {
		if a.StatusCode != 401 || a.body != want.body {
			t.Errorf("%s: %s, another page than without a task", a.Request.URL, a.Status)
		}
		a.lacks(t, "filesystem", "7K3F", "laptop", "notes.txt", "csrf", "<script>")
	}
	if got := f.state("t_1"); got != task.Pending {
		t.Errorf("state %s", got)
	}
}

func TestRefusedPress(t *testing.T) {
	f := serve(t)
	f.open("t_1", `{}`, time.Hour)
	b := f.signedIn()
	const path = "/tasks/t_1/approve"
	good := b.get("/").forms()[path]
	others := f.signedIn().get("/").forms()[path]
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name string
		form url.Values
		edit func(*http.Request)
		want int
	}{
		{"no token", nil, nil, 403},
		{"empty token", url.Values{"csrf": {""}}, nil, 403},
		{"wrong token", url.Values{"csrf": {"x" + good.Get("csrf")[1:]}}, nil, 403},
		{"another session's token", others, nil, 403},
		{"token in the address", nil, func(r *http.Request) { r.URL.RawQuery = good.Encode() }, 403},
		{"foreign origin", good, header("Origin", "https://evil.example"), 403},
		{"hidden origin", good, header("Origin", "null"), 403},
		{"neighbour's port", good, header("Origin", "http://127.0.0.1:1"), 403},
		{"cross-site", good, header("Sec-Fetch-Site", "cross-site"), 403},
		{"same site, other origin", good, header("Sec-Fetch-Site", "same-site"), 403},
		{"foreign host", good, func(r *http.Request) { r.Host = "evil.example" }, 403},
		{"not a form", good, header("Content-Type", "application/json"), 403},
		{"broken form", url.Values{}, func(r *http.Request) { r.URL.RawQuery = ""; r.Header.Set("Content-Type", "a/b; c") }, 400},
		{"oversize", url.Values{"csrf": good["csrf"], "x": {strings.Repeat("x", maxBody)}}, nil, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := b.request(http.MethodPost, path, c.form)
			if c.edit != nil {
				c.edit(r)
			}
			a := b.do(r)
			a.want(t, c.want)
			if c.name != "foreign host" && c.name != "cross-site" {
				a.lacks(t, "filesystem/write_file")
			}
		})
		if got := f.state("t_1"); got != task.Pending {
			t.Fatalf("%s: state %s", c.name, got)
		}
	}
	for _, own := range []string{f.url, "https://relay.example.com"} {
		r := b.request(http.MethodPost, path, good)
		r.Header.Set("Origin", own)
		b.do(r).want(t, 303)
	}
	// Signing in another person's browser with one's own link is refused too.
	r := b.request(http.MethodPost, "/sign-in", url.Values{"t": {f.secret(time.Hour)}})
	r.Header.Set("Origin", "https://evil.example")
	b.do(r).want(t, 403)
}

func TestMethods(t *testing.T) {
	f := serve(t)
	f.open("t_1", `{}`, time.Hour)
	b := f.signedIn()
	for _, c := range []struct{ method, path, allow string }{
		{"DELETE", "/", "GET, HEAD"},
		{"POST", "/", "GET, HEAD"},
		{"GET", "/tasks/t_1/approve", "POST"},
		{"PUT", "/tasks/t_1/deny", "POST"},
		{"PATCH", "/tasks/t_1", "GET, HEAD"},
		{"PUT", "/sign-in", "GET, HEAD, POST"},
		{"GET", "/sign-out", "POST"},
	} {
		a := b.do(b.request(c.method, c.path, nil))
		if a.StatusCode != 405 || a.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %s, Allow %q", c.method, c.path, a.Status, a.Header.Get("Allow"))
		}
	}
	if a := b.do(b.request("HEAD", "/", nil)); a.StatusCode != 200 || a.body != "" {
		t.Errorf("HEAD: %s", a.Status)
	}
	if got := f.state("t_1"); got != task.Pending {
		t.Errorf("state %s", got)
	}
}

func TestHeaders(t *testing.T) {
	f := serve(t)
	b := f.signedIn()
	for _, a := range []answer{b.get("/"), b.get("/x"), f.browser().get("/"), b.get("/sign-in?t=x"), b.get("/tasks/t_9"), b.post("/", nil)} {
		for name, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", a.Request.URL, name, got)
			}
		}
		policy := a.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: policy %q lacks %q", a.Request.URL, policy, part)
			}
		}
	}
	// The policy names exactly the style and the script that were sent.
	list := b.get("/")
	for _, tag := range []string{"style", "script"} {
		_, rest, _ := strings.Cut(list.body, "<"+tag+">")
		content, _, ok := strings.Cut(rest, "</"+tag+">")
		if !ok || !strings.Contains(list.Header.Get("Content-Security-Policy"), tag+"-src "+source(content)) {
			t.Errorf("the policy does not allow the page's own %s", tag)
		}
	}
	list.lacks(t, `style="`, "onclick", "http://", "https://")
}

func TestHost(t *testing.T) {
	d, err := desk.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p := New(Options{Desk: d, PublicURL: "https://Relay.example.com", Hosts: []string{"relay.lan:8443", "fd00::1"}, Secure: true})
	for _, c := range []struct {
		host, from string
		want       int
	}{
		{"relay.example.com", "203.0.113.9:1", 401},
		{"RELAY.example.com.:443", "203.0.113.9:1", 401},
		{"relay.lan", "203.0.113.9:1", 401},
		{"relay.lan:99", "203.0.113.9:1", 401},
		{"[fd00::1]:8443", "203.0.113.9:1", 401},
		{"localhost:8443", "127.0.0.1:1", 401},
		{"127.0.0.1:8443", "127.0.0.1:1", 401},
		{"[::1]:8443", "[::1]:1", 401},
		{"localhost", "[::ffff:127.0.0.1]:1", 401},
		{"localhost:8443", "203.0.113.9:1", 403},
		{"evil.example", "127.0.0.1:1", 403},
		{"relay.example.com.evil.example", "203.0.113.9:1", 403},
		{"127.0.0.2", "127.0.0.1:1", 403},
		{"", "127.0.0.1:1", 403},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.RemoteAddr = c.host, c.from
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("Host %q from %s: %d, want %d", c.host, c.from, w.Code, c.want)
		}
	}

	secret, err := d.NewSignin(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/sign-in", strings.NewReader("t="+secret))
	r.Host = "relay.example.com"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	if c := w.Header().Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-portero=") || !strings.Contains(c, "; Secure") {
		t.Errorf("cookie %q", c)
	}
	if p := New(Options{PublicURL: "http://127.0.0.1:8443"}); p.cookie != "portero-8443" {
		t.Errorf("cookie name %q: two relays of one computer would share it", p.cookie)
	}
}

func TestTooManyTries(t *testing.T) {
	f := serve(t)
	b := f.browser()
	good := f.secret(time.Hour)
	for range maxTries {
		b.post("/sign-in", url.Values{"t": {"guess"}}).want(t, 401)
	}
	a := b.post("/sign-in", url.Values{"t": {good}})
	a.want(t, 429, "not used up")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.get("/sign-in?t="+good).want(t, 200)
}

func TestTries(t *testing.T) {
	var c tries
	start := time.Unix(1000, 0)
	for range maxTries {
		if wait := c.take("a", start); wait != 0 {
			t.Fatal(wait)
		}
	}
	if wait := c.take("a", start.Add(20*time.Second)); wait != 40*time.Second {
		t.Errorf("wait %s", wait)
	}
	if wait := c.take("b", start); wait != 0 {
		t.Errorf("another address waits %s", wait)
	}
	if wait := c.take("a", start.Add(tryWindow)); wait != 0 {
		t.Errorf("after the window: %s", wait)
	}
	for i := range 3 * maxAddresses {
		c.take(fmt.Sprint("crowd", i), start)
	}
	if len(c.counts) > maxAddresses+1 {
		t.Errorf("%d addresses are kept", len(c.counts))
	}
	if wait := c.take("newcomer", start); wait == 0 {
		t.Error("a crowd of addresses is not limited")
	}
	if wait := c.take("newcomer", start.Add(2*tryWindow)); wait != 0 {
		t.Errorf("after the crowd: %s", wait)
	}
}

func TestOriginAddress(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.9:5": "203.0.113.9", "[::ffff:203.0.113.9]:5": "203.0.113.9",
		"[2001:db8:1:2:3:4:5:6]:7": "2001:db8:1:2::/64", "[fe80::1%eth0]:7": "fe80::/64", "@": "@",
	} {
		if got := origin(in); got != want {
			t.Errorf("origin(%q) = %q, want %q", in, got, want)
		}
	}
}
