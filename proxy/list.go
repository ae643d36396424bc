package proxy

import (
	"context"

	"portero/proxy/catalog"
	"portero/proxy/mask"
	"portero/proxy/policy"
	"portero/shared/rawjson"
)

// listTools answers tools/list: Portero's own tools, then every server's in
// configured order, each one's by name. The list is one page.
func (p *Proxy) listTools(ctx context.Context, who client, params []byte) reply {
	if cursor, ok := rawjson.Get(params, "cursor"); ok && string(cursor) != "null" {
		return refused(rawjson.CodeParams, "unknown cursor: the list of tools has one page")
	}
	p.settledSoon(ctx)
	if ctx.Err() != nil {
		return reply{err: ctx.Err()}
	}
	result := append([]byte(`{"tools":`), p.listing(who.separator)...)
	if who.modern {
		// Another client of the same server may be shown other names.
		result = append(result, `,"ttlMs":0,"cacheScope":"private"`...)
	}
	return reply{result: append(result, '}')}
}

// listing is the tools array for a separator, kept until the tools change.
func (p *Proxy) listing(separator string) []byte {
	// Made under the lock: a list of tools that change meanwhile must not be
	// kept.
	p.mu.Lock()
	defer p.mu.Unlock()
	if list, ok := p.listings[separator]; ok {
		return list
	}
	tools := p.catalog.All()
	list := []byte{'['}
	for _, own := range ownDefs {
		list = append(append(list, `{"name":`...), rawjson.Quote(nil, "portero"+separator+own.name)...)
		list = append(append(append(list, ','), own.rest...), `},`...)
	}
	list = list[:len(list)-1]
	for _, t := range tools {
		if def, err := p.shown(t, p.catalog.Listed(t, separator)); err == nil {
			list = append(append(list, ','), def...)
		}
	}
	list = append(list, ']')
	p.listings[separator] = list
	return list
}

// shown is a tool's definition as the client may see it. A definition that
// still holds a real value is withheld, and only that one.
func (p *Proxy) shown(t catalog.Tool, name string) ([]byte, error) {
	mayWait := p.opt.Policy.Decide(t.Name).Action == policy.RequireApproval
	def, err := p.outward(t.Definition(name, mayWait), mask.Tool, t.Child)
	if err != nil {
		p.log.Warn("tool not listed", "tool", p.opt.Table.MaskText(t.Name), "err", err)
	}
	return def, err
}
