package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"portero/proxy/mask"
	"portero/shared/rawjson"
)

// pass hands a message to the SDK.
func (f *front) pass(ctx context.Context, m rawjson.Envelope) {
	if m.Method == "initialize" {
		f.meet(m.Params)
	}
	var msg jsonrpc.Message
	switch {
	case m.IsRequest():
		id, err := f.remember(m)
		if err != nil {
			f.refuse(m.ID, rawjson.CodeInvalid, err.Error())
			return
		}
		msg = &jsonrpc.Request{ID: id, Method: m.Method, Params: m.Params}
	case m.IsNotification():
		msg = &jsonrpc.Request{Method: m.Method, Params: m.Params}
	default:
		return // a response: the proxy asks the client nothing
	}
	select {
	case f.toSDK <- msg:
	case <-ctx.Done():
	}
}

// meet notes who initialize comes from.
func (f *front) meet(params []byte) {
	var init struct {
		ClientInfo mcp.Implementation `json:"clientInfo"`
	}
	if json.Unmarshal(params, &init) == nil {
		f.mu.Lock()
		f.client = init.ClientInfo.Name
		f.mu.Unlock()
	}
}

// asked is a request that the SDK is answering.
type asked struct {
	id   string // raw
	soon bool   // it is answered at once, not when the session ends
}

// remember keeps the exact spelling of an id, which the SDK's own type loses,
// until the SDK answers.
func (f *front) remember(m rawjson.Envelope) (jsonrpc.ID, error) {
	var v any
	if err := json.Unmarshal(m.ID, &v); err != nil {
		return jsonrpc.ID{}, errors.New("the id is a number out of range")
	}
	id, err := jsonrpc.MakeID(v)
	if err != nil {
		return id, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, twice := f.ids[id]; twice {
		return id, errors.New("a request with this id is still under way")
	}
	a := asked{string(m.ID), m.Method != "subscriptions/listen"}
	if a.soon {
		f.session.Add(1)
	}
	f.ids[id] = a
	return id, nil
}

// tap is the SDK server's transport: what front passes on, and back.
type tap struct {
	f      *front
	once   sync.Once
	closed chan struct{}
}

// Connect implements [mcp.Transport].
func (t *tap) Connect(context.Context) (mcp.Connection, error) { return t, nil }

// Read implements [mcp.Connection].
func (t *tap) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case m := <-t.f.toSDK:
		return m, nil
	case <-t.closed:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, io.EOF
	}
}

// Write implements [mcp.Connection].
func (t *tap) Write(_ context.Context, m jsonrpc.Message) error {
	line, err := jsonrpc.EncodeMessage(m)
	if err != nil {
		return err
	}
	if r, ok := m.(*jsonrpc.Response); ok {
		t.f.mu.Lock()
		request, known := t.f.ids[r.ID]
		delete(t.f.ids, r.ID)
		t.f.mu.Unlock()
		if request.soon {
			defer t.f.session.Done()
		}
		if known && r.Error != nil {
			t.f.reply([]byte(request.id), client{}, t.f.tidy(r.Error))
			return nil
		}
		if known {
			line = rawjson.Set(line, "id", []byte(request.id))
		}
	}
	t.f.write(line)
	return nil
}

// tidy makes an error of the SDK fit to be sent. Where params do not fit it
// quotes them whole, whatever they hold, and some of its errors have no code.
func (f *front) tidy(err error) reply {
	e := jsonrpc.Error{Message: err.Error()}
	var wire *jsonrpc.Error
	if errors.As(err, &wire) {
		e.Code, e.Data = wire.Code, wire.Data
	}
	if where, _, quoted := strings.Cut(e.Message, "unmarshaling "); quoted {
		e.Code, e.Message = rawjson.CodeParams, where+"they are not what the method takes"
	}
	if e.Code == 0 {
		e.Code = rawjson.CodeInvalid
	}
	failed, err := f.p.outward(marshal(&e), mask.Result, "")
	if err != nil {
		return refused(codeWithheld, "the error was %v", err)
	}
	return reply{failed: failed}
}

// Close implements [mcp.Connection].
func (t *tap) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

// SessionID implements [mcp.Connection].
func (t *tap) SessionID() string { return "" }
