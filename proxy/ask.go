package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portero/proxy/bind"
	"portero/proxy/catalog"
	"portero/proxy/journal"
	"portero/proxy/mask"
	"portero/proxy/policy"
	"portero/shared/task"
	"portero/shared/wire"
)

// ackWithin is how long a new task waits for the relay's acknowledgement
// before the client is told that it is queued.
const ackWithin = 500 * time.Millisecond

// ask turns a call that needs a human into a task. The client gets its handle
// only after the task is on disk.
func (p *Proxy) ask(ctx context.Context, tool catalog.Tool, d policy.Decision, args []byte, alike []string) reply {
	fake, err := p.fakeForm(args)
	if err == nil && p.opt.Table.MaskText(tool.Name) != tool.Name {
		err = errors.New("its name holds a real value, which the approver must not see: decide it by [policy.tools]")
	}
	if err != nil {
		return refused(codeRefused, "%s needs approval, and %v", tool.Name, err)
	}
	scope := p.servers[tool.Child].Scope
	t, err := p.journal.Create(ctx, journal.Ask{Tool: tool.Name, Scope: scope, Args: fake, Rule: d.Rule, Warn: lookAlikes(alike), TTL: p.opt.ExpireAfter,
		Bind: func(id string, salt []byte) string { return p.binding(id, salt, tool, d, fake) }})
	if errors.Is(err, journal.ErrTooMany) {
		return refused(codeRefused, "%s needs approval, but %v", tool.Name, err)
	} else if err != nil {
		p.log.Error("record task", "tool", tool.Name, "err", err)
		return refused(codeRefused, "%s needs approval, but the request could not be recorded, so nothing was asked and nothing ran: %v. Free space in the state directory or make it writable.", tool.Name, err)
	}
	if p.link != nil && !p.link.Down() {
		t = p.await(ctx, t, ackWithin, func(t journal.Task) bool { return t.State != task.Queued })
	}
	return p.answer(pending{Status: t.State.Status(), TaskID: t.ID, ToolName: t.Tool, Code: t.Code, Queued: t.State == task.Queued, Message: p.explain(t)}, false)
}

// lookAlikes warns the approver of what reads like a fake value but is none, and
// so reaches the tool as it is.
func lookAlikes(alike []string) string {
	if len(alike) == 0 {
		return ""
	}
	const most = 5
	if n := len(alike) - most; n > 0 {
		alike = append(alike[:most:most], fmt.Sprintf("and %d more", n))
	}
	return clip("Not a known stand-in, sent as it is: "+strings.Join(alike, "; "), noteLimit)
}

// pending is the answer to a call that waits.
type pending struct {
	Status   string `json:"status"`
	TaskID   string `json:"taskId"`
	ToolName string `json:"toolName"`
	Code     string `json:"code"`
	Queued   bool   `json:"queued,omitempty"`
	Message  string `json:"message"`
}

// fakeForm returns the arguments as they may rest on disk, travel and be shown:
// the client's own bytes, unless the client itself wrote a real value. What
// does not come back as exactly the real arguments is refused: the approver
// would see something other than what runs. The real ones are those by rule,
// not by what this session remembers of spellings: the task may outlive it.
func (p *Proxy) fakeForm(args []byte) ([]byte, error) {
	fake := args
	real, _, err := p.opt.Table.Restore(args)
	if err != nil {
		return nil, fmt.Errorf("its arguments cannot be read: %w", err)
	}
	if _, leak := p.opt.Table.Leak(fake, mask.Payload); leak {
		if fake, _, err = p.opt.Table.Mask(args, mask.Payload); err != nil {
			return nil, fmt.Errorf("its arguments cannot be anonymized: %w", err)
		}
		if label, leak := p.opt.Table.Leak(fake, mask.Payload); leak {
			return nil, fmt.Errorf("its arguments hold the real value of the %s: write the fake value instead", label)
		}
	}
	back, _, err := p.opt.Table.Restore(fake)
	if err != nil || !bytes.Equal(back, real) {
		return nil, errors.New("its arguments hold a real value that cannot be kept in fake form: write the fake value instead")
	}
	if len(fake) > wire.MaxArgs {
		return nil, fmt.Errorf("its arguments have %d bytes, more than the %d that can be put before a human: send less at a time", len(fake), wire.MaxArgs)
	}
	return fake, nil
}

// binding is what an approval of this call is bound to, here and now.
func (p *Proxy) binding(id string, salt []byte, tool catalog.Tool, d policy.Decision, fake []byte) string {
	table := p.opt.Table.Digest(salt)
	// The rule without its place in the file: moving a line changes nothing.
	rule, _, _ := strings.Cut(d.Rule, " (")
	return bind.Digest(bind.Fields{Task: id, Journal: p.journal.ID(), Tool: tool.Name, Launch: p.servers[tool.Child].launch,
		Def: tool.Digest[:], Args: fake, Table: table[:], Rule: string(d.Action) + " " + rule, Scope: p.servers[tool.Child].Scope, Salt: salt})
}

// await looks at a task again after every change until done says so or d has
// passed, and returns it as it is then.
func (p *Proxy) await(ctx context.Context, t journal.Task, d time.Duration, done func(journal.Task) bool) journal.Task {
	changed, stop := p.journal.Watch()
	defer stop()
	limit := time.NewTimer(d)
	defer limit.Stop()
	// Another process of the machine may be the one that changes it.
	peek := time.NewTicker(250 * time.Millisecond)
	defer peek.Stop()
	for {
		now, err := p.journal.Get(ctx, t.ID)
		if err != nil {
			return t
		}
		if t = now; done(t) {
			return t
		}
		select {
		case <-changed:
		case <-peek.C:
		case <-limit.C:
			return t
		case <-ctx.Done():
			return t
		}
	}
}

// explain says in words how a task stands and what to do.
func (p *Proxy) explain(t journal.Task) string {
	again := fmt.Sprintf("Do not repeat the call; go on with other work and ask portero/check_task with task_id=%q later.", t.ID)
	reason := ""
	if t.Reason != "" {
		reason = " (" + t.Reason + ")"
	}
	switch t.State {
	case task.Queued:
		return "Approval is needed (code " + t.Code + "). " + p.unreachable() + " The request is kept on this machine and is sent as soon as the relay can be reached; nothing runs until a human approves. " + again
	case task.Pending:
		return "Waiting for a human to approve it, in Telegram or on the approval page (code " + t.Code + "). " + again
	case task.Approved, task.Claimed:
		if p.link == nil || !p.link.Up() {
			return "Approved; it runs as soon as the relay can be reached again. " + again
		}
		return "Approved; it is about to run. " + again
	case task.Executing:
		return "It is being run. " + again
	case task.Denied:
		return "Denied" + reason + ". Nothing ran. Do not retry; ask the user what to do instead."
	case task.Expired:
		return "It expired" + reason + ". Nothing ran. Make the call again if it is still wanted."
	case task.Cancelled:
		return "It was withdrawn" + reason + ". Nothing ran."
	case task.Failed:
		return "It failed" + reason + "."
	case task.Unknown:
		return "The outcome is unknown" + reason + ": it may have run. Do not retry; ask the user to check."
	}
	return "Completed."
}

// unreachable says why the relay does not know yet.
func (p *Proxy) unreachable() string {
	if p.link == nil {
		return "No relay is configured: the user can set [link] in portero.toml."
	}
	if problem := p.link.Problem(); problem != "" {
		return "The relay is not connected (" + problem + ")."
	}
	return "The relay has not acknowledged it yet."
}
