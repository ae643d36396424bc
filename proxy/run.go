package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"portero/proxy/catalog"
	"portero/proxy/child"
	"portero/proxy/journal"
	"portero/proxy/link"
	"portero/proxy/policy"
	"portero/shared/task"
	"portero/shared/wire"
)

// Times of the executor.
const (
	lookEvery  = 2 * time.Second // for what other processes of the machine left
	startLimit = 30 * time.Second
	runLimit   = time.Hour
)

// execute runs approved tasks, its own and those of processes that are gone,
// until ctx ends. The tasks it has started are counted in p.runs.
func (p *Proxy) execute(ctx context.Context) {
	changed, stop := p.journal.Watch()
	defer stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	reap := true // settle first what a dead process left behind
	for {
		if reap {
			if err := p.journal.Reap(ctx); err != nil && ctx.Err() == nil {
				p.log.Error("settle tasks of processes that ended", "err", err)
			}
		}
		if p.link != nil && p.link.Up() {
			p.startApproved(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			reap = false
		case <-p.wake:
			reap = false
		case <-look.C:
			reap = true
		}
	}
}

// nudge has the executor look at once for what it could not start before.
func (p *Proxy) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Proxy) startApproved(ctx context.Context) {
	tasks, err := p.journal.Startable(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.log.Error("read approved tasks", "err", err)
		}
		return
	}
	for _, t := range tasks {
		mine := t.Session == p.journal.Proc() || t.Scope == "machine" && !p.journal.Alive(t.Session)
		held := t.State == task.Claimed && t.Holder != p.journal.Proc()
		if !mine || held || !p.canStart(t) || !p.take(t.ID) {
			continue
		}
		p.runs.Go(func() {
			defer p.drop(t.ID)
			p.run(ctx, t)
		})
	}
}

// canStart reports whether it makes sense to claim a task now: not while its
// server is down. A tool that is gone for good is found out after the claim.
func (p *Proxy) canStart(t journal.Task) bool {
	s := p.servers[p.catalog.Server(t.Tool)]
	return s == nil || s.child.Status().State == child.Ready
}

func (p *Proxy) take(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running[id] {
		return false
	}
	p.running[id] = true
	return true
}

func (p *Proxy) drop(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, id)
}

// run carries one approved task out. The order is what keeps the promises:
// claim, compare with what was shown, write the start, call, write the end.
func (p *Proxy) run(ctx context.Context, t journal.Task) {
	log := p.log.With("task", t.ID, "tool", t.Tool)
	grant, err := p.link.Claim(ctx, t.ID, t.Binding)
	if err != nil {
		var no *link.RefusedError
		if errors.As(err, &no) {
			log.Warn("claim refused", "err", err)
		}
		return // the relay's state will come, or the link will
	}
	granted := time.Now()
	tool, real, why, err := p.recheck(ctx, t)
	if err == nil && late(granted, grant) {
		why, err = task.Dead, errors.New("it took too long to start")
	}
	if err == nil {
		why = task.Withdrawn
		err = p.journal.Start(ctx, t.ID, grant.Claim)
		if err != nil && !errors.Is(err, journal.ErrVoid) {
			// Nothing is decided by a store that cannot write now: the claim
			// stays ours, and the next look tries again.
			log.Error("record the start of an approved call", "err", err)
			return
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return // the claim of a process that ends is given back by the next
		}
		log.Warn("approved call not started", "err", err)
		if err := p.journal.Void(ctx, t.ID, grant.Claim, why, p.opt.Table.MaskText(err.Error())); err != nil && !errors.Is(err, journal.ErrVoid) {
			log.Error("give claim back", "err", err)
		}
		return
	}
	p.finish(ctx, t, tool, real)
}

// late reports whether the grant's time to start is over by either clock: the
// monotonic one may stop while a laptop sleeps, the other may be set back.
func late(granted time.Time, g wire.Grant) bool {
	limit := time.Duration(g.StartMS) * time.Millisecond
	return time.Since(granted) > limit || time.Now().Round(0).Sub(granted.Round(0)) > limit
}

// recheck makes sure that what would run now is what was shown, and that policy
// still lets it: tool, arguments, replacements, rule and server are compared by
// the binding, recomputed from the journal's bytes.
func (p *Proxy) recheck(ctx context.Context, t journal.Task) (tool catalog.Tool, real []byte, why task.Why, err error) {
	ready, done := context.WithTimeout(ctx, startLimit)
	defer done()
	tool, err = p.find(ready, t.Tool)
	if err != nil || p.servers[tool.Child] == nil {
		return tool, nil, task.Binding, fmt.Errorf("the tool is no longer there, nothing ran: %w", err)
	}
	d := p.opt.Policy.Decide(tool.Name)
	if d.Action == policy.Deny {
		return tool, nil, task.Policy, fmt.Errorf("policy denies it by now: rule %s", d.Rule)
	}
	if p.binding(t.ID, t.Salt, tool, d, t.Args) != t.Binding {
		return tool, nil, task.Binding, errors.New("what would run is not what was approved: the tool's definition, its server, the replacements or the rule changed meanwhile; nothing ran; make the call again")
	}
	if real, _, err = p.opt.Table.Restore(t.Args); err != nil {
		return tool, nil, task.Binding, fmt.Errorf("read the recorded arguments: %w", err)
	}
	return tool, real, "", nil
}

// finish calls the server for a started task and records the end. Only here
// does work outlive ctx: what has been started must be written down.
func (p *Proxy) finish(ctx context.Context, t journal.Task, tool catalog.Tool, real []byte) {
	log := p.log.With("task", t.ID, "tool", t.Tool)
	record, done := context.WithTimeout(context.WithoutCancel(ctx), runLimit+time.Minute)
	defer done()
	call, stop := context.WithTimeout(ctx, runLimit)
	r := p.send(call, tool, taskParams(tool.Own, real))
	stop()
	outcome, result, note := p.settleCall(r)
	var err error
	if outcome == "" {
		err = p.journal.Lose(record, t.ID, note)
	} else {
		err = p.journal.Finish(record, t.ID, outcome, result, note)
	}
	if err != nil {
		// The start is on disk, so it will not run again; the next look at
		// the journal after this process finds it without an end: unknown.
		log.Error("record the end of a call", "err", err)
		return
	}
	log.Info("approved call ended", "outcome", outcome)
}

// settleCall says how a call ended: with no outcome when nobody can know.
func (p *Proxy) settleCall(r reply) (outcome wire.Outcome, result []byte, note string) {
	var gone *serverError
	var leak *leakError
	switch {
	case errors.As(r.err, &leak):
		// It ran; only its answer cannot be shown.
		a := p.answer(map[string]string{"error": "the call was made, but its answer was " + leak.Error()}, true)
		return wire.ToolError, a.result, "its answer was " + leak.Error()
	case errors.As(r.err, &gone) && !gone.sent:
		return wire.Unsent, nil, clip(gone.text, noteLimit) + "; nothing ran"
	case r.err != nil:
		return "", nil, clip(p.opt.Table.MaskText(r.err.Error()), noteLimit)
	case r.failed != nil:
		var e struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(r.failed, &e)
		return wire.RPCError, nil, clip(fmt.Sprintf("error %d: %s", e.Code, e.Message), noteLimit)
	}
	if isError(r.result) {
		return wire.ToolError, r.result, ""
	}
	return wire.OK, r.result, ""
}

// noteLimit bounds what the relay is told of an error, in bytes.
const noteLimit = 600

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

func isError(result []byte) bool {
	var r struct {
		IsError bool `json:"isError"`
	}
	return json.Unmarshal(result, &r) == nil && r.IsError
}
