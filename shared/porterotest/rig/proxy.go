package rig

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Proxy is a running portero-stdio with this test as its client, which speaks
// raw JSON lines.
type Proxy struct {
	*process
	stdin   io.WriteCloser
	drained chan struct{} // closed at the end of stdout

	mu      sync.Mutex
	next    int
	waiting map[string]chan Message
	others  []Message // notifications, and answers nobody waits for
	lines   []string
}

// Message is one line from the proxy.
type Message struct {
	Raw    string          `json:"-"`
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	} `json:"error"`
}

// StartProxy starts portero-stdio without a handshake.
func (w *World) StartProxy(args ...string) *Proxy {
	w.T.Helper()
	cmd := exec.Command(Bin("portero-stdio"), append([]string{"--log-level", "debug"}, args...)...)
	cmd.Env = w.environ()
	cmd.Dir = w.Dir
	stdin, err := cmd.StdinPipe()
	if err != nil {
		w.T.Fatal(err)
	}
	// A pipe of our own: cmd's would be closed at the end of the process, with
	// what has not been read yet.
	stdout, theirs, err := os.Pipe()
	if err != nil {
		w.T.Fatal(err)
	}
	cmd.Stdout = theirs
	p := &Proxy{stdin: stdin, waiting: map[string]chan Message{}, drained: make(chan struct{})}
	p.process = w.start("portero-stdio", cmd)
	theirs.Close()
	go p.read(stdout)
	return p
}

// Wait waits for the end of the process and of its output, and returns the exit
// code.
func (p *Proxy) Wait() int {
	p.t.Helper()
	code := p.process.Wait()
	select {
	case <-p.drained:
	case <-time.After(Patience):
		p.t.Fatal("stdout of portero-stdio is still open after its end")
	}
	return code
}

// Proxy starts portero-stdio and initializes a session of revision 2025-11-25.
func (w *World) Proxy(args ...string) *Proxy {
	w.T.Helper()
	p := w.StartProxy(args...)
	p.Must("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"rig","version":"1"}}`)
	p.Send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return p
}

func (p *Proxy) read(stdout io.ReadCloser) {
	defer close(p.drained)
	defer stdout.Close()
	r := bufio.NewReader(stdout)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		m := Message{Raw: line[:len(line)-1]}
		json.Unmarshal([]byte(line), &m)
		p.mu.Lock()
		p.lines = append(p.lines, m.Raw)
		c, ok := p.waiting[string(m.ID)]
		if ok && m.Method == "" {
			delete(p.waiting, string(m.ID))
			c <- m
		} else {
			p.others = append(p.others, m)
		}
		p.mu.Unlock()
	}
}

// Send writes one raw line.
func (p *Proxy) Send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatalf("write to portero-stdio: %v\n%s", err, p.Stderr())
	}
}

// CloseStdin ends the session as a client does that goes away.
func (p *Proxy) CloseStdin() { p.stdin.Close() }

// Go sends a request and returns where its answer will arrive.
func (p *Proxy) Go(method, params string) (id string, answer <-chan Message) {
	p.t.Helper()
	p.mu.Lock()
	p.next++
	id = fmt.Sprint(p.next)
	c := make(chan Message, 1)
	p.waiting[id] = c
	p.mu.Unlock()
	p.Send(`{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":` + params + `}`)
	return id, c
}

// Expect registers interest in the answer to a request with a raw id that is
// sent by Send.
func (p *Proxy) Expect(id string) <-chan Message {
	c := make(chan Message, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[id] = c
	return c
}

// Get waits for an answer.
func (p *Proxy) Get(answer <-chan Message) Message {
	p.t.Helper()
	select {
	case m := <-answer:
		return m
	case <-p.done:
		p.t.Fatalf("portero-stdio ended:\n%s", p.Stderr())
	case <-time.After(Patience):
		p.t.Fatalf("no answer within %v", Patience)
	}
	return Message{}
}

// Do sends a request and waits for its answer.
func (p *Proxy) Do(method, params string) Message {
	p.t.Helper()
	_, answer := p.Go(method, params)
	return p.Get(answer)
}

// Must is Do for a request that must succeed; it returns the raw result.
func (p *Proxy) Must(method, params string) string {
	p.t.Helper()
	m := p.Do(method, params)
	if m.Error != nil || m.Result == nil {
		p.t.Fatalf("%s %.300s was answered %.1000s", method, params, m.Raw)
	}
	return string(m.Result)
}

// Call calls a tool with raw arguments.
func (p *Proxy) Call(tool, args string) Message {
	p.t.Helper()
	return p.Do("tools/call", `{"name":"`+tool+`","arguments":`+args+`}`)
}

// Task is what Portero's own tools say of a task.
type Task struct {
	ID      string `json:"task_id"`
	Asked   string `json:"taskId"`
	Status  string `json:"status"`
	Code    string `json:"code"`
	Queued  bool   `json:"queued"`
	Message string `json:"message"`
	By      string `json:"decidedBy"`
}

// Ask calls a tool that needs approval and returns its pending answer.
func (p *Proxy) Ask(tool, args string) Task {
	p.t.Helper()
	m := p.Call(tool, args)
	var r struct {
		Task Task `json:"structuredContent"`
	}
	if m.Error != nil || json.Unmarshal(m.Result, &r) != nil || r.Task.Status != "pending-approval" || r.Task.Asked == "" {
		p.t.Fatalf("%s is not waiting for approval: %s", tool, m.Raw)
	}
	r.Task.ID = r.Task.Asked
	return r.Task
}

// Check asks for a task. Once it has completed, result is the tool's own
// result and the task is empty.
func (p *Proxy) Check(id string, seconds int) (task Task, result string) {
	p.t.Helper()
	result = p.Must("tools/call", fmt.Sprintf(`{"name":"portero/check_task","arguments":{"task_id":%q,"wait_seconds":%d}}`, id, seconds))
	var r struct {
		Task Task `json:"structuredContent"`
	}
	json.Unmarshal([]byte(result), &r)
	if r.Task.ID == "" {
		return Task{}, result
	}
	return r.Task, result
}

// Await checks a task until it has a status; "completed" means that the tool's
// own result is there. It returns the last answer.
func (p *Proxy) Await(id, status string) string {
	p.t.Helper()
	var result string
	Eventually(p.t, "task "+id+" is "+status, func() bool {
		var task Task
		task, result = p.Check(id, 0)
		return task.Status == status || status == "completed" && task.ID == ""
	})
	return result
}

// Notifications returns what arrived unasked, of one method.
func (p *Proxy) Notifications(method string) []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Message
	for _, m := range p.others {
		if m.Method == method {
			all = append(all, m)
		}
	}
	return all
}

// Output is every line that the proxy wrote to stdout.
func (p *Proxy) Output() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}
