package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"portero/proxy/catalog"
	"portero/proxy/journal"
	"portero/proxy/mask"
	"portero/proxy/policy"
	"portero/shared/rawjson"
	"portero/shared/task"
)

// Portero's own tools, by the part of their name behind the separator. None of
// them can approve anything.
var ownTools map[string]func(*Proxy, context.Context, client, rawjson.Call) reply

func init() {
	ownTools = map[string]func(*Proxy, context.Context, client, rawjson.Call) reply{
		"search_tools": (*Proxy).searchTools,
		"call":         (*Proxy).callByName,
		"check_task":   (*Proxy).checkTask,
		"list_tasks":   (*Proxy).listTasks,
		"cancel_task":  (*Proxy).cancelTask,
	}
}

// ownName is the own tool that name means in any spelling, or "".
func ownName(name string) string {
	for _, sep := range []string{catalog.Slash, catalog.Underscore} {
		if own, ok := strings.CutPrefix(name, "portero"+sep); ok {
			return own
		}
	}
	return ""
}

// ownDefs are the definitions, with the name without its prefix.
var ownDefs = []struct{ name, rest string }{
	{"search_tools", `"title":"Search tools","description":"Find tools of all connected servers by words. Returns names, descriptions, the policy decision and input schemas. Call what you find with portero/call or by its own name.","inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"Words that say what the tool should do"},"category":{"type":"string","description":"A server's name, or gmail, calendar, drive, email, filesystem, stripe"},"limit":{"type":"integer","minimum":1,"maximum":100,"default":10},"schemas":{"type":"string","enum":["top","all","none"],"default":"top","description":"Input schemas for the first three, all or none of the hits"}}},"annotations":{"readOnlyHint":true,"openWorldHint":false}`},
	{"call", `"title":"Call a tool","description":"Call any tool by its name, exactly as if it had been called directly: same policy, same approvals.","inputSchema":{"type":"object","properties":{"tool":{"type":"string","description":"Name as portero/search_tools gives it"},"args":{"type":"object","description":"The tool's arguments"}},"required":["tool"]}`},
	{"check_task", `"title":"Check a task","description":"How a call stands that needed approval. Returns the tool's own result once it has run. wait_seconds waits for a change.","inputSchema":{"type":"object","properties":{"task_id":{"type":"string"},"wait_seconds":{"type":"integer","minimum":0,"maximum":50,"default":0}},"required":["task_id"]},"annotations":{"readOnlyHint":true,"openWorldHint":false}`},
	{"list_tasks", `"title":"List tasks","description":"Calls that needed approval, newest first.","inputSchema":{"type":"object","properties":{"status":{"type":"string","enum":["` + strings.Join(task.Statuses, `","`) + `"]},"limit":{"type":"integer","minimum":1,"maximum":100,"default":20}}},"annotations":{"readOnlyHint":true,"openWorldHint":false}`},
	{"cancel_task", `"title":"Withdraw a task","description":"Withdraw a call that waits for approval or has been approved but not started.","inputSchema":{"type":"object","properties":{"task_id":{"type":"string"}},"required":["task_id"]},"annotations":{"destructiveHint":false,"openWorldHint":false}`},
}

// answer is a result that says the same in text and in structuredContent:
// some clients show the model only the one, some only the other. Names of
// approvers, errors of the relay, reasons: none of it is known to be free of
// real values, so all of it is rewritten.
func (p *Proxy) answer(v any, isError bool) reply {
	result, err := p.outward(twice(marshal(v), isError), mask.Result, "")
	return p.unlessLeak(result, err)
}

// exactly is answer for what is in fake form already: a second rewriting could
// take a fake for another one's real value.
func (p *Proxy) exactly(v any) reply {
	result := twice(marshal(v), false)
	return p.unlessLeak(result, p.gate(result, mask.Result))
}

func twice(text []byte, isError bool) []byte {
	result := append([]byte(`{"content":[{"type":"text","text":`), rawjson.Quote(nil, string(text))...)
	result = append(append(result, `}],"structuredContent":`...), text...)
	if isError {
		result = append(result, `,"isError":true`...)
	}
	return append(result, '}')
}

func (p *Proxy) unlessLeak(result []byte, err error) reply {
	if err != nil {
		return refused(codeWithheld, "the answer was %v", err)
	}
	return reply{result: result}
}

// read decodes the arguments of an own tool, refusing unknown members: a
// misspelt one would silently do something else.
func read(call rawjson.Call, into any) error {
	dec := json.NewDecoder(strings.NewReader(string(orEmpty(call.Args))))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return &rpcError{Code: rawjson.CodeParams, Message: fmt.Sprintf("arguments of %s: %s", call.Name, strings.TrimPrefix(err.Error(), "json: "))}
	}
	return nil
}

func (p *Proxy) callByName(ctx context.Context, who client, call rawjson.Call) reply {
	var name string
	var fields [2][]byte
	if err := rawjson.Fields(orEmpty(call.Args), []string{"tool", "args"}, fields[:]); err != nil {
		return reply{err: &rpcError{Code: rawjson.CodeParams, Message: "arguments of portero/call: " + err.Error()}}
	}
	if fields[0] == nil || json.Unmarshal(fields[0], &name) != nil || name == "" {
		return refused(rawjson.CodeParams, `portero/call needs "tool", the name of the tool to call`)
	}
	if fields[1] != nil && fields[1][0] != '{' {
		return refused(rawjson.CodeParams, `portero/call: "args" must be an object`)
	}
	// The same params as if the tool had been called by its own name.
	params := append([]byte(`{"name":`), rawjson.Quote(nil, name)...)
	if fields[1] != nil {
		params = append(append(params, `,"arguments":`...), fields[1]...)
	}
	if call.Meta != nil {
		params = append(append(params, `,"_meta":`...), call.Meta...)
	}
	params = append(params, '}')
	if own := ownName(name); own == "call" {
		return refused(rawjson.CodeParams, "portero/call cannot call itself")
	}
	return p.callTool(ctx, who, params)
}

func (p *Proxy) searchTools(ctx context.Context, who client, call rawjson.Call) reply {
	in := struct {
		Query    string `json:"query"`
		Category string `json:"category"`
		Limit    int    `json:"limit"`
		Schemas  string `json:"schemas"`
	}{Limit: 10, Schemas: "top"}
	if err := read(call, &in); err != nil {
		return reply{err: err}
	}
	withSchemas, ok := map[string]int{"top": 3, "all": 100, "none": 0}[in.Schemas]
	if !ok || in.Limit < 1 || in.Limit > 100 {
		return refused(rawjson.CodeParams, `portero/search_tools: "limit" is 1 to 100, "schemas" is "top", "all" or "none"`)
	}
	p.settledSoon(ctx)
	type found struct {
		Name        json.RawMessage `json:"name"`
		Description json.RawMessage `json:"description,omitempty"`
		Decision    policy.Action   `json:"decision"`
		Schema      json.RawMessage `json:"inputSchema,omitempty"`
	}
	hits, _ := p.catalog.Search(in.Query, in.Category, in.Limit)
	tools := make([]found, 0, len(hits))
	for i, hit := range hits {
		def, err := p.shown(hit.Tool, hit.Tool.Name)
		if err != nil {
			continue
		}
		f := found{Decision: p.opt.Policy.Decide(hit.Tool.Name).Action}
		f.Name, _ = rawjson.Get(def, "name")
		f.Description, _ = rawjson.Get(def, "description")
		if i < withSchemas {
			f.Schema, _ = rawjson.Get(def, "inputSchema")
		}
		tools = append(tools, f)
	}
	return p.exactly(map[string]any{"count": len(tools), "tools": tools})
}

// status is a task as portero/check_task and portero/list_tasks tell of it.
type status struct {
	TaskID    string `json:"task_id"`
	ToolName  string `json:"toolName"`
	Status    string `json:"status"`
	Code      string `json:"code"`
	Queued    bool   `json:"queued,omitempty"`
	CreatedAt string `json:"createdAt"`
	UpdatedAt string `json:"updatedAt"`
	DecidedBy string `json:"decidedBy,omitempty"`
	Message   string `json:"message"`
}

func (p *Proxy) status(t journal.Task) status {
	const layout = "2006-01-02T15:04:05Z"
	return status{TaskID: t.ID, ToolName: t.Tool, Status: t.State.Status(), Code: t.Code, Queued: t.State == task.Queued,
		CreatedAt: t.Created.UTC().Format(layout), UpdatedAt: t.Updated.UTC().Format(layout), DecidedBy: t.By, Message: p.explain(t)}
}

func (p *Proxy) checkTask(ctx context.Context, who client, call rawjson.Call) reply {
	var in struct {
		TaskID string  `json:"task_id"`
		Wait   float64 `json:"wait_seconds"`
	}
	if err := read(call, &in); err != nil {
		return reply{err: err}
	}
	if in.Wait < 0 || in.Wait > 50 {
		return refused(rawjson.CodeParams, `portero/check_task: "wait_seconds" is 0 to 50`)
	}
	t, r, ok := p.task(ctx, in.TaskID)
	if !ok {
		return r
	}
	if was := t.State.Status(); !t.State.Ended() && in.Wait > 0 {
		wait := time.Duration(in.Wait * float64(time.Second))
		t = p.await(ctx, t, wait, func(t journal.Task) bool {
			// Approved and executing pass quickly: whoever waits wants the end.
			return t.State.Ended() || was == "pending-approval" && t.State == task.Approved && (p.link == nil || !p.link.Up())
		})
	}
	if len(t.Result) > 0 {
		if err := p.gate(t.Result, mask.Result); err != nil {
			return refused(codeWithheld, "the result was %v", err)
		}
		return reply{result: t.Result}
	}
	failed := t.State == task.Denied || t.State == task.Expired || t.State == task.Failed || t.State == task.Unknown
	return p.answer(p.status(t), failed)
}

// task finds a task of this machine; ok is false when the reply says why not.
func (p *Proxy) task(ctx context.Context, id string) (journal.Task, reply, bool) {
	t, err := p.journal.Get(ctx, id)
	if errors.Is(err, journal.ErrNoTask) {
		return t, p.answer(map[string]string{"error": "Task not found", "task_id": clip(id, 100)}, true), false
	} else if err != nil {
		return t, refused(codeRefused, "the task cannot be read: %v", err), false
	}
	return t, reply{}, true
}

func (p *Proxy) listTasks(ctx context.Context, who client, call rawjson.Call) reply {
	in := struct {
		Status string `json:"status"`
		Limit  int    `json:"limit"`
	}{Limit: 20}
	if err := read(call, &in); err != nil {
		return reply{err: err}
	}
	if in.Limit < 1 || in.Limit > 100 {
		return refused(rawjson.CodeParams, `portero/list_tasks: "limit" is 1 to 100`)
	}
	tasks, err := p.journal.List(ctx, in.Status, in.Limit)
	if err != nil {
		return refused(codeRefused, "the tasks cannot be read: %v", err)
	}
	list := make([]status, len(tasks))
	for i, t := range tasks {
		list[i] = p.status(t)
	}
	return p.answer(map[string]any{"count": len(list), "tasks": list}, false)
}

func (p *Proxy) cancelTask(ctx context.Context, who client, call rawjson.Call) reply {
	var in struct {
		TaskID string `json:"task_id"`
	}
	if err := read(call, &in); err != nil {
		return reply{err: err}
	}
	t, r, ok := p.task(ctx, in.TaskID)
	if !ok {
		return r
	}
	t, err := p.journal.Cancel(ctx, t.ID)
	var state *task.StateError
	if err != nil && !errors.As(err, &state) {
		return refused(codeRefused, "the task cannot be withdrawn: %v", err)
	}
	return p.answer(p.status(t), t.State != task.Cancelled)
}
