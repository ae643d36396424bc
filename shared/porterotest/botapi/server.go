// Package botapi is a Telegram Bot API server for tests: the methods Portero
// uses, as strict as the real one, over HTTP on loopback, together with the
// people in the chats and the ways in which the real one fails.
//
// What is strict: the token, the chat (only those made with AddUser and
// AddChat exist), text lengths in UTF-16 units after entity parsing, HTML,
// button data, edits, callback queries, and the confirmation of updates by the
// offset of the next poll.
package botapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bot is the id and name of the bot itself.
const (
	BotID   = 7000
	BotName = "portero_test_bot"
)

// Server is one emulated Bot API. Its methods may be called from any
// goroutine.
type Server struct {
	token string
	http  *http.Server
	url   string
	done  chan struct{}
	serve sync.WaitGroup

	mu          sync.Mutex
	changed     chan struct{} // closed and replaced at every change
	chats       map[int64]*chat
	users       map[int64]string
	updates     []*update
	history     map[int]*update
	nextUpdate  int
	nextMessage int
	nextQuery   int
	poll        *poll
	webhook     string
	callbackTTL time.Duration
	queries     map[string]*query
	answers     []Answer
	commands    []Command
	calls       map[string]int
	failures    map[string]*failing
}

type chat struct {
	id       int64
	kind     string
	title    string
	blocked  bool
	messages []*Message
}

// Command is one command registered with setMyCommands.
type Command struct {
	Command     string `json:"command"`
	Description string `json:"description"`
}

// New starts a server for the bot of token on a free loopback port. Close
// ends it.
func New(token string) *Server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("botapi: listen: %v", err))
	}
	s := &Server{
		token: token, url: "http://" + l.Addr().String(), done: make(chan struct{}), changed: make(chan struct{}),
		chats: map[int64]*chat{}, users: map[int64]string{}, nextUpdate: 1000, nextMessage: 1, nextQuery: 1,
		callbackTTL: 150 * time.Second, queries: map[string]*query{}, history: map[int]*update{}, calls: map[string]int{}, failures: map[string]*failing{},
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.serve.Go(func() { s.http.Serve(l) })
	return s
}

// URL is the address to configure as the Bot API.
func (s *Server) URL() string { return s.url }

// Close ends every request and the server.
func (s *Server) Close() {
	close(s.done)
	s.http.Close()
	s.serve.Wait()
}

// fault is an error answer of the API.
type fault struct {
	code        int
	description string
}

func bad(format string, a ...any) *fault {
	return &fault{code: 400, description: "Bad Request: " + fmt.Sprintf(format, a...)}
}

// request is one call of a method.
type request struct {
	params url.Values
	file   *Document
	done   <-chan struct{} // the caller has hung up, or the server ends
}

func (r request) int(name string) int64 {
	n, _ := strconv.ParseInt(r.params.Get(name), 10, 64)
	return n
}

// ServeHTTP answers /bot<token>/<method>.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, method, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/bot"), "/")
	if !ok || !strings.HasPrefix(r.URL.Path, "/bot") || strings.Contains(method, "/") {
		refuse(w, &fault{code: 404, description: "Not Found"})
		return
	}
	req, err := read(r)
	if err != nil {
		refuse(w, bad("%v", err))
		return
	}
	req.done = r.Context().Done()

	s.mu.Lock()
	s.calls[method]++
	s.notify()
	s.mu.Unlock()
	if f := s.failure(method); f != nil {
		if f.Late && token == s.token {
			s.call(method, req)
		}
		s.misbehave(w, r, *f)
		return
	}
	if token != s.token {
		refuse(w, &fault{code: 401, description: "Unauthorized"})
		return
	}
	result, f := s.call(method, req)
	if f != nil {
		refuse(w, f)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"ok": true, "result": result})
}

func refuse(w http.ResponseWriter, f *fault) {
	body := map[string]any{"ok": false, "error_code": f.code, "description": f.description}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.code)
	json.NewEncoder(w).Encode(body)
}

// read takes the parameters as the API does: from the query, a form, a
// multipart form or JSON.
func read(r *http.Request) (req request, err error) {
	switch kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind {
	case "multipart/form-data":
		if err := r.ParseMultipartForm(64 << 20); err != nil {
			return req, err
		}
		for field, files := range r.MultipartForm.File {
			f, err := files[0].Open()
			if err != nil {
				return req, err
			}
			content, err := io.ReadAll(f)
			f.Close()
			if err != nil {
				return req, err
			}
			req.file = &Document{Field: field, Name: files[0].Filename, Content: content}
		}
		req.params = r.Form
	case "application/json":
		var fields map[string]json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&fields); err != nil {
			return req, err
		}
		req.params = r.URL.Query()
		for name, value := range fields {
			var text string
			if json.Unmarshal(value, &text) != nil {
				text = string(value)
			}
			req.params.Set(name, text)
		}
	default:
		err = r.ParseForm()
		req.params = r.Form
	}
	return req, err
}

func (s *Server) call(method string, r request) (any, *fault) {
	switch method {
	case "getMe":
		return map[string]any{"id": BotID, "is_bot": true, "first_name": "Portero", "username": BotName}, nil
	case "getUpdates":
		return s.getUpdates(r)
	case "sendMessage":
		return s.sendMessage(r)
	case "sendDocument":
		return s.sendDocument(r)
	case "editMessageText":
		return s.edit(r, true)
	case "editMessageReplyMarkup":
		return s.edit(r, false)
	case "answerCallbackQuery":
		return s.answerCallbackQuery(r)
	case "setMyCommands":
		return s.setMyCommands(r)
	case "deleteWebhook":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.webhook = ""
		return true, nil
	}
	return nil, &fault{code: 404, description: "Not Found: method not found"}
}

func (s *Server) setMyCommands(r request) (any, *fault) {
	var commands []Command
	if err := json.Unmarshal([]byte(r.params.Get("commands")), &commands); err != nil || len(commands) > 100 {
		return nil, bad("can't parse commands")
	}
	for _, c := range commands {
		plain := strings.Trim(c.Command, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
		if c.Command == "" || len(c.Command) > 32 || !plain {
			return nil, bad("BOT_COMMAND_INVALID")
		}
		if n := units(c.Description); n < 1 || n > 256 {
			return nil, bad("BOT_COMMAND_DESCRIPTION_INVALID")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = commands
	s.notify()
	return true, nil
}

// notify wakes everybody who waits for a change. s.mu is held.
func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}
