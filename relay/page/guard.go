package page

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// maxBody bounds a form, in bytes.
const maxBody = 64 << 10

// hostname is a Host header without its port, in lower case.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}

// ownHost reports whether the request names this relay. A site that points its
// own name at the relay's address (DNS rebinding) does not.
func (p *Page) ownHost(r *http.Request) bool {
	switch name := hostname(r.Host); name {
	case "localhost", "127.0.0.1", "::1":
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		return p.hosts[name] || err == nil && from.Addr().Unmap().IsLoopback()
	default:
		return p.hosts[name]
	}
}

// session is a signed-in browser.
type session struct {
	secret string
	csrf   string
}

// signed wraps a handler that needs a session, and for a press the session's
// CSRF token.
func (p *Page) signed(next func(http.ResponseWriter, *http.Request, session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie(p.cookie)
		if err != nil {
			p.stranger(w)
			return
		}
		csrf, ok, err := p.Desk.Session(r.Context(), c.Value)
		if err != nil {
			p.broken(w, "read session", err)
			return
		}
		if !ok {
			p.stranger(w)
			return
		}
		if r.Method == http.MethodPost {
			if !p.form(w, r) {
				return
			}
			if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf")), []byte(csrf)) != 1 {
				p.say(w, http.StatusForbidden, "This page was out of date",
					"The button belongs to an earlier sign-in. Nothing was changed; open the list and press again.")
				return
			}
		}
		next(w, r, session{secret: c.Value, csrf: csrf})
	}
}

// form reads a posted form and answers itself when that is not possible.
func (p *Page) form(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	err := r.ParseForm()
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		p.say(w, http.StatusRequestEntityTooLarge, "Too large", "A form of this page is never larger than 64 KiB. Nothing was changed.")
		return false
	}
	if err != nil {
		p.say(w, http.StatusBadRequest, "Not a form", "The form could not be read. Nothing was changed.")
		return false
	}
	return true
}

// Tries to sign in per address and window. The secret cannot be guessed; the
// limit keeps guessers away from the store.
const (
	maxTries     = 10
	tryWindow    = time.Minute
	maxAddresses = 1024
)

// tries counts sign-ins by address. The zero value is ready.
type tries struct {
	mu     sync.Mutex
	counts map[string]tryCount
}

type tryCount struct {
	start time.Time
	n     int
}

// take counts one try and returns how long the address has to wait when it
// had too many.
func (t *tries) take(addr string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]tryCount{}
	}
	if _, known := t.counts[addr]; !known && len(t.counts) >= maxAddresses {
		for a, c := range t.counts {
			if now.Sub(c.start) >= tryWindow {
				delete(t.counts, a)
			}
		}
		if len(t.counts) >= maxAddresses {
			addr = "" // the crowd shares one count
		}
	}
	c := t.counts[addr]
	if now.Sub(c.start) >= tryWindow {
		c = tryCount{start: now}
	}
	if c.n >= maxTries {
		return c.start.Add(tryWindow).Sub(now)
	}
	c.n++
	t.counts[addr] = c
	return 0
}

// origin is the address that tries are counted by: IPv6 hosts own whole
// networks, so those count as one.
func origin(remote string) string {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	addr := from.Addr().Unmap()
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr.WithZone(""), 64).Masked().String()
}
