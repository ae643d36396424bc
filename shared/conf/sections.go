package conf

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The defaults that are not empty.
const (
	defaultExpireAfter = 24 * time.Hour
	defaultListen      = "127.0.0.1:8443"
	defaultAPIURL      = "https://api.telegram.org"
)

func (l *loader) proxy(t *table) {
	p := &l.cfg.Proxy
	if x, ok := t.str("name"); ok {
		p.Name = strings.TrimSpace(x.s)
		if p.Name == "" || len(p.Name) > 64 || strings.ContainsFunc(p.Name, unicode.IsControl) {
			l.problem(x.at.val, "", "proxy.name must be 1 to 64 bytes long, without control characters")
		}
	} else if host, err := os.Hostname(); err == nil {
		p.Name = host
	} else {
		p.Name = "unnamed"
	}
	p.StateDir = t.dir("state_dir", "portero")
	p.ToolSeparator = t.choice("tool_separator", "auto", "/", "__", "auto")
	p.Instructions = t.bool("instructions", true)
	t.noEffect("idle_stop", "a string")
	t.done()
}

// dir reads a directory; by default it is of that name among the states.
func (t *table) dir(key, name string) string {
	if path := t.file(key); path != "" || !t.mine {
		return path
	}
	base, err := baseDir("XDG_STATE_HOME", "~/.local/state", t.l.env.getenv)
	if err != nil {
		t.l.problem(t.at.key, "set HOME, or set "+t.path+key, "%s%s: %v", t.path, key, err)
		return ""
	}
	return filepath.Join(base, name)
}

func (l *loader) link(t *table) {
	if t.vals == nil {
		return
	}
	t.need("url")
	x, ok := t.str("url")
	token, _ := t.token("token")
	t.done()
	if !ok {
		return
	}
	if x.s == "" {
		t.warn(x.at, "link.url is empty: there is no relay, approvals queue")
		return
	}
	u, err := address(x.s)
	switch {
	case err != nil:
		l.problem(x.at.val, "", "link.url %v", err)
		return
	case u.Scheme != "wss" && u.Scheme != "ws":
		l.problem(x.at.val, `write url = "wss://HOST/link"`, "link.url must begin with wss://")
		return
	case u.Scheme == "ws" && !loopback(u.Hostname()):
		l.problem(x.at.val, "write wss://", "link.url: ws:// is allowed to this machine only")
		return
	}
	if u.Path = strings.TrimRight(u.Path, "/"); u.Path == "" {
		u.Path = "/link"
	}
	if !strings.HasSuffix(u.Path, "/link") {
		l.problem(x.at.val, `write url = "wss://HOST/link"`, "link.url must end in /link")
		return
	}
	l.cfg.Link = &Link{URL: u.String(), Token: token}
}

func (l *loader) policy(t *table) {
	l.cfg.Policy.Default = RequireApproval
	if x, ok := t.str("default"); ok {
		l.cfg.Policy.Default = l.action(x)
	}
	if tools := t.table("tools", true); tools != nil {
		tools.each(func(key string, v any, at *node) {
			x, ok := tools.text(key, v, at)
			if !ok {
				return
			}
			if strings.TrimSpace(key) == "" {
				l.problem(at.key, "", "empty name in [policy.tools]")
			}
			line, col := l.lines.at(at.key)
			l.cfg.Policy.Tools = append(l.cfg.Policy.Tools, Rule{Pattern: key, Action: l.action(x), Line: line, Col: col})
		})
	}
	t.refuse("the calls it singles out would be decided without it", "when")
	t.done()
}

var actions = []string{string(Allow), string(Deny), string(RequireApproval)}

func (l *loader) action(x text) Action {
	for _, a := range actions {
		if x.s == a {
			return Action(a)
		}
	}
	l.problem(x.at.val, "", "unknown policy action %q (allowed: %s)", x.raw, oneOf(actions))
	return Deny
}

func (l *loader) approvals(t *table) {
	l.cfg.Approvals.ExpireAfter = defaultExpireAfter
	if x, ok := t.str("expire_after"); ok {
		d, err := ParseDuration(x.s)
		switch {
		case err != nil:
			l.problem(x.at.val, "", "approvals.expire_after %q is %v", x.raw, err)
		case d == 0:
			l.problem(x.at.val, "", "approvals.expire_after must be more than 0")
		}
		l.cfg.Approvals.ExpireAfter = d
	}
	// "fake" and "tap" are what this version does.
	if t.choice("show", "fake", "fake", "real") == "real" {
		l.problem(t.at.child("show").val, "", `approvals.show = "real" is not supported by this version: approvers see the fake values`)
	}
	if s := t.table("strength", true); s != nil {
		s.each(func(key string, v any, at *node) {
			switch x, ok := s.text(key, v, at); {
			case !ok || x.s == "tap":
			case x.s == "match":
				l.problem(x.at.val, "", `approvals.strength = "match" is not supported by this version: one tap would approve`)
			default:
				l.problem(x.at.val, "", `unknown approvals.strength %q (allowed: "tap")`, x.raw)
			}
		})
	}
	t.done()
}

func (l *loader) relay(t *table) {
	r := &l.cfg.Relay
	listen, given := t.str("listen")
	r.Listen = defaultListen
	host := "127.0.0.1"
	if given {
		h, port, err := net.SplitHostPort(listen.s)
		if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil {
			l.problem(listen.at.val, "", "relay.listen must be HOST:PORT")
			h = host
		}
		r.Listen, host = listen.s, h
	}
	r.Console = t.bool("console", true)
	r.BehindProxy = t.bool("behind_proxy", false)
	r.TLSCert, r.TLSKey = t.file("tls_cert"), t.file("tls_key")
	if (r.TLSCert == "") != (r.TLSKey == "") {
		l.problem(t.at.key, "", "relay.tls_cert and relay.tls_key belong together: set both or neither")
	} else if t.mine && r.TLSCert == "" && !r.BehindProxy && !loopback(host) {
		l.problem(listen.at.val, "set tls_cert and tls_key, listen on 127.0.0.1, or set behind_proxy = true when a proxy in front ends TLS",
			"relay.listen: plain HTTP is allowed on this machine's own addresses only")
	}
	if x, ok := t.str("public_url"); ok && x.s != "" {
		u, err := address(x.s)
		switch {
		case err != nil:
			l.problem(x.at.val, "", "relay.public_url %v", err)
		case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname()) && !r.BehindProxy):
			l.problem(x.at.val, "", "relay.public_url must begin with https://")
		default:
			r.PublicURL = strings.TrimRight(u.String(), "/")
		}
	}
	r.DataDir = t.dir("data_dir", "portero-relay")

	if x, ok := t.str("store"); ok && x.s != "sqlite" && t.mine {
		l.problem(x.at.val, "", `relay.store: only "sqlite" is supported by this version`)
	}
	if len(t.strs("acme_domains")) > 0 {
		t.refuse("it would serve without a certificate; set tls_cert and tls_key", "acme_domains")
	}
	if t.bool("self_signed", false) {
		t.refuse("it would serve without a certificate; set tls_cert and tls_key", "self_signed")
	}
	if s, ok := t.token("bearer_token"); ok && s != "" {
		t.noEffect("bearer_token", "a string")
	}
	t.noEffect("tool_separator", "a string")
	t.done()
}

func (l *loader) telegram(t *table) {
	if t.vals == nil {
		return
	}
	tg := &Telegram{APIURL: defaultAPIURL}
	t.need("bot_token")
	token, ok := t.token("bot_token")
	tg.BotToken = token
	if ok && token == "" {
		t.warn(t.at.child("bot_token"), "telegram.bot_token is empty: Telegram is off")
	}
	tg.AdminChatID = t.chatID("admin_chat_id")
	t.list("admin_user_ids", "an array of integers", func(label string, v any, at *node) {
		id, ok := v.(int64)
		if !ok || id <= 0 {
			l.problem(at.val, "", "telegram.%s must be a user's id, a whole number above 0", label)
		}
		tg.AdminUserIDs = append(tg.AdminUserIDs, id)
	})
	tg.PairingCode, _ = t.token("pairing_code")
	if x, ok := t.str("api_url"); ok {
		u, err := address(x.s)
		switch {
		case err != nil:
			l.problem(x.at.val, "", "telegram.api_url %v", err)
		case u.Scheme != "https" && u.Scheme != "http":
			l.problem(x.at.val, "", "telegram.api_url must begin with https://")
		default:
			if u.Scheme == "http" && !loopback(u.Hostname()) {
				t.warn(x.at, "telegram.api_url: the bot token travels without encryption")
			}
			tg.APIURL = strings.TrimRight(u.String(), "/")
		}
	}
	t.noEffect("notices", "a boolean")
	t.noEffect("group_after", "an integer")
	t.done()
	if token != "" {
		l.cfg.Telegram = tg
	}
}

// chatID reads a chat's id, as a number or as text; "" and 0 are none.
func (t *table) chatID(key string) int64 {
	v, at, _ := t.get(key)
	if n, ok := v.(int64); ok || v == nil {
		return n
	}
	x, ok := t.text(key, v, at)
	if x.s = strings.TrimSpace(x.s); !ok || x.s == "" {
		return 0
	}
	n, err := strconv.ParseInt(x.s, 10, 64)
	if err != nil {
		t.l.problem(at.val, "send /whoami to the bot to learn it", "%s%s must be a chat's id, a whole number", t.path, key)
	}
	return n
}

// address reads a URL that names a server. Its error does not repeat s.
func address(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("is not a URL such as https://example.com")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("may hold neither a user, nor a query, nor a fragment")
	}
	return u, nil
}

// loopback tells whether host is this very machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
