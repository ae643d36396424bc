// Package wire is the language of the link between a machine's portero-stdio
// processes (P) and the relay (R).
//
// The link is one WebSocket at /link with the subprotocol "portero.1", opened
// by P with its machine token as a bearer token. Every frame is one JSON
// object in a text frame of at most MaxFrame bytes, with a "type".
//
// # Protocol flow
//
//	P → R  hello     who I am, which journal, the last state I have seen
//	R → P  welcome   the protocol's version, R's epoch
//	R → P  task*     every task of this journal that changed since
//	R → P  synced    that was all; from now on task messages come as they change
//
// P's requests carry an id and are answered with an ack, a grant, a refusal or
// an err that names it. The durable ones (open, cancel, release, started,
// finished, lost) lie in P's outbox and are sent again, in order, until they
// are acknowledged; repeating one changes nothing. R's side needs no
// acknowledgement: a task message is a state, not an event, so that a lost one
// is made good by the next hello.
//
//	open ▸ ack            a call waits for approval
//	claim ▸ grant|refused may I start it?
//	started ▸ ack         I am about to send it to the server
//	finished ▸ ack        it ended
//	lost ▸ ack            it had started and its process died
//	release ▸ ack         I claimed it and did not start it
//	cancel ▸ ack          the asking side withdrew it
//
// Arguments on the link are in fake form; results do not travel at all.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"portero/shared/task"
)

// Subprotocol is the WebSocket subprotocol of the link.
const Subprotocol = "portero.1"

// Version is the newest protocol that this build speaks; MinVersion the oldest.
//
//	1  2026-11-22  first version
const (
	Version    = 1
	MinVersion = 1
)

// Limits of the link, in bytes.
const (
	// MaxFrame bounds one frame.
	MaxFrame = 1 << 20
	// MaxArgs bounds the arguments of a call that asks for approval.
	MaxArgs = 512 << 10
	// MaxText bounds notes and reasons.
	MaxText = 2 << 10
)

// Message is one frame's content.
type Message interface{ kind() string }

// Hello is P's first frame.
type Hello struct {
	Proto   [2]int `json:"proto"`   // oldest and newest version P speaks
	Machine string `json:"machine"` // name to show to approvers
	Proc    string `json:"proc"`    // this process, random at each start
	Journal string `json:"journal"` // the machine's journal
	App     string `json:"app"`     // program version
	Epoch   string `json:"epoch,omitempty"`
	Rev     int64  `json:"rev"` // newest revision seen in Epoch
}

// Welcome is R's answer to Hello.
type Welcome struct {
	Proto   int    `json:"proto"`
	Epoch   string `json:"epoch"` // R's store; another one means that Rev starts anew
	Machine string `json:"machine"`
}

// Synced ends R's account of what changed since P's last revision.
type Synced struct {
	Epoch string `json:"epoch"`
	Rev   int64  `json:"rev"`
}

// Task is a task's present state on R.
type Task struct {
	Task    string     `json:"task"`
	Rev     int64      `json:"rev"`
	State   task.State `json:"state"`
	Binding string     `json:"binding"`
	By      string     `json:"by,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Claim   int64      `json:"claim,omitempty"`
	Holder  string     `json:"holder,omitempty"` // process that holds the claim
}

// Open asks for approval of a call.
type Open struct {
	ID      string          `json:"id"`
	Task    string          `json:"task"`
	Binding string          `json:"binding"`
	Code    string          `json:"code"` // short code shown to both sides
	Tool    string          `json:"tool"` // child/tool
	Args    json.RawMessage `json:"args"` // fake form
	Rule    string          `json:"rule"`
	Warn    string          `json:"warn,omitempty"` // what the approver has to know besides
	Session string          `json:"session"`        // process that asked
	TTLMS   int64           `json:"ttl_ms"`         // time to answer, from R's receipt
	AgeMS   int64           `json:"age_ms"`         // how long it lay queued
}

// Cancel withdraws a task that has not started.
type Cancel struct {
	ID   string `json:"id"`
	Task string `json:"task"`
}

// Claim asks for the exclusive right to start an approved task.
type Claim struct {
	ID      string `json:"id"`
	Task    string `json:"task"`
	Binding string `json:"binding"`
}

// Grant answers a Claim: start within StartMS or release it.
type Grant struct {
	Re      string `json:"re"`
	Task    string `json:"task"`
	Claim   int64  `json:"claim"`
	Binding string `json:"binding"`
	By      string `json:"by"`
	StartMS int64  `json:"start_ms"`
}

// Refused answers a Claim that is not granted.
type Refused struct {
	Re   string `json:"re"`
	Task Task   `json:"task"`
	Msg  string `json:"msg"`
}

// Release gives a claim back; the journal has voided it first.
type Release struct {
	ID    string   `json:"id"`
	Task  string   `json:"task"`
	Claim int64    `json:"claim"`
	Why   task.Why `json:"why"`
	Note  string   `json:"note,omitempty"`
}

// Started says that the journal records the start of a task.
type Started struct {
	ID    string `json:"id"`
	Task  string `json:"task"`
	Claim int64  `json:"claim"`
}

// Outcome is how a call ended.
type Outcome string

// The outcomes. OK: a result. ToolError: a result with isError. RPCError: a
// JSON-RPC error. Unsent: it provably never reached the server.
const (
	OK        Outcome = "ok"
	ToolError Outcome = "tool_error"
	RPCError  Outcome = "rpc_error"
	Unsent    Outcome = "unsent"
)

// Finished says how a started task ended. Note is anonymized.
type Finished struct {
	ID      string  `json:"id"`
	Task    string  `json:"task"`
	Claim   int64   `json:"claim"`
	Outcome Outcome `json:"outcome"`
	Note    string  `json:"note,omitempty"`
}

// Lost says that a task had started and nobody can tell how it ended.
type Lost struct {
	ID    string `json:"id"`
	Task  string `json:"task"`
	Claim int64  `json:"claim"`
	Note  string `json:"note,omitempty"`
}

// Ack answers a durable request.
type Ack struct {
	Re   string `json:"re"`
	Task Task   `json:"task"`
}

// Err answers what could not be done. A fatal one ends the connection.
type Err struct {
	Re    string `json:"re,omitempty"`
	Code  Code   `json:"code"`
	Msg   string `json:"msg"`
	Fatal bool   `json:"fatal,omitempty"`
}

// Code tells errors apart; codes are only ever added.
type Code string

// The codes. Conflict: a task id that is known with another binding. Unknown:
// no such task. Unsupported: a frame this build does not know. Refused: R will
// never accept this request, sending it again is pointless.
const (
	CodeVersion     Code = "version"
	CodeConflict    Code = "conflict"
	CodeUnknown     Code = "unknown"
	CodeUnsupported Code = "unsupported"
	CodeRefused     Code = "refused"
	CodeInvalid     Code = "invalid"
	CodeInternal    Code = "internal"
)

// Bye announces that R is about to close the link, and when to come back.
type Bye struct {
	ReconnectMS int64 `json:"reconnect_ms"`
}

func (Hello) kind() string    { return "hello" }
func (Welcome) kind() string  { return "welcome" }
func (Synced) kind() string   { return "synced" }
func (Task) kind() string     { return "task" }
func (Open) kind() string     { return "open" }
func (Cancel) kind() string   { return "cancel" }
func (Claim) kind() string    { return "claim" }
func (Grant) kind() string    { return "grant" }
func (Refused) kind() string  { return "refused" }
func (Release) kind() string  { return "release" }
func (Started) kind() string  { return "started" }
func (Finished) kind() string { return "finished" }
func (Lost) kind() string     { return "lost" }
func (Ack) kind() string      { return "ack" }
func (Err) kind() string      { return "err" }
func (Bye) kind() string      { return "bye" }

// ErrUnsupported is returned by Decode for a well-formed frame of a type that
// this build does not know. Types that begin with "x-" may simply be ignored.
var ErrUnsupported = errors.New("unknown message type")

// Encode writes one frame.
func Encode(m Message) ([]byte, error) {
	// Escaping for HTML would make arguments up to six times as long.
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.kind(), err)
	}
	frame := append([]byte(`{"type":"`+m.kind()+`",`), bytes.TrimSpace(body.Bytes())[1:]...)
	if len(frame) > MaxFrame {
		return nil, fmt.Errorf("encode %s: %d bytes, more than a frame's %d", m.kind(), len(frame), MaxFrame)
	}
	return frame, nil
}

// Decode reads one frame. Unknown fields are ignored.
func Decode(frame []byte) (Message, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(frame, &head); err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	read, ok := readers[head.Type]
	if !ok {
		return nil, fmt.Errorf("%w: %.40q", ErrUnsupported, head.Type)
	}
	m, err := read(frame)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", head.Type, err)
	}
	return m, nil
}

func as[M Message](frame []byte) (Message, error) {
	var m M
	err := json.Unmarshal(frame, &m)
	return m, err
}

var readers = map[string]func([]byte) (Message, error){
	"hello": as[Hello], "welcome": as[Welcome], "synced": as[Synced], "task": as[Task],
	"open": as[Open], "cancel": as[Cancel], "claim": as[Claim], "grant": as[Grant],
	"refused": as[Refused], "release": as[Release], "started": as[Started],
	"finished": as[Finished], "lost": as[Lost], "ack": as[Ack], "err": as[Err], "bye": as[Bye],
}
