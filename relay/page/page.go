// Package page is the approval page of the relay: the calls that wait for a
// human, with a button to approve and one to deny, and what became of the last
// ones. It is rendered on the server and works without a script.
//
// It answers exactly these requests, each only under the relay's own names:
//
//	GET  /                    the list
//	GET  /tasks/{id}          one task with all of its facts
//	POST /tasks/{id}/approve  a press; back to the list
//	POST /tasks/{id}/deny     a press; back to the list
//	GET  /sign-in?t=SECRET    a button; looking at it does not use the secret up
//	POST /sign-in             uses the secret up and starts a session
//	POST /sign-out            ends it
//
// A session is a cookie that scripts and other sites cannot use. A press needs
// the session's CSRF token too, and must not come from another site. Whoever
// has no session sees no word of any task.
//
// The text of a task was written by a machine, its tools and its agent: it is
// escaped, and characters that cannot be seen are spelled out.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's template, style and script
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"portero/relay/desk"
)

// Options says what the page shows and to whom it answers.
type Options struct {
	// Desk keeps the tasks and the sessions.
	Desk *desk.Desk
	// PublicURL is where people reach the relay; its host is answered to.
	PublicURL string
	// Secure says that browsers come over TLS, to the relay itself or to a
	// proxy in front: the cookie is then bound to TLS and to this host.
	Secure bool
	// Hosts are further host names to answer to, in any spelling of a Host
	// header; ports do not matter. From the relay's own computer, localhost,
	// 127.0.0.1 and [::1] are answered too.
	Hosts []string
	// Logger gets one line per sign-in and per press; nil discards.
	Logger *slog.Logger
	// Version is shown at the page's foot.
	Version string
}

// Page serves the approval page. It is safe for concurrent use and owns no
// goroutine.
type Page struct {
	Options
	mux    *http.ServeMux
	hosts  map[string]bool
	cross  *http.CrossOriginProtection
	cookie string
	tries  tries
}

// New returns the page.
func New(o Options) *Page {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Page{Options: o, mux: http.NewServeMux(), hosts: map[string]bool{}, cross: http.NewCrossOriginProtection(), cookie: "portero"}
	for _, h := range o.Hosts {
		p.hosts[hostname(h)] = true
	}
	if u, err := url.Parse(o.PublicURL); err == nil && u.Host != "" {
		p.hosts[hostname(u.Host)] = true
		// A proxy in front may not pass the Host header on.
		if err := p.cross.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			o.Logger.Warn("public_url is not usable as an origin", "error", err)
		}
		// Cookies do not tell ports apart: two relays on one computer would
		// sign each other's admin out.
		if u.Port() != "" {
			p.cookie += "-" + u.Port()
		}
	}
	if o.Secure {
		p.cookie = "__Host-" + p.cookie
	}
	p.mux.HandleFunc("GET /{$}", p.signed(p.list))
	p.mux.HandleFunc("GET /tasks/{id}", p.signed(p.task))
	p.mux.HandleFunc("POST /tasks/{id}/approve", p.signed(p.press(true)))
	p.mux.HandleFunc("POST /tasks/{id}/deny", p.signed(p.press(false)))
	p.mux.HandleFunc("GET /sign-in", p.offer)
	p.mux.HandleFunc("POST /sign-in", p.signIn)
	p.mux.HandleFunc("POST /sign-out", p.signed(p.signOut))
	return p
}

// SigninURL returns the one-time link that signs an admin in. base is the
// relay's address without a path, secret comes from desk.NewSignin.
func SigninURL(base, secret string) string {
	return strings.TrimRight(base, "/") + "/sign-in?t=" + url.QueryEscape(secret)
}

// ServeHTTP answers one request.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: under that, browsers send "Origin: null" with the
	// page's own forms. The sign-in link goes to no other site either way.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !p.ownHost(r) {
		p.say(w, http.StatusForbidden, "Not this relay's address",
			"The relay does not answer to the host name in this request. If it should, set it as public_url in the section [relay] of portero.toml.")
		return
	}
	if err := p.cross.Check(r); err != nil {
		p.say(w, http.StatusForbidden, "Pressed on another site", "This press came from another site. Nothing was changed.")
		return
	}
	p.mux.ServeHTTP(w, r)
}

//go:embed page.html
var markup string

//go:embed page.css
var style string

//go:embed page.js
var script string

var (
	pages         = template.Must(template.New("").Funcs(template.FuncMap{"number": number}).Parse(markup))
	styleElement  = template.HTML("<style>" + style + "</style>")
	scriptElement = template.HTML("<script>" + script + "</script>")
	contentPolicy = "default-src 'none'; style-src " + source(style) + "; script-src " + source(script) +
		"; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

// source names an inline element's content in a content security policy.
func source(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// frame is what every page has.
type frame struct {
	Title   string
	Version string
	Style   template.HTML
	Script  template.HTML
	CSRF    string // empty: no session
	Self    string // path of this page when it keeps itself up to date
	Asks    bool   // has buttons that must not move under a finger
	Flash   *flash
}

func (p *Page) frame(title string) frame {
	return frame{Title: title, Version: p.Version, Style: styleElement, Script: scriptElement}
}

func (p *Page) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		p.Logger.Error("render page", "page", name, "error", err)
		http.Error(w, "The page could not be rendered; the relay's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// say renders a page that holds nothing but fixed words.
func (p *Page) say(w http.ResponseWriter, status int, title, text string) {
	p.render(w, status, "note", struct {
		frame
		Text string
	}{p.frame(title), text})
}

// broken answers when the desk could not.
func (p *Page) broken(w http.ResponseWriter, doing string, err error) {
	if errors.Is(err, desk.ErrNoTask) {
		p.say(w, http.StatusNotFound, "No such call", "The relay knows no call of this number.")
		return
	}
	p.Logger.Error(doing, "error", err)
	p.say(w, http.StatusInternalServerError, "The relay's store did not answer",
		"Something went wrong in the relay; its log says what. The list shows how each call stands.")
}
