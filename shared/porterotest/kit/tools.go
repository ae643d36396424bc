package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// arguments are those of all tools together; echo alone looks at the raw text.
type arguments struct {
	Path       string          `json:"path"`
	Line       string          `json:"line"`
	BeforeFile string          `json:"before_file"`
	WaitFile   string          `json:"wait_file"`
	Code       int             `json:"code"`
	Message    string          `json:"message"`
	Data       json.RawMessage `json:"data"`
	MS         int             `json:"ms"`
	Bytes      int             `json:"bytes"`
	N          int             `json:"n"`
	Level      string          `json:"level"`
	Lines      []string        `json:"lines"`
	Silent     bool            `json:"silent"`
	Method     string          `json:"method"`
	Params     json.RawMessage `json:"params"`
}

// call is one tools/call while it runs.
type call struct {
	*server
	id   json.RawMessage
	name string
	raw  json.RawMessage // the arguments as they came
	args arguments
	// token is the raw progressToken, nil without one.
	token json.RawMessage
	stop  <-chan struct{} // closed when the client cancels
}

// tool is one tool: what it tells of itself, and what it does. do returns the
// result, or "" when it has answered itself or must not answer.
type tool struct {
	name, desc, schema string
	do                 func(*call) string
}

var tools []tool

// Filled at start: the functions mention the list.
func init() {
	tools = []tool{
		{"echo", "", ``, (*call).echo},
		{"append", "Appends a line to a file: proves how often a call ran.",
			`"path":{"type":"string"},"line":{"type":"string"},` +
				`"before_file":{"type":"string","description":"wait until this file exists before writing"},` +
				`"wait_file":{"type":"string","description":"write, then wait until this file exists before answering"}`, (*call).append},
		{"fail", "Answers with a JSON-RPC error.", `"code":{"type":"integer"},"message":{"type":"string"},"data":{}`, (*call).error},
		{"toolerror", "Answers with isError.", `"message":{"type":"string"}`, (*call).toolError},
		{"slow", "Answers after a while, unless cancelled.", `"ms":{"type":"integer"}`, (*call).slow},
		{"big", "Answers with a text of that size.", `"bytes":{"type":"integer"}`, (*call).big},
		{"progress", "Sends progress, then answers.", `"n":{"type":"integer"}`, (*call).progress},
		{"log", "Sends a log message, then answers.", `"level":{"type":"string"},"data":{}`, (*call).log},
		{"crash", "Ends the process instead of answering.", `"code":{"type":"integer"},"message":{"type":"string"}`, (*call).crash},
		{"close", "Closes stdout and lives on.", ``, (*call).close},
		{"junk", "Writes what is no JSON-RPC on stdout, then answers.", `"n":{"type":"integer"}`, (*call).junk},
		{"raw", "Writes lines to stdout as given, $ID standing for the request's id; silent: and no answer.",
			`"lines":{"type":"array","items":{"type":"string"}},"silent":{"type":"boolean"}`, (*call).rawLines},
		{"stderr", "Writes lines on stderr, then answers.", `"lines":{"type":"array","items":{"type":"string"}},"n":{"type":"integer"}`, (*call).stderr},
		{"ask", "Sends a request to the client and returns what it answered.", `"method":{"type":"string"},"params":{"type":"object"}`, (*call).ask},
		{"env", "Returns environment, arguments and working directory.", ``, (*call).env},
		{"notool", "Is listed, but a call to it fails as unknown.", ``, (*call).unknown},
	}
}

func (s *server) call(m message, stop <-chan struct{}) {
	c := &call{server: s, id: m.ID, stop: stop}
	var p struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
		Meta      struct {
			ProgressToken json.RawMessage `json:"progressToken"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(m.Params, &p); err != nil {
		s.fail(m.ID, -32602, err.Error(), nil)
		return
	}
	c.name, c.raw, c.token = p.Name, p.Arguments, p.Meta.ProgressToken
	if c.raw == nil {
		c.raw = json.RawMessage(`{}`)
	}
	do := (*call).unknown
	for _, t := range tools {
		if t.name == p.Name {
			do = t.do
		}
	}
	if s.defined(p.Name) || p.Name == "late" {
		do = (*call).echo
	} else if err := json.Unmarshal(c.raw, &c.args); err != nil && p.Name != "echo" {
		s.fail(m.ID, -32602, err.Error(), nil)
		return
	}
	result := do(c)
	s.mu.Lock()
	delete(s.cancelled, string(m.ID))
	announce := s.opt.listChanged && !s.late
	if announce {
		s.late = true
	}
	s.mu.Unlock()
	if result != "" {
		s.answer(m.ID, result)
	}
	if announce {
		s.notify("notifications/tools/list_changed", `{}`)
	}
}

// text is a result with one text block.
func text(t string) string {
	return `{"content":[{"type":"text","text":` + quote(t) + `}]}`
}

func (c *call) echo() string {
	return `{"content":[{"type":"text","text":` + quote(string(c.raw)) + `}],"structuredContent":{"args":` + string(c.raw) + `}}`
}

func (c *call) append() string {
	c.await(c.args.BeforeFile)
	f, err := os.OpenFile(c.args.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(c.args.Line + "\n")
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		c.fail(c.id, -32000, err.Error(), nil)
		return ""
	}
	c.await(c.args.WaitFile)
	return text("appended")
}

// await returns once the file exists; "" is no file.
func (c *call) await(file string) {
	for file != "" {
		if _, err := os.Stat(file); err == nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (c *call) error() string {
	if c.args.Code == 0 {
		c.args.Code = -32000
	}
	c.fail(c.id, c.args.Code, c.args.Message, c.args.Data)
	return ""
}

func (c *call) toolError() string {
	return strings.TrimSuffix(text(c.args.Message), "}") + `,"isError":true}`
}

func (c *call) slow() string {
	select {
	case <-time.After(time.Duration(c.args.MS) * time.Millisecond):
		return text("done")
	case <-c.stop:
		return "" // the specification wants no answer to what was cancelled
	}
}

func (c *call) big() string {
	return text(strings.Repeat("x", max(0, c.args.Bytes)))
}

func (c *call) progress() string {
	if c.token != nil {
		for i := range c.args.N {
			c.notify("notifications/progress", fmt.Sprintf(`{"progressToken":%s,"progress":%d,"total":%d}`, c.token, i+1, c.args.N))
		}
	}
	return text("done")
}

func (c *call) log() string {
	level, data := c.args.Level, string(c.args.Data)
	if level == "" {
		level = "info"
	}
	if data == "" {
		data = "null"
	}
	c.notify("notifications/message", fmt.Sprintf(`{"level":%s,"logger":"kit","data":%s}`, quote(level), data))
	return text("logged")
}

func (c *call) crash() string {
	if c.args.Message != "" {
		fmt.Fprintln(c.errw, c.args.Message)
	}
	os.Exit(c.args.Code)
	return ""
}

func (c *call) close() string {
	c.write.Lock()
	defer c.write.Unlock()
	os.Stdout.Close()
	forever() // nothing can be written any more
	return ""
}

func (c *call) junk() string {
	for range max(1, c.args.N) {
		c.print("Loading configuration ...\n\n\r\n\xff\xfe\x00\nnull\n[1,2]\n{\"jsonrpc\":\"2.0\"\n{}\n\"text\"\n")
	}
	// What follows is well-formed, but dressed as a careless server does it.
	c.print("\xef\xbb\xbf" + `{"jsonrpc":"2.0","id":` + string(c.id) + `,"result":` + text("after junk") + "}\r\n")
	return ""
}

func (c *call) rawLines() string {
	for _, l := range c.args.Lines {
		c.print(strings.ReplaceAll(l, "$ID", string(c.id)) + "\n")
	}
	if c.args.Silent {
		return ""
	}
	return text("written")
}

func (c *call) stderr() string {
	for _, l := range c.args.Lines {
		fmt.Fprintln(c.errw, l)
	}
	for i := range c.args.N {
		fmt.Fprintf(c.errw, "line %d\n", i+1)
	}
	return text("written")
}

func (c *call) ask() string {
	ch := make(chan message, 1)
	c.mu.Lock()
	c.asked++
	id := fmt.Sprintf(`"ask-%d"`, c.asked)
	c.answers[id] = ch
	c.mu.Unlock()
	params := string(c.args.Params)
	if params == "" {
		params = "{}"
	}
	c.print(`{"jsonrpc":"2.0","id":` + id + `,"method":` + quote(c.args.Method) + `,"params":` + params + "}\n")
	m := <-ch
	answer := `{"result":` + string(m.Result) + `}`
	if m.Error != nil {
		answer = `{"error":` + string(m.Error) + `}`
	}
	return `{"content":[{"type":"text","text":` + quote(answer) + `}],"structuredContent":` + answer + `}`
}

func (c *call) env() string {
	dir, _ := os.Getwd()
	about, err := json.Marshal(map[string]any{"env": os.Environ(), "args": os.Args[1:], "dir": dir, "pid": os.Getpid(), "version": c.opt.versionTag})
	if err != nil {
		c.fail(c.id, -32000, err.Error(), nil)
		return ""
	}
	return `{"content":[{"type":"text","text":` + quote(string(about)) + `}],"structuredContent":` + string(about) + `}`
}

func (c *call) unknown() string {
	c.fail(c.id, -32602, "unknown tool: "+c.name, nil)
	return ""
}
