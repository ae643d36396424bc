// Package catalog is the merged list of tools: what each server offers, the
// names under which the client may call it, and the definitions as the client
// is shown them. Definitions stay raw JSON; only what must differ is spliced.
package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"portero/shared/rawjson"
)

// Separators between server and tool in listed names.
const (
	Slash      = "/"
	Underscore = "__"
)

// maxListed bounds listed names with "__": clients put a prefix of their own
// before them and stop at 64 letters in all.
const maxListed = 48

// Tool is one tool of one server.
type Tool struct {
	Name   string // server/tool: in policy, approvals, the audit log and portero/call
	Child  string
	Own    string // the server's name for it
	Def    []byte // definition as the server sent it
	Digest [32]byte
	// Description and Schema are Def's, raw JSON or nil.
	Description []byte
	Schema      []byte
}

// ReadOnly reports whether the server declares that the tool changes nothing.
func (t Tool) ReadOnly() bool {
	annotations, _ := rawjson.Get(t.Def, "annotations")
	hint, _ := rawjson.Get(annotations, "readOnlyHint")
	return string(hint) == "true"
}

// Catalog holds the tools of all servers. It is safe for concurrent use.
type Catalog struct {
	order  []string
	hidden func(name string) bool

	mu    sync.RWMutex
	tools map[string][]Tool // by server, sorted by name
	names map[string]Tool   // every accepted spelling
	short map[string]string // by Name, the spelling that is no other tool's
}

// New returns an empty catalog of the servers in order. hidden tells which
// tools (server/tool) are neither listed nor callable.
func New(order []string, hidden func(name string) bool) *Catalog {
	return &Catalog{order: order, hidden: hidden, tools: map[string][]Tool{}, names: map[string]Tool{}}
}

// Set replaces the tools of one server. Definitions that cannot be used are
// left out; problems says which and why, in words for the log. changed is
// false when everything is as it was.
func (c *Catalog) Set(child string, defs []json.RawMessage) (changed bool, problems []string) {
	var tools []Tool
	seen := map[string]bool{}
	for i, def := range defs {
		t, err := read(child, def)
		switch {
		case err != nil:
			problems = append(problems, fmt.Sprintf("tool %d of %s is left out: %v", i+1, child, err))
		case seen[t.Own]:
			problems = append(problems, fmt.Sprintf("a second tool %q of %s is left out", t.Own, child))
		case !c.hidden(t.Name):
			seen[t.Own] = true
			tools = append(tools, t)
		}
	}
	slices.SortFunc(tools, func(a, b Tool) int { return strings.Compare(a.Own, b.Own) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.EqualFunc(c.tools[child], tools, func(a, b Tool) bool { return bytes.Equal(a.Def, b.Def) }) {
		return false, problems
	}
	c.tools[child] = tools
	c.index()
	return true, problems
}

// read takes a definition apart. A missing or unusable inputSchema is replaced
// by one that allows any object: one tool's bad schema must not cost a client
// the whole list.
func read(child string, def []byte) (Tool, error) {
	t := Tool{Child: child, Def: def}
	raw, ok := rawjson.Get(def, "name")
	if !ok {
		return t, fmt.Errorf("it has no name")
	}
	var err error
	if t.Own, err = rawjson.Unquote(raw); err != nil || !usable(t.Own) {
		return t, fmt.Errorf("its name %.60q cannot be used", raw)
	}
	t.Name = child + "/" + t.Own
	t.Digest = sha256.Sum256(def)
	t.Description, _ = rawjson.Get(def, "description")
	schema, ok := rawjson.Get(def, "inputSchema")
	if kind, has := rawjson.Get(schema, "type"); !ok || !has || string(kind) != `"object"` {
		schema = []byte(`{"type":"object"}`)
	}
	t.Schema = schema
	return t, nil
}

// usable refuses names that could be taken for a pattern, another line or
// another tool.
func usable(own string) bool {
	if own == "" || len(own) > 200 || strings.ContainsAny(own, "*\x7f") || !isPrintable(own) {
		return false
	}
	return !strings.HasPrefix(own, "/") && !strings.HasSuffix(own, "/")
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '\u2028' || r == '\u2029' || r == '\uFFFD' })
}

// index rebuilds the accepted spellings. A spelling that two tools would share
// stays with the one it is closer to, or else with the first; the other is
// listed under a name with a hash.
func (c *Catalog) index() {
	c.names, c.short = map[string]Tool{}, map[string]string{}
	all := c.all()
	for _, spell := range []func(Tool) string{name, exact, plain} {
		for _, t := range all {
			if _, taken := c.names[spell(t)]; !taken {
				c.names[spell(t)] = t
			}
		}
	}
	for _, t := range all {
		// A server may have given a tool the very name that another one's
		// hash makes: go on until it is nobody's.
		spelling := short(t, 0)
		for n := 1; c.names[spelling].Name != "" && c.names[spelling].Name != t.Name; n++ {
			spelling = short(t, n)
		}
		c.names[spelling], c.short[t.Name] = t, spelling
	}
}

func name(t Tool) string  { return t.Name }
func exact(t Tool) string { return t.Child + Underscore + t.Own }

func (c *Catalog) all() []Tool {
	var all []Tool
	for _, child := range c.order {
		all = append(all, c.tools[child]...)
	}
	return all
}

// All returns every tool: servers in their configured order, each one's tools
// by name.
func (c *Catalog) All() []Tool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.all()
}

// Find returns the tool that a client means by name, in any spelling that is
// or could have been listed.
func (c *Catalog) Find(name string) (Tool, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t, ok := c.names[name]
	return t, ok
}

// Listed is the name under which a tool is listed with a separator.
func (c *Catalog) Listed(t Tool, separator string) string {
	if separator == Slash {
		return t.Name
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if name := plain(t); len(name) <= maxListed && c.names[name].Name == t.Name {
		return name
	}
	if name, ok := c.short[t.Name]; ok {
		return name
	}
	return short(t, 0)
}

// plain spells a name with the letters that every client keeps.
func plain(t Tool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, exact(t))
}

// short is the n-th choice of a name with a hash.
func short(t Tool, n int) string {
	sum := sha256.Sum256([]byte(t.Name + strings.Repeat("*", n))) // no name has a star
	name := plain(t)
	return name[:min(len(name), maxListed-9)] + "_" + hex.EncodeToString(sum[:4])
}

// Server guesses which server a name speaks of, whether or not the tool is
// known: "" when none of them.
func (c *Catalog) Server(name string) (server string) {
	for _, child := range c.order {
		// Of a and a__b, "a__b/c" means the longer one.
		if len(child) > len(server) && (strings.HasPrefix(name, child+Slash) || strings.HasPrefix(name, child+Underscore)) {
			server = child
		}
	}
	return server
}
