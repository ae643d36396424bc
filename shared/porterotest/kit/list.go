package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// definitions are the tools in the order in which they are listed.
func (s *server) definitions() []json.RawMessage {
	if s.defs != nil {
		return s.defs
	}
	var out []json.RawMessage
	for _, t := range tools {
		if s.opt.tools != "" && !slices.Contains(strings.Split(s.opt.tools, ","), t.name) {
			continue
		}
		desc := t.desc
		if t.name == "echo" {
			desc = s.opt.desc
		}
		out = append(out, definition(t.name, desc, t.schema))
	}
	s.mu.Lock()
	late := s.late
	s.mu.Unlock()
	if late {
		out = append(out, definition("late", "Appeared while the server ran.", ``))
	}
	return out
}

func definition(name, desc, properties string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"name":%s,"description":%s,"inputSchema":{"type":"object","properties":{%s}}}`,
		quote(name), quote(desc), properties))
}

// loadTools reads -tools-json: an array of definitions, or an object that
// holds one under "tools".
func (s *server) loadTools() error {
	if s.opt.toolsJSON == "" {
		return nil
	}
	text, err := os.ReadFile(s.opt.toolsJSON)
	if err != nil {
		return err
	}
	s.defs = []json.RawMessage{}
	if json.Unmarshal(text, &s.defs) == nil {
		return nil
	}
	var list struct {
		Tools []json.RawMessage `json:"tools"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("read %s: %w", s.opt.toolsJSON, err)
	}
	s.defs = list.Tools
	return nil
}

// defined reports whether -tools-json holds a tool of that name.
func (s *server) defined(name string) bool {
	return slices.ContainsFunc(s.defs, func(def json.RawMessage) bool {
		var t struct {
			Name string `json:"name"`
		}
		return json.Unmarshal(def, &t) == nil && t.Name == name
	})
}

// list answers tools/list; a cursor is the number of the page's first tool.
func (s *server) list(m message) {
	var p struct {
		Cursor string `json:"cursor"`
	}
	_ = json.Unmarshal(m.Params, &p)
	if s.opt.noTools {
		s.fail(m.ID, -32601, "this server has no tools", nil)
		return
	}
	all := s.definitions()
	from, _ := strconv.Atoi(p.Cursor)
	from = min(max(from, 0), len(all))
	to, next := len(all), ""
	if s.opt.pages > 0 && from+s.opt.pages < len(all) {
		to = from + s.opt.pages
		next = strconv.Itoa(to)
	}
	switch s.opt.cursor {
	case "same":
		next = "again"
	case "endless":
		n, _ := strconv.Atoi(p.Cursor)
		next = strconv.Itoa(n + 1)
	}
	parts := make([]string, 0, to-from)
	for _, def := range all[from:to] {
		parts = append(parts, string(def))
	}
	result := `{"tools":[` + strings.Join(parts, ",") + `]`
	if next != "" {
		result += `,"nextCursor":` + quote(next)
	}
	s.answer(m.ID, result+"}")
}
