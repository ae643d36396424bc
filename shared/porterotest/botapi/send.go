package botapi

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Limits of the Bot API, in UTF-16 units after entity parsing.
const (
	MaxText    = 4096
	MaxCaption = 1024
	maxToast   = 200
)

// Message is one message in a chat, as it stands.
type Message struct {
	ID       int
	Chat     int64
	From     int64  // BotID for the bot's own
	Text     string // what a person reads; a document's caption
	HTML     string // what the bot sent
	Entities []Entity
	Buttons  [][]Button
	Document *Document
	Date     time.Time
	Edits    int
	Deleted  bool
}

// Button is one inline button.
type Button struct {
	Text string `json:"text"`
	Data string `json:"callback_data,omitempty"`
}

// Document is an uploaded file.
type Document struct {
	Field   string
	Name    string
	Content []byte
}

// Answer is one accepted answerCallbackQuery.
type Answer struct {
	Callback string
	Text     string
	Alert    bool
}

type query struct {
	at       time.Time
	answered bool
}

func (s *Server) json(m *Message) map[string]any {
	c := s.chats[m.Chat]
	fields := map[string]any{"message_id": m.ID, "date": m.Date.Unix(), "chat": map[string]any{"id": c.id, "type": c.kind, "title": c.title}}
	switch {
	case m.From == BotID:
		fields["from"] = map[string]any{"id": BotID, "is_bot": true, "first_name": "Portero", "username": BotName}
	case m.From != 0:
		fields["from"] = s.user(m.From)
	}
	text, entities := "text", "entities"
	if m.Document != nil {
		text, entities = "caption", "caption_entities"
		fields["document"] = map[string]any{"file_id": "f", "file_unique_id": "u", "file_name": m.Document.Name, "file_size": len(m.Document.Content)}
	}
	if m.Text != "" {
		fields[text] = m.Text
	}
	if len(m.Entities) > 0 {
		fields[entities] = m.Entities
	}
	if len(m.Buttons) > 0 {
		fields["reply_markup"] = map[string]any{"inline_keyboard": m.Buttons}
	}
	return fields
}

// recipient finds the chat of a request. s.mu is held.
func (s *Server) recipient(r request) (*chat, *fault) {
	c := s.chats[r.int("chat_id")]
	switch {
	case c == nil:
		return nil, bad("chat not found")
	case c.blocked:
		return nil, &fault{code: 403, description: "Forbidden: bot was blocked by the user"}
	}
	return c, nil
}

// body reads text, entities and buttons of a request.
func body(r request, field string, most int) (m Message, f *fault) {
	m.HTML = r.params.Get(field)
	switch mode := r.params.Get("parse_mode"); mode {
	case "":
		m.Text = m.HTML
	case "HTML":
		var err error
		if m.Text, m.Entities, err = parseHTML(m.HTML); err != nil {
			return m, bad("can't parse entities: %v", err)
		}
	default:
		return m, bad("unsupported parse_mode")
	}
	m.Text = strings.TrimRight(m.Text, " \n")
	switch {
	case strings.TrimSpace(m.Text) == "" && field == "text":
		return m, bad("message text is empty")
	case units(m.Text) > most && field == "text":
		return m, bad("message is too long")
	case units(m.Text) > most:
		return m, bad("message caption is too long")
	}
	m.Buttons, f = buttons(r)
	return m, f
}

func buttons(r request) ([][]Button, *fault) {
	markup := r.params.Get("reply_markup")
	if markup == "" {
		return nil, nil
	}
	var keyboard struct {
		Rows [][]Button `json:"inline_keyboard"`
	}
	if err := json.Unmarshal([]byte(markup), &keyboard); err != nil {
		return nil, bad("object expected as reply markup")
	}
	for _, row := range keyboard.Rows {
		for _, b := range row {
			if b.Text == "" {
				return nil, bad("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
			}
			if len(b.Data) < 1 || len(b.Data) > 64 {
				return nil, bad("BUTTON_DATA_INVALID")
			}
		}
	}
	return slices.DeleteFunc(keyboard.Rows, func(row []Button) bool { return len(row) == 0 }), nil
}

func (s *Server) sendMessage(r request) (any, *fault) {
	m, f := body(r, "text", MaxText)
	if f != nil {
		return nil, f
	}
	return s.post(r, m)
}

func (s *Server) sendDocument(r request) (any, *fault) {
	if r.file == nil || r.file.Field != "document" {
		return nil, bad("there is no document in the request")
	}
	if len(r.file.Content) == 0 {
		return nil, bad("file must be non-empty")
	}
	m, f := body(r, "caption", MaxCaption)
	if f != nil {
		return nil, f
	}
	m.Document = r.file
	return s.post(r, m)
}

func (s *Server) post(r request, m Message) (any, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, f := s.recipient(r)
	if f != nil {
		return nil, f
	}
	m.From = BotID
	return s.json(s.add(c, m)), nil
}

// add puts a message into a chat. s.mu is held.
func (s *Server) add(c *chat, m Message) *Message {
	m.ID, m.Chat, m.Date = s.nextMessage, c.id, time.Now()
	s.nextMessage++
	c.messages = append(c.messages, &m)
	s.notify()
	return &m
}

// find returns the message of a chat, nil when there is none. s.mu is held.
func (s *Server) find(chat int64, id int) *Message {
	if c := s.chats[chat]; c != nil {
		for _, m := range c.messages {
			if m.ID == id && !m.Deleted {
				return m
			}
		}
	}
	return nil
}

// edit changes a message of the bot: its text and buttons, or only these.
func (s *Server) edit(r request, text bool) (any, *fault) {
	var m Message
	var f *fault
	if text {
		m, f = body(r, "text", MaxText)
	} else {
		m.Buttons, f = buttons(r)
	}
	if f != nil {
		return nil, f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, f := s.recipient(r)
	if f != nil {
		return nil, f
	}
	old := s.find(c.id, int(r.int("message_id")))
	switch {
	case old == nil:
		return nil, bad("message to edit not found")
	case old.From != BotID:
		return nil, bad("message can't be edited")
	case text && old.Document != nil:
		return nil, bad("there is no text in the message to edit")
	}
	if !text {
		m.Text, m.HTML, m.Entities = old.Text, old.HTML, old.Entities
	}
	if m.Text == old.Text && slices.Equal(m.Entities, old.Entities) && slices.EqualFunc(m.Buttons, old.Buttons, slices.Equal) {
		return nil, bad("message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message")
	}
	old.Text, old.HTML, old.Entities, old.Buttons = m.Text, m.HTML, m.Entities, m.Buttons
	old.Edits++
	s.notify()
	return s.json(old), nil
}

func (s *Server) answerCallbackQuery(r request) (any, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, text := r.params.Get("callback_query_id"), r.params.Get("text")
	q := s.queries[id]
	// The real server, too, has one answer for every query it knows no more.
	if q == nil || q.answered || time.Since(q.at) > s.callbackTTL {
		return nil, bad("query is too old and response timeout expired or query ID is invalid")
	}
	if units(text) > maxToast {
		return nil, bad("MESSAGE_TOO_LONG")
	}
	q.answered = true
	s.answers = append(s.answers, Answer{Callback: id, Text: text, Alert: r.params.Get("show_alert") == "true"})
	s.notify()
	return true, nil
}
