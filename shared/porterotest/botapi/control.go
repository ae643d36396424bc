package botapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// AddUser makes a person who has started the bot: a user and the private chat
// of the same number.
func (s *Server) AddUser(id int64, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[id] = name
	s.chats[id] = &chat{id: id, kind: "private", title: name}
}

// AddChat makes a chat of a kind ("group", "supergroup", "channel"); such
// chats have negative numbers.
func (s *Server) AddChat(id int64, kind, title string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chats[id] = &chat{id: id, kind: kind, title: title}
}

// Block makes a chat refuse the bot's messages, or take them again.
func (s *Server) Block(chat int64, blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chats[chat].blocked = blocked
}

// user is the sender of an update. s.mu is held.
func (s *Server) user(id int64) map[string]any {
	name := s.users[id]
	if name == "" {
		name = "User " + strconv.FormatInt(id, 10)
	}
	return map[string]any{"id": id, "is_bot": false, "first_name": name}
}

// Send posts a person's text to a chat and returns the update's number. User 0
// leaves the sender out.
func (s *Server) Send(chat, user int64, text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.push("message", s.json(s.add(s.chats[chat], Message{From: user, Text: text})))
}

// Push queues any update and returns its number.
func (s *Server) Push(kind string, fields map[string]any) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.push(kind, fields)
}

// Press presses the button with that label on a message as it was seen and
// returns the callback query's id. It panics when m has no such button.
func (s *Server) Press(m Message, user int64, label string) string {
	for _, row := range m.Buttons {
		for _, b := range row {
			if b.Text == label {
				id, _ := s.PressRaw(m.Chat, m.ID, user, b.Data)
				return id
			}
		}
	}
	panic(fmt.Sprintf("botapi: message %d has no button %q", m.ID, label))
}

// PressRaw sends a callback query with any data, as a manipulated client can,
// and returns its id and the update's number. User 0 leaves the sender out;
// for a message that does not exist the update holds only its number, as for
// an inaccessible one; message 0 leaves it out.
func (s *Server) PressRaw(chat int64, message int, user int64, data string) (callback string, update int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := "cb" + strconv.Itoa(s.nextQuery)
	s.nextQuery++
	s.queries[id] = &query{at: time.Now()}
	fields := map[string]any{"id": id, "chat_instance": "1", "data": data}
	if user != 0 {
		fields["from"] = s.user(user)
	}
	if m := s.find(chat, message); m != nil {
		fields["message"] = s.json(m)
	} else if message != 0 {
		c := s.chats[chat]
		fields["message"] = map[string]any{"message_id": message, "date": 0, "chat": map[string]any{"id": chat, "type": c.kind}}
	}
	return id, s.push("callback_query", fields)
}

// Redeliver queues an old update once more, whatever has confirmed it.
func (s *Server) Redeliver(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.history[id]
	s.updates = append(s.updates, &update{id: id, kind: old.kind, fields: old.fields, at: time.Now(), again: true})
	s.notify()
}

// Renumber makes the next update's number next, as happens after a week of
// silence.
func (s *Server) Renumber(next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextUpdate = next
}

// Unconfirmed returns the numbers of the updates that no poll has confirmed.
func (s *Server) Unconfirmed() (ids []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.updates {
		ids = append(ids, u.id)
	}
	return ids
}

// SetWebhook makes getUpdates a conflict until deleteWebhook.
func (s *Server) SetWebhook(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhook = url
}

// SetCallbackTTL sets how long a callback query is delivered and can be
// answered; 150 s at first.
func (s *Server) SetCallbackTTL(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callbackTTL = d
}

// Delete removes a message.
func (s *Server) Delete(chat int64, message int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.find(chat, message); m != nil {
		m.Deleted = true
		s.notify()
	}
}

// Messages returns the messages of a chat as they stand, oldest first.
func (s *Server) Messages(chat int64) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages(chat)
}

func (s *Server) messages(id int64) (all []Message) {
	if c := s.chats[id]; c != nil {
		for _, m := range c.messages {
			all = append(all, *m)
		}
	}
	return all
}

// WaitMessage waits for a message of the bot that matches, as it is or becomes
// by an edit, and returns the newest one. match must not call the server.
func (s *Server) WaitMessage(ctx context.Context, chat int64, match func(Message) bool) (Message, error) {
	var found Message
	err := s.wait(ctx, func() bool {
		for _, m := range slices.Backward(s.messages(chat)) {
			if m.From == BotID && !m.Deleted && match(m) {
				found = m
				return true
			}
		}
		return false
	})
	return found, err
}

// Wait waits until cond holds. It is looked at again after every change of the
// server and may call the server's methods.
func (s *Server) Wait(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Server) wait(ctx context.Context, cond func() bool) error {
	return s.Wait(ctx, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return cond()
	})
}

// Answers returns the accepted answers to callback queries, oldest first.
func (s *Server) Answers() []Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.answers)
}

// WaitAnswer waits for the answer to a callback query.
func (s *Server) WaitAnswer(ctx context.Context, callback string) (Answer, error) {
	var found Answer
	err := s.wait(ctx, func() bool {
		i := slices.IndexFunc(s.answers, func(a Answer) bool { return a.Callback == callback })
		if i >= 0 {
			found = s.answers[i]
		}
		return i >= 0
	})
	return found, err
}

// Commands returns what setMyCommands registered.
func (s *Server) Commands() []Command {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Calls returns how often each method was called, failed calls included.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}
