package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"portero/proxy/catalog"
	"portero/proxy/mask"
	"portero/shared/rawjson"
)

// Limits of the client's side.
const (
	maxInFlight = 256                    // calls at one time
	lastWords   = 100 * time.Millisecond // what is being written at the end may take this long
	largeLine   = 4 << 20                // a message from here on leaves memory behind that is given back,
	calmAfter   = time.Second            // once there has been none for this long
)

// front is the client's connection. tools/list and tools/call are answered
// here, from raw bytes to raw bytes; the session itself (initialize,
// server/discover, ping, subscriptions) is the SDK's server, which reads and
// writes through front as its transport.
type front struct {
	p   *Proxy
	sdk *mcp.Server

	outMu sync.Mutex
	out   io.Writer
	gone  chan struct{} // closed when out takes no more
	once  sync.Once

	toSDK chan jsonrpc.Message
	calm  *time.Timer // gives memory back

	mu      sync.Mutex
	cancels map[string]context.CancelFunc // calls under way, by raw id
	ids     map[jsonrpc.ID]asked          // requests the SDK is answering
	client  string                        // clientInfo.name of initialize
	calls   sync.WaitGroup                // the calls under way
	session sync.WaitGroup                // requests the SDK is about to answer
}

func newFront(p *Proxy, out io.Writer) *front {
	f := &front{p: p, out: out, gone: make(chan struct{}), toSDK: make(chan jsonrpc.Message), cancels: map[string]context.CancelFunc{}, ids: map[jsonrpc.ID]asked{},
		calm: time.AfterFunc(calmAfter, debug.FreeOSMemory)}
	f.sdk = mcp.NewServer(&mcp.Implementation{Name: "portero", Title: "Portero", Version: p.opt.Version}, &mcp.ServerOptions{
		Instructions: p.opt.Instructions,
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{ListChanged: true}},
		// The SDK's log and error texts may quote parameters.
		Logger: slog.New(slog.DiscardHandler),
	})
	return f
}

// serve runs the session until in ends or ctx does, and waits for the calls
// under way, which end with it.
func (f *front) serve(ctx context.Context, in io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan error, 1)
	go func() {
		// Reading stdin cannot be interrupted; this goroutine ends with the
		// process when ctx ended first.
		err := f.read(ctx, in)
		if errors.Is(err, io.EOF) {
			f.drain(ctx)
		}
		read <- err
		cancel()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.sdk.Run(ctx, &tap{f: f, closed: make(chan struct{})}); err != nil && ctx.Err() == nil {
			f.p.log.Error("session ended", "err", err)
			cancel()
		}
	}()
	var err error
	select {
	case err = <-read:
	case <-f.gone: // as if stdin had ended
	case <-ctx.Done():
		select {
		case err = <-read:
		default:
			err = ctx.Err()
		}
	}
	cancel()
	if out, ok := f.out.(interface{ SetWriteDeadline(time.Time) error }); ok {
		// A client that has stopped reading must not keep the process. Files
		// and terminals know no deadline and need none.
		_ = out.SetWriteDeadline(time.Now().Add(lastWords))
	}
	<-done
	f.calls.Wait()
	f.calm.Stop()
	return err
}

// drainWithin is how long calls under way may go on when stdin has ended.
const drainWithin = 10 * time.Second

// drain lets what was asked before the end of stdin be answered: a script that
// pipes its requests in waits for that.
func (f *front) drain(ctx context.Context) {
	answered := make(chan struct{})
	go func() {
		f.session.Wait()
		f.calls.Wait()
		close(answered)
	}()
	limit := time.NewTimer(drainWithin)
	defer limit.Stop()
	select {
	case <-answered:
	case <-limit.C:
	case <-f.gone:
	case <-ctx.Done():
	}
}

// passed is told the size of every message. The collector alone would keep the
// memory of a large one until as much has been used again, which in a process
// that is idle most of the time means for minutes.
func (f *front) passed(size int) {
	if size >= largeLine {
		f.calm.Reset(calmAfter)
	}
}

func (f *front) read(ctx context.Context, in io.Reader) error {
	lines := newLines(in, maxMessage)
	for {
		line, err := lines.next()
		var big *tooLarge
		switch {
		case errors.As(err, &big):
			f.passed(big.limit)
			f.refuse(big.id, rawjson.CodeInvalid, big.Error())
		case err != nil:
			return err
		case len(bytes.TrimSpace(line)) > 0:
			f.passed(len(line))
			f.dispatch(ctx, append([]byte(nil), line...))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// dispatch decides who answers a message. line is owned by it.
func (f *front) dispatch(ctx context.Context, line []byte) {
	m, err := rawjson.ParseEnvelope(line)
	if err != nil {
		code := rawjson.CodeInvalid
		var bad *rawjson.Error
		if errors.As(err, &bad) {
			code = bad.Code
		}
		f.refuse(m.ID, code, err.Error())
		return
	}
	switch {
	case m.IsRequest() && (m.Method == "tools/call" || m.Method == "tools/list"):
		f.start(ctx, m)
	case m.Method == "notifications/cancelled" && f.cancel(m.Params):
	default:
		f.pass(ctx, m)
	}
}

// start answers a request on a goroutine of its own.
func (f *front) start(ctx context.Context, m rawjson.Envelope) {
	id := string(m.ID)
	ctx, cancel := context.WithCancel(ctx)
	f.mu.Lock()
	_, twice := f.cancels[id]
	full := len(f.cancels) >= maxInFlight
	if !twice && !full {
		f.cancels[id] = cancel
		f.calls.Add(1)
	}
	f.mu.Unlock()
	switch {
	case twice:
		cancel()
		f.refuse(m.ID, rawjson.CodeInvalid, "a request with this id is still under way")
	case full:
		cancel()
		f.refuse(m.ID, codeRefused, "too many calls at once: wait for some of them to end")
	default:
		go func() {
			defer f.calls.Done()
			defer cancel()
			f.answer(ctx, m)
		}()
	}
}

func (f *front) answer(ctx context.Context, m rawjson.Envelope) {
	who := f.who(m.Params)
	r := reply{err: &rpcError{Code: -32603, Message: "internal error; see the log"}}
	func() {
		defer func() {
			// One call's bug must not end the session of all.
			if v := recover(); v != nil {
				f.p.log.Error("a call panicked", "method", m.Method)
			}
		}()
		switch {
		case who.modern && who.version != modernVersion:
			r = reply{err: unsupported(who.version)}
		case m.Method == "tools/list":
			r = f.p.listTools(ctx, who, m.Params)
		default:
			r = f.p.callTool(ctx, who, m.Params)
		}
	}()
	f.mu.Lock()
	_, wanted := f.cancels[string(m.ID)]
	delete(f.cancels, string(m.ID))
	f.mu.Unlock()
	if wanted && ctx.Err() == nil {
		f.reply(m.ID, who, r)
	}
}

// cancel ends a call of ours; false when the id is not one.
func (f *front) cancel(params []byte) bool {
	id, ok := rawjson.Get(params, "requestId")
	if !ok {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	cancel, ok := f.cancels[string(id)]
	if ok {
		delete(f.cancels, string(id))
		cancel()
	}
	return ok
}

// who reads from a request what its sender is: a modern client says so in each
// request, an older one has said it in initialize.
func (f *front) who(params []byte) client {
	f.mu.Lock()
	name := f.client
	f.mu.Unlock()
	var c client
	if meta, ok := rawjson.Get(params, "_meta"); ok {
		var m struct {
			Version string             `json:"io.modelcontextprotocol/protocolVersion"`
			Info    mcp.Implementation `json:"io.modelcontextprotocol/clientInfo"`
		}
		if json.Unmarshal(meta, &m) == nil && m.Version >= modernVersion {
			c.modern, c.version = true, m.Version
			name = m.Info.Name
		}
	}
	c.separator = f.p.opt.Separator
	if c.separator == "auto" {
		c.separator = separatorFor(name)
	}
	return c
}

// modernVersion is the first protocol revision without sessions, and so far
// the only one.
const modernVersion = "2026-07-28"

func unsupported(version string) error {
	return &rpcError{Code: mcp.CodeUnsupportedProtocolVersion, Message: "unsupported protocol version",
		Data: map[string]any{"supported": []string{modernVersion}, "requested": clip(version, 100)}}
}

// slashless are clients that rewrite or refuse "/" in tool names.
var slashless = []string{"claude", "cursor", "visual studio code", "vscode", "copilot", "codex", "gemini", "windsurf", "cline", "zed"}

func separatorFor(clientName string) string {
	name := strings.ToLower(clientName)
	for _, s := range slashless {
		if strings.Contains(name, s) {
			return catalog.Underscore
		}
	}
	return catalog.Slash
}

func (f *front) refuse(id []byte, code int, msg string) {
	if id == nil {
		id = []byte("null")
	}
	f.reply(id, client{}, refused(code, "%s", msg))
}

// reply writes the response to one request.
func (f *front) reply(id []byte, who client, r reply) {
	line := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	switch {
	case r.failed != nil:
		line = append(append(line, `,"error":`...), r.failed...)
	case r.err != nil:
		line = append(append(line, `,"error":`...), f.p.ownError(r.err)...)
	default:
		line = append(line, `,"result":`...)
		line = append(line, dated(r.result, who)...)
	}
	f.write(append(line, '}'))
}

// ownError is the raw error object for an error of Portero's. Its text may
// hold names and reasons that came from anywhere.
func (p *Proxy) ownError(err error) []byte {
	var own *rpcError
	if !errors.As(err, &own) {
		own = &rpcError{Code: codeServer, Message: err.Error()}
	}
	raw, err := p.outward(marshal(own), mask.Result, "")
	if err != nil {
		return marshal(&rpcError{Code: codeWithheld, Message: "the error was " + err.Error()})
	}
	return raw
}

// dated marks a result as complete for clients whose revision wants to be told.
func dated(result []byte, who client) []byte {
	if !who.modern {
		return result
	}
	if _, ok := rawjson.Get(result, "resultType"); ok {
		return result
	}
	return rawjson.Set(result, "resultType", []byte(`"complete"`))
}

// write sends one message. Messages hold no newline: they are JSON as servers
// sent it, line by line, or as Portero wrote it.
func (f *front) write(line []byte) {
	f.outMu.Lock()
	defer f.outMu.Unlock()
	if _, err := f.out.Write(append(line, '\n')); err != nil {
		f.once.Do(func() {
			f.p.log.Warn("write to the client", "err", err)
			close(f.gone)
		})
	}
	f.passed(len(line))
}

// listChanged has the SDK tell the client that the tools changed, in the way
// that its protocol revision wants. The tool is never listed or called: lists
// and calls do not reach the SDK.
func (f *front) listChanged() {
	f.sdk.AddTool(&mcp.Tool{Name: "changed", InputSchema: json.RawMessage(`{"type":"object"}`)},
		func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return nil, errors.New("not a tool")
		})
}
