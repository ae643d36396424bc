package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// revision is the protocol revision asked for; known are those whose tools
// work the same.
const revision = "2025-11-25"

var known = []string{"2024-11-05", "2025-03-26", "2025-06-18", revision}

const mostPages = 1000

// keep shakes hands, lists the tools, calls up, and lists them again after
// each list_changed until ctx is done. It returns why the start failed, nil
// after a good one.
func (s *session) keep(ctx context.Context, up func()) *failure {
	sctx, cancel := context.WithTimeout(ctx, s.c.opt.StartTimeout)
	defer cancel()
	has, f := s.shake(sctx)
	if f != nil {
		return f
	}
	n := 0
	if has {
		if n, f = s.fetch(sctx); f != nil {
			return f
		}
	} else if s.c.opt.OnTools != nil {
		s.c.opt.OnTools(nil)
	}
	s.c.log.Info("child is ready", "pid", s.proc.pid, "tools", n)
	s.mu.Lock()
	s.up = true
	s.mu.Unlock()
	up()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		}
		rctx, cancel := context.WithTimeout(ctx, s.c.opt.StartTimeout)
		n, f := s.fetch(rctx)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case f != nil:
			s.c.log.Warn("child changed its tools, but listing them failed; the earlier list stays", "reason", f.what)
		default:
			s.c.log.Info("child changed its tools", "tools", n)
		}
		// A child that announces a change whenever it is asked for its tools
		// must not keep both sides busy.
		pause := time.NewTimer(s.c.timing.refetch)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// shake does the handshake and reports whether the child has tools.
func (s *session) shake(ctx context.Context) (tools bool, f *failure) {
	params, err := json.Marshal(map[string]any{
		"protocolVersion": revision,
		"capabilities":    struct{}{},
		"clientInfo":      map[string]string{"name": "portero", "version": s.c.opt.Version},
	})
	if err != nil {
		return false, &failure{what: "cannot be greeted: " + err.Error(), cause: err}
	}
	result, f := s.ask(ctx, "initialize", params)
	if f != nil {
		return false, f
	}
	var hello struct {
		ProtocolVersion string `json:"protocolVersion"`
		Capabilities    struct {
			Tools json.RawMessage `json:"tools"`
		} `json:"capabilities"`
	}
	if err := json.Unmarshal(result, &hello); err != nil {
		return false, misfit("answered initialize with something else than MCP asks for")
	}
	if !slices.Contains(known, hello.ProtocolVersion) {
		s.c.log.Warn("child answered with an unknown protocol revision", "revision", s.tail.shown([]byte(hello.ProtocolVersion)))
	}
	s.tell("notifications/initialized", nil)
	return hello.Capabilities.Tools != nil && string(hello.Capabilities.Tools) != "null", nil
}

// fetch lists all tools, hands them to OnTools and returns their number.
func (s *session) fetch(ctx context.Context) (int, *failure) {
	var tools []json.RawMessage
	var params json.RawMessage
	seen := map[string]bool{}
	for size := 0; ; {
		result, f := s.ask(ctx, "tools/list", params)
		if f != nil {
			return 0, f
		}
		var page struct {
			Tools      []json.RawMessage `json:"tools"`
			NextCursor *string           `json:"nextCursor"`
		}
		if err := json.Unmarshal(result, &page); err != nil {
			return 0, misfit("answered tools/list with something else than MCP asks for")
		}
		tools = append(tools, page.Tools...)
		if page.NextCursor == nil || *page.NextCursor == "" {
			break
		}
		size += len(result)
		switch cursor := *page.NextCursor; {
		case seen[cursor]:
			return 0, misfit("repeats a cursor in its list of tools, which would never end")
		case len(seen) == mostPages-1:
			return 0, misfit(fmt.Sprintf("lists its tools in more than %d pages", mostPages))
		case size > s.c.opt.MaxMessage:
			return 0, misfit(fmt.Sprintf("lists more than %d bytes of tools", s.c.opt.MaxMessage))
		default:
			seen[cursor] = true
			params, _ = json.Marshal(map[string]string{"cursor": cursor}) // strings always encode
		}
	}
	if s.c.opt.OnTools != nil {
		s.c.opt.OnTools(tools)
	}
	return len(tools), nil
}

// ask is call for what Portero itself wants to know.
func (s *session) ask(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, *failure) {
	r, f, _ := s.call(ctx, method, params)
	switch {
	case f != nil && errors.Is(f.cause, context.DeadlineExceeded):
		f = misfit(fmt.Sprintf("did not answer %s within %v", method, s.c.opt.StartTimeout))
		f.cause = context.DeadlineExceeded
		return nil, f
	case f != nil:
		return nil, f
	case r.Error != nil:
		var e struct {
			Code    int64  `json:"code"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(r.Error, &e) // what cannot be read stays empty
		return nil, misfit(fmt.Sprintf("answered %s with error %d %q", method, e.Code, s.tail.shown([]byte(e.Message))))
	}
	return r.Result, nil
}

// misfit is the failure of a process that runs, but not as an MCP server over
// stdio should.
func misfit(what string) *failure { return &failure{what: what} }
