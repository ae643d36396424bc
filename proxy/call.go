package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"portero/proxy/catalog"
	"portero/proxy/child"
	"portero/proxy/mask"
	"portero/proxy/policy"
	"portero/shared/rawjson"
)

// JSON-RPC codes of Portero's own errors. The codes from -32020 to -32099 are
// the MCP specification's.
const (
	codeRefused  = -32000 // policy, limits, state
	codeWithheld = -32001 // the leak gate
	codeServer   = -32002 // the server behind could not answer
)

// rpcError is an error to the client. Text and data are in fake form.
type rpcError struct {
	Code    int            `json:"code"`
	Message string         `json:"message"`
	Data    map[string]any `json:"data,omitempty"`
}

func (e *rpcError) Error() string { return e.Message }

// reply is what a call comes to: a raw result, a raw error of the server, or an
// error of Portero's.
type reply struct {
	result []byte
	failed []byte
	err    error
}

func refused(code int, format string, args ...any) reply {
	return reply{err: &rpcError{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// client is what Portero knows of the one that asks.
type client struct {
	separator string
	modern    bool   // speaks a revision without sessions: results carry resultType
	version   string // that revision
}

// callTool is the pipeline for a tools/call request with raw params.
func (p *Proxy) callTool(ctx context.Context, who client, params []byte) reply {
	call, err := rawjson.ParseCall(params)
	if err == nil {
		err = rawjson.CheckArgs(call.Args)
	}
	if err != nil {
		return reply{err: invalid(err)}
	}
	if own, ok := ownTools[ownName(call.Name)]; ok {
		return own(p, ctx, who, call)
	}
	return p.pipeline(ctx, call.Name, params, call)
}

func invalid(err error) error {
	code := rawjson.CodeParams
	var bad *rawjson.Error
	if errors.As(err, &bad) {
		code = bad.Code
	}
	return &rpcError{Code: code, Message: err.Error()}
}

// pipeline decides one call and carries it out. params are the raw params whose
// name, arguments and _meta call names; name is the tool that is meant.
func (p *Proxy) pipeline(ctx context.Context, name string, params []byte, call rawjson.Call) reply {
	tool, err := p.find(ctx, name)
	if err != nil {
		return reply{err: err}
	}
	args, err := p.words.Restore(orEmpty(call.Args), mask.Payload)
	if err != nil {
		return refused(rawjson.CodeParams, "the arguments cannot be read: %v", err)
	}
	if len(args.Placeholders) > 0 && !tool.ReadOnly() {
		return refused(codeRefused, "%s would write a placeholder over the real value that it hides (%s), so the call was not made. Leave that value out, or ask the user to make this change.",
			tool.Name, strings.Join(args.Placeholders, ", "))
	}
	switch d := p.opt.Policy.Decide(tool.Name); d.Action {
	case policy.Deny:
		return p.deny(tool, d)
	case policy.Allow:
		defer p.expectProgress(call.Meta, tool.Child)()
		return p.allowed(ctx, tool, d, childParams(params, call, tool.Own, args.JSON))
	default:
		return p.ask(ctx, tool, d, orEmpty(call.Args), args.Alike)
	}
}

func orEmpty(args []byte) []byte {
	if args == nil {
		return []byte("{}")
	}
	return args
}

// find looks a tool up, waiting for its server's first list when the name says
// that it belongs to one that is still starting.
func (p *Proxy) find(ctx context.Context, name string) (catalog.Tool, error) {
	if tool, ok := p.known(name); ok {
		return tool, nil
	}
	server := p.servers[p.catalog.Server(name)]
	if server == nil {
		return catalog.Tool{}, p.unknown(name)
	}
	select {
	case <-server.child.Ready():
	case <-ctx.Done():
		return catalog.Tool{}, ctx.Err()
	}
	tool, ok := p.known(name)
	if ok {
		return tool, nil
	}
	if err := server.child.Status().Err; err != nil {
		return tool, &rpcError{Code: codeServer, Message: fmt.Sprintf("server %q is not available, so its tools are not known: %v", server.Name, err)}
	}
	return tool, p.unknown(name)
}

// known looks a tool up by any spelling that is listed. A name that holds a
// real value is listed, like everything, with the fake one.
func (p *Proxy) known(name string) (catalog.Tool, bool) {
	tool, ok := p.catalog.Find(name)
	if !ok {
		if raw, n, err := p.opt.Table.Restore(rawjson.Quote(nil, name)); err == nil && n > 0 {
			if real, err := rawjson.Unquote(raw); err == nil {
				return p.catalog.Find(real)
			}
		}
	}
	return tool, ok
}

func (p *Proxy) unknown(name string) error {
	if len(name) > 100 {
		name = name[:100] + "…"
	}
	return &rpcError{Code: rawjson.CodeParams, Message: fmt.Sprintf("unknown tool %q; portero/search_tools finds the names", name)}
}

func (p *Proxy) deny(tool catalog.Tool, d policy.Decision) reply {
	if err := p.record(callEntry{Event: "denied", Tool: tool.Name, Rule: d.Rule}); err != nil {
		p.log.Error("audit", "err", err)
	}
	return reply{err: &rpcError{Code: codeRefused, Message: fmt.Sprintf("%s is denied by policy: rule %s. Do not retry; ask the user to change the rule if the call is needed.", tool.Name, d.Rule),
		Data: map[string]any{"tool": tool.Name, "rule": d.Rule, "decision": "deny"}}}
}

// record writes a line of the call log, which like all that Portero keeps holds
// no real values: a tool's name or a rule's pattern may.
func (p *Proxy) record(e callEntry) error {
	e.Tool, e.Rule = p.opt.Table.MaskText(e.Tool), p.opt.Table.MaskText(e.Rule)
	return p.calls.record(e)
}

// allowed sends a call to its server and records it on both sides of that.
func (p *Proxy) allowed(ctx context.Context, tool catalog.Tool, d policy.Decision, params []byte) reply {
	if err := p.record(callEntry{Event: "allowed", Tool: tool.Name, Rule: d.Rule}); err != nil {
		p.log.Error("audit", "err", err)
		return refused(codeRefused, "the call could not be recorded, so it was not made: %v. Free space in the state directory or make it writable.", err)
	}
	began := time.Now()
	r := p.send(ctx, tool, params)
	event := "done"
	var leak *leakError
	switch {
	case errors.As(r.err, &leak):
		event = "withheld"
	case r.err != nil || r.failed != nil:
		event = "failed"
	}
	if err := p.record(callEntry{Event: event, Tool: tool.Name, Millis: time.Since(began).Milliseconds()}); err != nil {
		p.log.Error("audit", "err", err)
	}
	if leak != nil {
		return refused(codeWithheld, "the answer of %s was %v. The call was made. Ask the user to look at the replacements in portero.toml.", tool.Name, leak)
	}
	return r
}

// send routes params to the tool's server and anonymizes whatever comes back.
func (p *Proxy) send(ctx context.Context, tool catalog.Tool, params []byte) reply {
	answer, err := p.servers[tool.Child].child.Call(ctx, "tools/call", params)
	if err != nil {
		var failed *child.CallError
		if errors.As(err, &failed) {
			// Reasons and stderr lines come from the server: anonymized like
			// everything it says.
			err = &serverError{text: p.opt.Table.MaskText(failed.Error()), sent: failed.Sent}
		}
		return reply{err: err}
	}
	if answer.Error != nil {
		failed, err := p.outward(answer.Error, mask.Result, tool.Child)
		return reply{failed: failed, err: err}
	}
	result, err := p.outward(noResult(answer.Result), mask.Result, tool.Child)
	return reply{result: result, err: err}
}

// serverError is a call that got no answer.
type serverError struct {
	text string
	sent bool // it may have run
}

func (e *serverError) Error() string { return e.text }

// sessionMeta are the members of a request's _meta that speak for the client's
// own session; a server has its own with Portero.
var sessionMeta = []string{"io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientInfo",
	"io.modelcontextprotocol/clientCapabilities", "io.modelcontextprotocol/logLevel"}

// childParams rewrites raw params for the server: its own name for the tool and
// the real arguments. Every other byte stays.
func childParams(params []byte, call rawjson.Call, own string, real []byte) []byte {
	edits := []rawjson.Edit{{Part: call.NameRaw, With: rawjson.Quote(nil, own)}}
	if call.Args != nil && !same(call.Args, real) {
		edits = append(edits, rawjson.Edit{Part: call.Args, With: real})
	}
	if meta := call.Meta; meta != nil {
		for _, key := range sessionMeta {
			meta = rawjson.Delete(meta, key)
		}
		if !same(meta, call.Meta) {
			edits = append(edits, rawjson.Edit{Part: call.Meta, With: meta})
		}
	}
	return rawjson.Replace(params, edits...)
}

// same reports whether a and b are the very same bytes in memory.
func same(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// taskParams are the params of an approved call: the client's request is over,
// so nothing of its _meta is left.
func taskParams(own string, real []byte) []byte {
	params := append([]byte(`{"name":`), rawjson.Quote(nil, own)...)
	params = append(append(params, `,"arguments":`...), real...)
	return append(params, '}')
}

// marshal encodes Portero's own small structures.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // only types of this package come here
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
